"""The audit log of commands: the user who assigned or deleted, and whether it was sent."""

from __future__ import annotations

import os
import pwd
import socket
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from stream_persona import audit_log
from stream_persona.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_persona.kafka.sender import Outgoing
    from stream_persona.settings import Settings


@contextmanager
def audit_block(settings: Settings, action: str, facts: Mapping[str, object]) -> Iterator[None]:
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
    except (ConfigError, InputError):
        outcome = "refused"
        raise
    finally:
        _write(action, outcome, facts)


@contextmanager
def audit_refusals(settings: Settings, action: str, facts: Mapping[str, object]) -> Iterator[None]:
    """Write a line if the block, which does nothing yet, refuses what was asked for."""
    try:
        yield
    except (ConfigError, InputError):
        write_refusal(settings, action, facts)
        raise


def write_refusal(settings: Settings, action: str, facts: Mapping[str, object]) -> None:
    """Write the line of what was refused."""
    audit_log.configure_command(settings.audit_file, settings.log_level)
    _write(action, "refused", facts)


def write_command(message: Outgoing, is_confirmed: bool) -> None:
    """Write the line of a file's assignment or deletion: ``audit_block`` is entered meanwhile."""
    if message.command is None:
        return
    facts = {
        "event_id": message.command.event_id, "line": message.line,
        "customer_id": message.customer,
    }  # fmt: skip
    _write(message.command.action, "accepted" if is_confirmed else "failed", facts)


def _write(action: str, outcome: str, facts: Mapping[str, object]) -> None:
    audit_log.write(action, _find_user(), outcome, {**facts, "host": socket.gethostname()})


@cache
def _find_user() -> str:
    """Return the name of the process' user, which no variable decides; else the number."""
    number = os.getuid()
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:  # as in a container
        return f"user {number}"
