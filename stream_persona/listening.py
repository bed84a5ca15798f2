"""Says why a process can't listen on an address: its host or its port is wrong."""

from __future__ import annotations

import errno
from typing import Final, Literal

from stream_persona.errors import SettingsError

#: Errors that another port would not have; all others are of the host.
_OF_THE_PORT: Final = frozenset({errno.EADDRINUSE, errno.EACCES, errno.EPERM})


def explain_listening(
    error: Exception, what: Literal["API", "METRICS"], host: str, port: int
) -> SettingsError:
    """Return the error that names the setting of the address of ``what``."""
    reason = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
    if getattr(error, "errno", None) in _OF_THE_PORT:
        setting, remedy = "PORT", "name another port, or 0 for any free one"
    else:
        setting, remedy = "HOST", "name an address of this machine, such as 127.0.0.1 or 0.0.0.0"
    name = f"STREAM_PERSONA_{what}_{setting}"
    return SettingsError(f"{name}: can't listen on {host}:{port} ({reason}); {remedy}")
