"""Runs the API on uvicorn until SIGTERM or SIGINT; then streams end first, requests next."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from stream_persona.api.app import create_api
from stream_persona.api.bounds import HEAD_BYTES, IDLE_SECONDS
from stream_persona.api.connections import BoundedProtocol
from stream_persona.api.dependencies import PATIENCE
from stream_persona.api.security.origins import is_loopback
from stream_persona.errors import SettingsError, UnavailableError
from stream_persona.kafka.rights import check_rights, list_api_rights
from stream_persona.kafka.topics import ask
from stream_persona.listening import explain_listening
from stream_persona.model.river_trial import check_models
from stream_persona.store.blas import limit_blas_threads
from stream_persona.store.redis import RedisTables
from stream_persona.store.stored_check import check_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from aiokafka.admin import AIOKafkaAdminClient
    from fastapi import FastAPI

    from stream_persona.api.connections import Connections
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds that requests in progress get after a signal.
_GRACE = 5
#: Seconds that a broker may take to answer at the start.
_BROKER_SECONDS = 1.0
#: Connections that the kernel holds until they are accepted; and those that are accepted before any
#: of them is looked at, and perhaps refused: they are beyond the bound for a moment.
_BACKLOG = 2_048
_ACCEPTED_AT_ONCE = 16


def serve(settings: Settings, taxonomy: Taxonomy) -> None:
    """Serve until a signal; log ``listening on http://HOST:PORT`` once requests are answered.

    Raises:
        SettingsError: the address can't be bound, or others could reach it and no key is set, or
            the file of keys, or that of the catalogue, can't be used.
        TopologyError: the address of Redis is malformed.
    """
    limit_blas_threads()
    check_door(settings)
    check_models(settings.model, "", taxonomy.names)
    asyncio.run(_check_store(settings, taxonomy))
    asyncio.run(_check_broker(settings))
    api = create_api(settings, taxonomy)
    with _listen(settings) as listening:
        dependencies = api.state.dependencies
        config = _configure(api, settings, dependencies.connections)
        server = _Server(config, before_exit=dependencies.feed.close)
        # A full collection would traverse everything that was imported as well, a tenth of a second
        # in which no request is answered: what exists by now is kept out of collections.
        gc.collect()
        gc.freeze()
        asyncio.run(server.serve(sockets=[listening]))


def check_door(settings: Settings) -> None:
    """Refuse settings by which callers would be let in without a key.

    Raises:
        SettingsError: others could reach the address, or pages of others shall call.
    """
    if settings.needs_key:
        return
    if not is_loopback(settings.api_host) and settings.api_host != "localhost":
        message = (
            f"STREAM_PERSONA_API_KEYS: set at least one key to listen on {settings.api_host!r}, "
            "where others can reach personal data, or set STREAM_PERSONA_API_HOST=127.0.0.1"
        )
        raise SettingsError(message)
    if settings.origins:
        message = (
            "STREAM_PERSONA_API_CORS_ORIGINS: set STREAM_PERSONA_API_KEYS or "
            "STREAM_PERSONA_API_KEYS_FILE as well: without keys no page of another origin may call"
        )
        raise SettingsError(message)


def _configure(api: FastAPI, settings: Settings, connections: Connections) -> uvicorn.Config:
    return uvicorn.Config(
        api, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE, ws="none",
        # Without keys the peer's own address decides, and no header that names another one.
        proxy_headers=settings.needs_key,
        http=partial(BoundedProtocol, connections=connections),  # type: ignore[arg-type]
        h11_max_incomplete_event_size=HEAD_BYTES, timeout_keep_alive=IDLE_SECONDS,
        backlog=_ACCEPTED_AT_ONCE,
    )  # fmt: skip


async def _check_store(settings: Settings, taxonomy: Taxonomy) -> None:
    """Check what is stored; a Redis that is away is waited for later, while requests get 503.

    Raises:
        ConfigError: it is not of this deployment, or the login is refused.
    """
    tables = RedisTables.connect(settings.redis_address, settings.prefix, PATIENCE)
    try:
        await check_store(settings, taxonomy, tables)
    except UnavailableError as error:
        logger.warning("starting without a look at what is stored: %s", error)
    finally:
        await tables.close()


async def _check_broker(settings: Settings) -> None:
    """Check the login at Kafka; a broker that is away is waited for later.

    Raises:
        ConfigError: the login is refused, or lacks a right.
    """

    async def check(admin: AIOKafkaAdminClient) -> None:
        await check_rights(admin, settings, list_api_rights(settings), "Describe")

    try:
        await ask(settings.model_copy(update={"retry_seconds": _BROKER_SECONDS}), check)
    except UnavailableError as error:
        logger.warning("starting without a broker: %s", error)


class _Server(uvicorn.Server):
    """Logs when it listens. A signal ends the streams first, since they never end themselves."""

    def __init__(self, config: uvicorn.Config, before_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_exit = before_exit

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or () if self.started else ():
            each.listen(_BACKLOG)  # asyncio has set it to what it accepts at once
            host, port = each.getsockname()[:2]
            logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do as uvicorn does, but don't raise a handled signal again at the end."""
        before = {n: signal.signal(n, self._end) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, _: int, __: FrameType | None) -> None:
        self.should_exit = True
        self._before_exit()


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.api_host, settings.api_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:  # the latter: no name of a host
        raise explain_listening(error, "API", host, port) from None
    # Connections inherit it, and asyncio does not set it on connections of a socket that it was
    # given. Without it a response's body waits until the caller has acknowledged the head: 40 ms
    # on a connection that is kept alive.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
