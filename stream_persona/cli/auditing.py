"""The audit log of commands: who of this machine assigned or deleted, and whether it went out."""

from __future__ import annotations

import os
import pwd
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stream_persona import audit_log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_persona.settings import Settings


@contextmanager
def auditing(settings: Settings, action: str, event_id: str, customer_id: str) -> Iterator[None]:
    """Write the line of what is done in the block, whether it succeeds or not.

    Raises:
        SettingsError: the file of the audit log can't be written; nothing is done then.
    """
    audit_log.configure_command(settings.audit_file, settings.log_level)
    outcome = "failed"
    try:
        yield
        outcome = "accepted"
    finally:
        facts = {
            "event_id": event_id, "customer_id": customer_id, "host": socket.gethostname()
        }  # fmt: skip
        audit_log.write(action, f"user {_find_user()}", outcome, facts)


def _find_user() -> str:
    """Return the name of the process' user, which no variable decides; else the number."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # as in a container
        return str(number)
