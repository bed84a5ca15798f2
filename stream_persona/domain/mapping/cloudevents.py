"""CloudEvents: an envelope, or a batch of them, with any other shape in it.

In structured mode the message's value is the envelope; in Kafka's binary mode its attributes are
headers, the value is the data, and ``make_envelope`` puts them together.

``data`` is an event of ours, or a document of another preset: its fields show which. The envelope
gives the time that the data lacks. ``subject`` is the customer of data of ours that names none;
beside a document of another tool it may be anything, such as the order. The id is the
envelope's, ``source`` and ``id`` together, as these distinguish a retry from another event;
assignments and deletions keep their own.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import DELETION, PURCHASE
from stream_persona.domain.mapping.decoding import decode_document
from stream_persona.domain.mapping.drafts import EventDraft, LinkDraft
from stream_persona.domain.mapping.own import ID_FIELDS, is_own_event, recognize_kind
from stream_persona.domain.mapping.recognition import recognize
from stream_persona.domain.mapping.values import (
    MAX_EVENTS,
    choose_customer,
    convert_text,
    convert_time,
    join_id,
    number_id,
    read_name,
    require_list,
    require_object,
)
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.mapping.drafts import Findings, Found

_PLACE: Final = re.compile(r"`\$")
#: What stands before an attribute's name in Kafka's headers.
_PREFIX: Final = "ce_"
_SPECVERSION: Final = "ce_specversion"
_ATTRIBUTES: Final = {"content-type": "datacontenttype"}
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_TAKEN_BACK: Final = frozenset({
    "cancel", "canceled", "cancelled", "cancellation", "refund", "refunds", "refunded", "return",
    "returns", "returned", "void", "voided", "chargeback", "reversed", "rejected", "declined",
})  # fmt: skip
_NOT_YET: Final = frozenset({"cart", "carts", "wishlist", "wishlists", "draft", "drafts", "quote"})
_BOUGHT: Final = frozenset({"purchased", "ordered", "bought", "paid", "completed"})


def make_envelope(headers: Mapping[str, bytes | None], data: object) -> dict[str, Any] | None:
    """Make the envelope of a message in binary mode; None if it is in no such mode.

    Raises:
        DecodeError: an attribute is no text.
    """
    if _SPECVERSION not in headers:
        return None
    envelope: dict[str, Any] = {}
    for name, value in headers.items():
        if name.startswith(_PREFIX) or name == "content-type":
            try:
                found = (value or b"").decode()
            except UnicodeDecodeError:
                raise DecodeError("invalid_field", f"the header {name} is no text") from None
            envelope[_ATTRIBUTES.get(name) or name.removeprefix(_PREFIX)] = found
    return {**envelope, "data": data}


def read_cloudevents(
    document: object, nobody: NobodyIds, arrived_at: int | None = None
) -> Findings:
    """Read an envelope, or a batch of them."""
    if not isinstance(document, list):
        yield from _read_envelope(document, "$", nobody, arrived_at)
        return
    for index, each in enumerate(require_list(document, "$", MAX_EVENTS)):
        try:
            yield from _read_envelope(each, f"$[{index}]", nobody, arrived_at)
        except DecodeError as error:
            yield error


def _read_envelope(
    document: object, place: str, nobody: NobodyIds, arrived_at: int | None
) -> Findings:
    envelope = require_object(document, place)
    for name in ("specversion", "id", "source"):
        # Two without an id would be one event.
        if not isinstance(value := envelope.get(name), str) or not value:
            detail = f"no CloudEvent: expected a text that is not empty - at `{place}.{name}`"
            raise DecodeError("invalid_field", detail)
    try:
        data = _find_data(envelope)
        found = list(_read_data(data, envelope, nobody, arrived_at))
    except DecodeError as error:
        raise _move(error, place) from None
    for index, each in enumerate(found):
        yield _complete(each, index, envelope, place, arrived_at)


def _find_data(envelope: Mapping[str, Any]) -> Any:
    encoded = envelope.get("data_base64")
    if encoded is not None:
        try:
            value = base64.b64decode(encoded, validate=True)
        except (TypeError, ValueError):
            raise DecodeError("invalid_field", "no base64 - at `$_base64`") from None
        return decode_document(value)
    data = envelope.get("data")
    return decode_document(data.encode(errors="replace")) if isinstance(data, str) else data


def _read_data(
    data: Any, envelope: Mapping[str, Any], nobody: NobodyIds, arrived_at: int | None
) -> Findings:
    if data is None:
        yield Anomaly.UNKNOWN_EVENT
        return
    fields = require_object(data, "$")
    if not is_own_event(fields) and (read := recognize(fields)) is not None:
        yield from read(fields, nobody, arrived_at)
    elif (kind := recognize_kind(fields)) is not None:
        customer = choose_customer(
            (fields.get("customer_id"), convert_text(envelope.get("subject"))), nobody
        )
        yield EventDraft(kind, {**fields, "customer_id": customer})
    else:
        yield Anomaly.UNKNOWN_EVENT


def _complete(
    found: Found,
    index: int,
    envelope: Mapping[str, Any],
    place: str,
    arrived_at: int | None,
) -> Found:
    """Return what is found with what the envelope adds, at its place in the document."""
    if isinstance(found, DecodeError):
        return _move(found, place)
    if isinstance(found, LinkDraft):
        return found._replace(place=_move_place(found.place, place))
    if isinstance(found, Anomaly):
        return found
    if found.kind == PURCHASE and (reason := _contradict(envelope)) is not None:
        return reason
    fields = dict(found.fields)
    event_id = number_id(join_id(envelope["source"], envelope["id"]), index)
    if (own := ID_FIELDS.get(found.kind)) is None:
        fields["event_id"] = event_id
    elif fields.get(own) is None:
        fields[own] = event_id
    moment = "requested_at" if found.kind == DELETION else "occurred_at"
    if fields.get(moment) is None:
        fields[moment] = convert_time(envelope.get("time")) or arrived_at
    return found._replace(fields=fields, place=_move_place(found.place, place))


def _contradict(envelope: Mapping[str, Any]) -> Anomaly | None:
    """Return why items are none of an order, where the type says so: they look the same."""
    words = {word.lower() for word in _WORD.findall(read_name(envelope.get("type")))}
    if words & _TAKEN_BACK:
        return Anomaly.NOT_BOUGHT
    return Anomaly.UNKNOWN_EVENT if words & _NOT_YET and not words & _BOUGHT else None


def _move(error: DecodeError, place: str) -> DecodeError:
    return DecodeError(error.reason, _PLACE.sub(lambda _: f"`{place}.data", error.detail))


def _move_place(inner: str, place: str) -> str:
    return f"{place}.data{inner[1:]}"
