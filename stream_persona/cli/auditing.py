"""The audit log of commands: who of this machine assigned or deleted, and whether it went out."""

from __future__ import annotations

import os
import pwd
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stream_persona import audit_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_persona.settings import Settings


@contextmanager
def auditing(settings: Settings, action: str, facts: Mapping[str, object]) -> Iterator[None]:
    """Write the line of what is done in the block, whether it succeeds or not.

    ``facts`` are those of its end: the block may add to them.

    Raises:
        SettingsError: the file of the audit log can't be written; nothing is done then.
    """
    audit_log.configure_command(settings.audit_file, settings.log_level)
    outcome = "failed"
    try:
        yield
        outcome = "accepted"
    finally:
        known = {**facts, "host": socket.gethostname()}
        audit_log.write(action, f"user {_find_user()}", outcome, known)


def _find_user() -> str:
    """Return the name of the process' user, which no variable decides; else the number."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # as in a container
        return str(number)
