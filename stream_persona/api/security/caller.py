"""Who asks: found at the door, and noted for the route in the state of the request."""

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
    """Note who asks."""
    state_of(asked)[_CALLER] = caller


def caller_of(asked: AsgiScope) -> Caller | None:
    """Return who asks; None for a probe without a key."""
    caller = state_of(asked).get(_CALLER)
    return caller if isinstance(caller, Caller) else None


def may_operate(asked: AsgiScope) -> bool:
    """Whether an answer may name servers, files and settings.

    Without a door, as where a service of your own mounts the routes, that service decides.
    """
    caller = caller_of(asked)
    if caller is None:
        return _CALLER not in state_of(asked)
    return "operate" in caller.scopes


def state_of(asked: AsgiScope) -> dict[str, object]:
    """Return the state of a request, which ends with it."""
    state: dict[str, object] = asked.setdefault("state", {})
    return state
