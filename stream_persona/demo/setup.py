"""The demo's settings, the address of its API, and whether that is ready."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import sys
from typing import Final

from stream_persona.connection_settings import ConnectionSettings
from stream_persona.demo.embedded import PARTITIONS, find_free_port
from stream_persona.domain.taxonomy import find_shipped_path
from stream_persona.settings import Settings, load_settings

#: Seconds between two requests whether the API is ready.
_POLL: Final = 0.1


def load_demo_settings(brokers: str, redis_url: str) -> Settings:
    """Load the environment's settings, with the demo's own broker, server and taxonomy.

    A port of the API that is taken is replaced by a free one.
    """
    embedded = {name: field.default for name, field in ConnectionSettings.model_fields.items()}
    embedded |= {"brokers": brokers, "redis_url": redis_url}  # which take no login, and have no TLS
    settings = load_settings(
        **embedded,
        taxonomy=find_shipped_path("complete-journey"),
        partitions=PARTITIONS,
        declare_topics=False,  # the embedded broker makes a topic when it is first used
        metrics_port=0,
        commit_interval=0.25,  # the feed goes on when its events are committed
    )
    if settings.api_port and not _is_taken(settings):
        return settings
    return settings.model_copy(update={"api_port": find_free_port()})


def _is_taken(settings: Settings) -> bool:
    try:
        with socket.create_connection((_find_host(settings), settings.api_port), timeout=1.0):
            return True
    except OSError:
        return False


def make_dashboard_address(settings: Settings) -> str:
    """Return the address of the dashboard, with a key if the API needs one."""
    key = f"?key={settings.keys[0]}" if settings.keys else ""
    return f"http://{_find_host(settings)}:{settings.api_port}/{key}"


def _find_host(settings: Settings) -> str:
    """Return where this machine reaches the API."""
    # None is listened on: they are only compared with.
    is_any = settings.api_host in {"0.0.0.0", "::"}  # noqa: S104  # nosec
    return "127.0.0.1" if is_any else settings.api_host


async def wait_for_api(settings: Settings) -> None:
    """Wait until the API answers that it is ready."""
    while await asyncio.to_thread(_request_readiness, settings) != http.client.OK:  # noqa: ASYNC110
        await asyncio.sleep(_POLL)


def _request_readiness(settings: Settings) -> int | None:
    connection = http.client.HTTPConnection(_find_host(settings), settings.api_port, timeout=2.0)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def has_screen() -> bool:
    """Whether a browser can open a window here."""
    if sys.platform in {"darwin", "win32"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
