"""The id of a request: the caller's or one of our own, in the answer, the log and the audit log."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

from stream_persona.api.security.caller import get_state

if TYPE_CHECKING:
    from starlette.types import Scope

REQUEST_ID: Final = "X-Request-ID"
_IS_ONE: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_KEPT: Final = "request_id"


def choose_request_id(scope: Scope) -> str:
    """Return the caller's ``X-Request-ID`` if it is one, else one of our own; always the same."""
    state = get_state(scope)
    if _KEPT not in state:
        given = Headers(scope=scope).get(REQUEST_ID, "")
        state[_KEPT] = given if _IS_ONE.fullmatch(given) else uuid.uuid4().hex
    return str(state[_KEPT])
