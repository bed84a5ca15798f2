"""The caller of a request: identified by the door, kept for the route in the request's state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import Scope as AsgiScope

    from stream_persona.api.security.logins import Person
    from stream_persona.api.security.scopes import Scope

_CALLER: Final = "caller"


@dataclass(frozen=True, slots=True)
class Caller:
    """A key, or a program on this machine where there are no keys."""

    name: str
    scopes: frozenset[Scope]
    by_cookie: bool = False
    digest: bytes = field(default=b"", repr=False)
    person: Person | None = None


def note_caller(asked: AsgiScope, caller: Caller | None) -> None:
    """Note the caller of a request."""
    get_state(asked)[_CALLER] = caller


def get_caller(asked: AsgiScope) -> Caller | None:
    """Return the caller; None for a probe without a key."""
    caller = get_state(asked).get(_CALLER)
    return caller if isinstance(caller, Caller) else None


def may_operate(asked: AsgiScope) -> bool:
    """Whether an answer may name servers, files and settings.

    Without a door, as where a service of your own mounts the routes, that service decides.
    """
    caller = get_caller(asked)
    if caller is None:
        return _CALLER not in get_state(asked)
    return "operate" in caller.scopes


def get_state(asked: AsgiScope) -> dict[str, object]:
    """Return the state of a request, which ends with it."""
    state: dict[str, object] = asked.setdefault("state", {})
    return state
