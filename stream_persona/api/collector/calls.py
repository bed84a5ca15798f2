"""Calls of Segment's libraries, and of those that use its HTTP API, as documents to be mapped.

What Segment's servers add, we add: when a call came in, and an id for one that has none.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream_persona.api.collector.bodies import (
    Documents,
    check_number,
    decode_object,
    load_as_python_writes,
    pack_each,
)
from stream_persona.domain.decode_errors import explain
from stream_persona.domain.message_size import check_size
from stream_persona.domain.time import format_rfc3339
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    Call = dict[str, Any]


class _CallBatch(msgspec.Struct):
    """A body of many calls, with what it says of all of them."""

    batch: Documents
    sentAt: Any = None  # noqa: N815 - the field's name at Segment
    context: Any = None


_BATCHES: Final = msgspec.json.Decoder(_CallBatch)


def read_call(body: bytes, name: str, at: int) -> Call:
    """Read the one call of a body; ``at`` is when it came in, in epoch milliseconds.

    Raises:
        DecodeError: it is none, or one of another name.
    """
    call = decode_object(body)
    if call.setdefault("type", name) != name:
        shown = str(call["type"])[:64]
        detail = f"expected {name} or none, got {shown!r} - at `$.type`"
        raise DecodeError("invalid_field", detail)
    return _stamp(call, at, is_history=False)


def read_batch(body: bytes, at: int, *, is_history: bool) -> Iterator[Call | DecodeError]:
    """Read the calls of a body, each by itself; ``is_history`` if it was posted to be imported.

    Raises:
        DecodeError: it has no list of calls, or too many of them.
    """
    try:
        check_size(body)
        batch = _BATCHES.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found = load_as_python_writes(body)
        if not isinstance(found, dict) or not isinstance(found.get("batch"), list):
            raise explain(error, {}) from None
        calls = pack_each(found["batch"])
        batch = _CallBatch(calls, found.get("sentAt"), found.get("context"))
    check_number(batch.batch)
    return _read_each(batch, at, is_history=is_history)


def _read_each(batch: _CallBatch, at: int, *, is_history: bool) -> Iterator[Call | DecodeError]:
    for raw in batch.batch:
        try:
            yield _stamp(_inherit_from_batch(decode_object(raw), batch), at, is_history=is_history)
        except DecodeError as error:
            yield error


def _inherit_from_batch(call: Call, batch: _CallBatch) -> Call:
    """Fill a call's missing fields from its batch; the call's own fields win."""
    if batch.sentAt is not None:
        call.setdefault("sentAt", batch.sentAt)
    context = call.get("context", {})
    if isinstance(batch.context, dict) and isinstance(context, dict):
        call["context"] = batch.context | context
    return call


def _stamp(call: Call, at: int, *, is_history: bool) -> Call:
    """Add an id and when a call came in, and let its time be corrected by its sender's clock.

    Of history that is imported times are right as they are.
    """
    call["receivedAt"] = format_rfc3339(at)
    if call.get("messageId") is None:
        call["messageId"] = str(uuid.uuid4())
    if is_history and call.get("timestamp") is not None:
        return call
    happened = call.pop("timestamp", None) or call.get("originalTimestamp")
    call["timestamp" if happened is None else "originalTimestamp"] = happened or call["receivedAt"]
    return call
