"""Runs the two services as processes: logs on stderr, and exit codes for a supervisor.

The exit code is 0 after SIGTERM or SIGINT, whenever it comes; otherwise it is never 0.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import logging
import os
import signal
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

from stamina.instrumentation import set_on_retry_hooks

from stream_persona import audit_log
from stream_persona.cli.open_files import raise_open_files
from stream_persona.errors import StreamPersonaError
from stream_persona.settings import find_misspelt

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Objects made, less those freed, between two collections of the youngest generation; then so many
#: collections of a generation between two of the next one.
_COLLECTIONS: Final = (200_000, 20, 50)
#: Seconds that a process may take to end that has only begun to start.
_GRACE_SECONDS: Final = 3.0
#: Loggers of a line at each attempt, or each request; seconds between equal ones.
_REPETITIVE: Final = (
    "aiokafka", "asyncio", "uvicorn", "stream_persona.api.problems",
    "stream_persona.api.security.oidc", "stream_persona.api.changes", "stream_persona.audit_log",
)  # fmt: skip
_SELDOM_SECONDS: Final = 10.0


def run_worker(settings: Settings, taxonomy: Taxonomy) -> NoReturn:
    """Check topics, broker and Redis, then work until a signal comes.

    Raises:
        StreamPersonaError: the worker cannot start, or ended itself because of it.
        SystemExit: 0 after a signal, 1 after a crash.
    """
    from aiokafka.errors import KafkaError

    from stream_persona.kafka.faust_app import PromptWorker
    from stream_persona.kafka.refusals import explain_refusal
    from stream_persona.worker import preflight
    from stream_persona.worker.app import create_app
    from stream_persona.worker.joining import join

    log_to_stderr(settings.log_level)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_DropAfterFatal())
    end_politely()
    raise_open_files()
    asyncio.run(preflight.check(settings, taxonomy))
    joined = asyncio.run(join(settings, taxonomy))
    logger.info("Kafka %s, %s, taxonomy %s", joined.broker, joined.redis, taxonomy.version)
    logger.info("deployment %s", joined.deployment.id)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = create_app(settings, taxonomy, joined.deployment)
    _collect_seldom()
    process = PromptWorker(app, loop=loop, override_logging=False, quiet=True)
    process.spinner = None
    try:
        process.execute_from_commandline()
    except BaseException:  # stopping may raise another one than the fault
        app.fault_reported = True
        if isinstance(app.fault, KafkaError):
            raise explain_refusal(app.fault, settings) from None
        if isinstance(app.fault, StreamPersonaError):
            raise app.fault from None
        raise


def _collect_seldom() -> None:
    """Set the garbage collector for a worker, once everything is imported.

    Reference counts free what a batch makes: a collection while it is processed would find nothing,
    and look at all cached records each time. The first one would go through all that was imported,
    and stop events for a tenth of a second; so what is there by now is frozen.
    """
    gc.set_threshold(*_COLLECTIONS)
    gc.collect()
    gc.freeze()


def run_api(settings: Settings, taxonomy: Taxonomy) -> None:
    """Serve HTTP until a signal comes."""
    from stream_persona.api import serve

    log_to_stderr(settings.log_level)
    audit_log.configure(settings.audit_file, settings.log_level)
    end_politely()
    raise_open_files()
    serve(settings, taxonomy)


def log_to_stderr(level: str) -> None:
    """Log one readable line per record from ``level`` on; warn of misspelt settings first."""
    levels = logging.getLevelNamesMapping()
    logging.basicConfig(
        stream=sys.stderr,
        level=levels[level.upper()],
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        force=True,
    )
    # Libraries log each of their inner services, which only helps to find a fault.
    chatty = max(levels[level.upper()], logging.WARNING) if level.upper() != "DEBUG" else 0
    for name in ("aiokafka", "faust", "mode"):
        logging.getLogger(name).setLevel(chatty)
    # What it logs at DEBUG are whole requests, and a login by PLAIN or OAUTHBEARER is one.
    logging.getLogger("aiokafka.conn").setLevel(max(levels[level.upper()], chatty, logging.INFO))
    logging.getLogger("faust.worker").setLevel(levels[level.upper()])
    for handler in logging.getLogger().handlers:
        handler.addFilter(_Seldom(time.monotonic))
    set_on_retry_hooks(())  # what is tried again is logged once, where it is tried
    for name, meant in find_misspelt(os.environ).items():
        logger.warning("%s is no setting and changes nothing; %s may be meant", name, meant)


class _Seldom(logging.Filter):
    """Lets the same warning through every ten seconds, not at each attempt or request.

    aiokafka writes one at each of its attempts, sixty times a second; uvicorn one for each request
    that is no HTTP, and asyncio one for each connection that could not be accepted.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._next: dict[tuple[object, ...], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if not record.name.startswith(_REPETITIVE) or record.levelno < logging.WARNING:
            return True
        raised = record.exc_info[0] if record.exc_info else None
        origin, now = (record.name, record.lineno, raised), self._clock()
        if now < self._next.get(origin, now):
            return False
        self._next[origin] = now + _SELDOM_SECONDS
        return True


class _DropAfterFatal(logging.Filter):
    """Drops ERROR records that follow a fatal error: they only report what its shutdown breaks.

    A ``StreamPersonaError`` is fatal, and must be the last line that an operator sees.
    """

    _ending = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.levelno < logging.ERROR:
            return True
        arguments = record.args if isinstance(record.args, tuple) else ()
        carried = (*(record.exc_info or ()), *arguments)
        self._ending |= any(isinstance(each, StreamPersonaError) for each in carried)
        return not self._ending


def end_politely() -> None:
    """Let SIGTERM and SIGINT end the process with 0, also before a service handles them itself."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    # What is left of an exit has no handlers any more: an alarm then would be the exit code.
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0.0)


def _end(number: int, _: FrameType | None) -> NoReturn:
    """End the process; at once, if the exception is lost on its way, as in a ``__del__``."""
    logger.info("ended by %s", signal.Signals(number).name)
    signal.signal(signal.SIGALRM, _end_at_once)
    signal.setitimer(signal.ITIMER_REAL, _GRACE_SECONDS)
    raise SystemExit(0)


def _end_at_once(_: int, __: FrameType | None) -> NoReturn:
    os._exit(0)
