"""The audit log of requests: a line for each command, and a bounded number for refused calls.

A flood of refused calls must not fill a disk. Of each status ``MOST`` calls a minute are written;
the rest are counted, and written in one line when the minute is over. The metric ``refusals``
counts all of them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from stream_persona import audit_log
from stream_persona.api.security.caller import get_caller, get_state
from stream_persona.api.security.request_ids import choose_request_id
from stream_persona.api.security.scopes import AUDITED

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import Counter
    from starlette.types import Message, Scope, Send

    from stream_persona.api.security.scopes import ScopeRule

#: Most lines of refused calls of a status in a window, and its seconds.
MOST: Final = 50
WINDOW: Final = 60.0

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FIRST_FAILURE, _FIRST_MISTAKE = 500, 400
#: Why a route refuses a call, where it does not note it.
_REASONS: Final = {401: "no valid key in the body", 403: "scope", 429: "too many"}
#: Statuses of answers that refuse a call, of the door and of routes.
_REFUSALS: Final = frozenset(_REASONS)


class Audit:
    """Writes the lines. ``clock`` gives seconds that never go back."""

    def __init__(self, refusals: Counter, clock: Callable[[], float] = time.monotonic) -> None:
        self._refusals = refusals
        self._clock = clock
        self._began = clock()
        self._written: dict[int, int] = {}

    def refuse(self, scope: Scope, status: int, who: str | None, reason: str, **facts: str) -> None:
        """Count a refused call, and write its line if there is room for it."""
        self._refusals.labels(str(status)).inc()
        self.flush()
        self._written[status] = self._written.get(status, 0) + 1
        if self._written[status] <= MOST:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            what = {"status": status, "reason": reason, "method": method}
            what |= {"route": _find_route(scope), **facts}
            audit_log.write("call", who or "nobody", "refused", what | describe_request(scope))

    def flush(self) -> None:
        """Begin a new window once one is over."""
        if self._clock() - self._began >= WINDOW:
            self.close()

    def close(self) -> None:
        """End a window, with a line on what was left out of it."""
        for status, number in self._written.items():
            if number > MOST:
                left_out = {"status": status, "left_out": number - MOST}
                audit_log.write("call", "several", "refused", left_out)
        self._written = {}
        self._began = self._clock()

    def follow_command(self, scope: Scope, send: Send, rule: ScopeRule, who: str) -> CommandLine:
        """Return a sender that writes the line of a command before its answer."""
        return CommandLine(scope, send, AUDITED[rule.scope], who)

    def follow_answer(self, scope: Scope, send: Send) -> Send:
        """Return a ``send`` that notes an answer by which a route refuses the call."""

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in _REFUSALS:
                caller, status = get_caller(scope), message["status"]
                who = None if caller is None else caller.name
                self.refuse(scope, status, who, _find_reason(scope, status))
            await send(message)

        return send_and_note


class CommandLine:
    """Sends the answer to a command once its line is written: who has the one finds the other."""

    def __init__(self, scope: Scope, send: Send, action: str, who: str) -> None:
        self._scope = scope
        self._send = send
        self._action = action
        self._who = who
        self._is_written = False

    async def send(self, message: Message) -> None:
        """Send on; before the answer, its line is written."""
        if message["type"] == "http.response.start":
            self._write(message["status"])
        await self._send(message)

    def close(self) -> None:
        """Write the line of a command that was never answered: it has failed."""
        if not self._is_written:
            self._write(_FIRST_FAILURE)

    def _write(self, status: int) -> None:
        self._is_written = True
        outcome = "accepted" if status < _FIRST_MISTAKE else "refused"
        if status >= _FIRST_FAILURE:
            outcome = "failed"
        facts = {"status": status, **_read_notes(self._scope), **describe_request(self._scope)}
        audit_log.write(self._action, self._who, outcome, facts)


def note_command(scope: Scope, event_id: str, customer_id: str) -> None:
    """Note which event a command has become, for its line."""
    get_state(scope)["audit"] = {"event_id": event_id, "customer_id": customer_id}


def note_route(scope: Scope, template: str) -> None:
    """Note the template of the path that is asked for: the path itself may name a customer."""
    get_state(scope)["audit route"] = template


def note_reason(scope: Scope, reason: str) -> None:
    """Note why a route refuses a call."""
    get_state(scope)["audit reason"] = reason


def _find_route(scope: Scope) -> str:
    return str(get_state(scope).get("audit route", "none"))


def _find_reason(scope: Scope, status: int) -> str:
    return str(get_state(scope).get("audit reason") or _REASONS[status])


def _read_notes(scope: Scope) -> dict[str, str]:
    noted = get_state(scope).get("audit")
    return noted if isinstance(noted, dict) else {}


def find_address(scope: Scope) -> str:
    """Return the address of the caller, as the server sees it."""
    host, *_ = scope.get("client") or ("unknown",)
    return str(host)


def describe_request(scope: Scope) -> dict[str, str]:
    """Return where a request came from, and its id."""
    return {"address": find_address(scope), "request_id": choose_request_id(scope)}
