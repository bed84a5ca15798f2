"""The two services as processes: logs on stderr, and ends that a supervisor understands.

Exit code 0 after SIGTERM or SIGINT, whenever it comes; otherwise never 0.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

from stamina.instrumentation import set_on_retry_hooks

from stream_persona.errors import SettingsError, StreamPersonaError, UnavailableError

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Objects made, less those freed, between two collections of the young ones; so many of these
#: between two of the older ones.
_COLLECTIONS: Final = (200_000, 20, 50)
#: Seconds between two equal lines of a library that writes one at each of its attempts.
_SELDOM_SECONDS: Final = 10.0


def worker(settings: Settings, taxonomy: Taxonomy) -> NoReturn:
    """Check topics, broker and Redis, then work until a signal comes.

    Raises:
        StreamPersonaError: the worker cannot start, or ended itself because of it.
        SystemExit: 0 after a signal, 1 after a crash.
    """
    import faust
    from aiokafka.errors import KafkaError

    from stream_persona.worker import startup
    from stream_persona.worker.app import create_app

    log_to_stderr(settings.log_level)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_Once())
    end_politely()
    broker, redis = asyncio.run(startup.prepare(settings))
    logger.info("Kafka %s, %s, taxonomy %s", broker, redis, taxonomy.version)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = create_app(settings, taxonomy)
    _collect_seldom()
    process = faust.Worker(app, loop=loop, override_logging=False, quiet=True)
    process.spinner = None
    try:
        process.execute_from_commandline()
    except BaseException:  # whatever stopping made of it
        app.told = True
        if isinstance(app.fault, KafkaError):
            message = f"Kafka did not do as asked: {app.fault!r}"
            raise UnavailableError(message) from None
        if isinstance(app.fault, StreamPersonaError):
            raise app.fault from None
        raise


def _collect_seldom() -> None:
    """Set the garbage collector for a worker, once everything is imported.

    What a batch makes is freed by reference counts: collections in its midst would find nothing,
    and look at all cached records each time. The first one would go through all that was imported,
    and stop events for a tenth of a second: what is there by now stays.
    """
    gc.set_threshold(*_COLLECTIONS)
    gc.collect()
    gc.freeze()


def api(settings: Settings, taxonomy: Taxonomy) -> None:
    """Serve HTTP until a signal comes."""
    from stream_persona.api import serve

    log_to_stderr(settings.log_level)
    end_politely()
    serve(settings, taxonomy)


def log_to_stderr(level: str) -> None:
    """One readable line for each record from ``level`` on.

    Raises:
        SettingsError: there is no such level.
    """
    levels = logging.getLevelNamesMapping()
    if level.upper() not in levels:
        message = (
            f"STREAM_PERSONA_LOG_LEVEL: expected DEBUG, INFO, WARNING or ERROR (got {level!r})"
        )
        raise SettingsError(message)
    logging.basicConfig(
        stream=sys.stderr,
        level=levels[level.upper()],
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        force=True,
    )
    # What libraries tell of each of their inner services is of use to who looks for a fault.
    chatty = max(levels[level.upper()], logging.WARNING) if level.upper() != "DEBUG" else 0
    for name in ("aiokafka", "faust", "mode"):
        logging.getLogger(name).setLevel(chatty)
    logging.getLogger("faust.worker").setLevel(levels[level.upper()])
    for handler in logging.getLogger().handlers:
        handler.addFilter(_Seldom())
    set_on_retry_hooks(())  # what is tried again is logged once, where it is tried


class _Seldom(logging.Filter):
    """Lets aiokafka complain of the same thing every ten seconds, not sixty times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if not record.name.startswith("aiokafka") or record.levelno < logging.WARNING:
            return True
        said, now = (record.name, record.lineno), time.monotonic()
        if now < self._next.get(said, now):
            return False
        self._next[said] = now + _SELDOM_SECONDS
        return True


class _Once(logging.Filter):
    """An error made on purpose is the process's last line; what its way out breaks is no news."""

    _ending = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.levelno < logging.ERROR:
            return True
        told = (*(record.exc_info or ()), *(record.args if isinstance(record.args, tuple) else ()))
        self._ending |= any(isinstance(each, StreamPersonaError) for each in told)
        return not self._ending


def end_politely() -> None:
    """Let SIGTERM and SIGINT end the process with 0, also before a service handles them itself."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> NoReturn:
    logger.info("ended by %s", signal.Signals(number).name)
    raise SystemExit(0)
