"""The audit log: one JSON line for each request that must leave a trace, with its caller.

The lines hold no personal data of shoppers. A customer is named by the id of the event
(``event_id``: the ``assignment_id``, the ``request_id`` of a deletion), which leads those who may
read the topics to the customer, and nobody else. At the level DEBUG alone a line has the customer.
"""

from __future__ import annotations

import json
import logging
import sys
import syslog
from contextlib import suppress
from logging.handlers import WatchedFileHandler
from typing import TYPE_CHECKING, Final

from stream_persona.clocks import utc_now
from stream_persona.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

logger: Final = logging.getLogger("stream_persona.audit")
_faults: Final = logging.getLogger(__name__)


def configure(file: Path | None, level: str = "INFO") -> None:
    """Write the lines of a service to a file's end, else on standard error.

    They come whatever the level of the log is; ``DEBUG`` alone adds to them.

    Raises:
        SettingsError: the file can't be written.
    """
    _use(_StandardError() if file is None else _open(file), level)


def configure_command(file: Path | None, level: str = "INFO") -> None:
    """Write the lines of a command to a file's end, else to the system's log, where it has one.

    Standard error is for the caller of the command.

    Raises:
        SettingsError: the file can't be written.
    """
    _use(_SystemLog() if file is None else _open(file), level)


def _open(file: Path) -> logging.Handler:
    """Open a file at its end; one that a rotation moves away is begun anew."""
    try:
        return _File(file, encoding="utf-8")
    except OSError as error:
        message = f"STREAM_PERSONA_AUDIT_FILE: {file} can't be written ({error.strerror})"
        raise SettingsError(f"{message}; name a file in a folder of the process") from None


def _use(handler: logging.Handler, level: str) -> None:
    handler.setFormatter(logging.Formatter("%(message)s"))
    for before in logger.handlers[:]:
        logger.removeHandler(before)
        before.close()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if level.upper() == "DEBUG" else logging.INFO)
    logger.propagate = False


def write(
    action: str,
    who: str,
    outcome: str,
    facts: Mapping[str, object],
    clock: Callable[[], datetime] = utc_now,
) -> None:
    """Write a line; of the facts, ``customer_id`` is left out at all levels but DEBUG."""
    hidden = () if logger.isEnabledFor(logging.DEBUG) else ("customer_id",)
    line = {
        "at": clock().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "logger": logger.name,
        "action": action,
        "who": who,
        "outcome": outcome,
        **{name: value for name, value in facts.items() if name not in hidden},
    }
    logger.info("%s", json.dumps(line))  # escapes whatever could begin another line


class _File(WatchedFileHandler):
    """Writes to a file; while that can't be done, on standard error, so that no line is lost.

    The request that the line is about is answered either way.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        try:
            super().emit(record)
        except OSError:  # the file was moved away, and there can be no other in its place
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own
        """Write the line on standard error, and log why."""
        error = sys.exc_info()[1]
        _faults.error("STREAM_PERSONA_AUDIT_FILE can't be written, its lines come here: %s", error)
        with suppress(OSError, ValueError):  # there may be none
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()


class _SystemLog(logging.Handler):
    """Writes to the system's log; where there is none, the system's own function does nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        syslog.syslog(syslog.LOG_AUTHPRIV | syslog.LOG_INFO, self.format(record))


class _StandardError(logging.Handler):
    """Writes to what is standard error at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        sys.stderr.write(f"{self.format(record)}\n")
        sys.stderr.flush()
