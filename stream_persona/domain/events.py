"""The typed events that come in and the messages that go out; bytes to event and back.

Decoding is strict on required fields and ignores unknown ones: every failure is one
``DecodeError`` whose ``reason`` is in ``REASONS``. Times become integer epoch milliseconds.

**Limits.** A message beyond one of them is refused, so that none costs more than any other of its
size, and the same ones are refused on every run, machine and Python:

=====================  ===========================================================================
a message              1,000,000 bytes; 256 levels of nesting, in unknown fields too
``customer_id``        1 to 256 bytes, all printable: it is part of keys, and of addresses
other ids              1 to 256 characters, any but lone surrogates
texts, attributes      1,024 characters; 64 attributes of an event or item, with any text as key
a persona              1 to 128 characters, and of the taxonomy
channel, action        1 to 64 characters
items of a purchase    1 to 1,000, with 4,096 attributes together
price, quantity        finite; at least 0, and more than 0
times                  from 1970 to 9999; far in the future they are clamped (``pipeline``)
=====================  ===========================================================================

If an object has a key twice, the last one counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

import msgspec
import numpy as np
from msgspec import Meta, Struct

from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.token_names import Name

#: Most bytes of a message: one that is accepted fits, with headers, into any broker's defaults.
MAX_BYTES: Final = 1_000_000
#: Most levels of nesting: whether a deeper message can be read depends on how deep our stack is.
MAX_DEPTH: Final = 256
#: Most bytes of a customer id (UTF-8); most characters of any other id.
MAX_ID_BYTES: Final = 256
#: Most items of a purchase, most attributes of one of these, and of all of them together.
MAX_ITEMS: Final = 1_000
MAX_ATTRIBUTES: Final = 64
MAX_ITEM_ATTRIBUTES: Final = 4_096

#: Where the year 10000 begins.
_END: Final = 253_402_300_800_000

# Events and records hold no cycles, so the collector need not visit all that are kept in memory
# again and again (``gc=False``).
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]
Time = Annotated[datetime, Meta(tz=True)] | Annotated[int, Meta(ge=0, lt=_END)]
Text = Annotated[str, Meta(max_length=1_024)]
Action = Literal["view", "search", "add_to_cart", "remove_from_cart", "wishlist"]
Attributes = Annotated[dict[Text, Text], Meta(max_length=MAX_ATTRIBUTES)]


class Item(Struct, frozen=True, gc=False):
    """A product, as bought or looked at; ``price`` is that of one piece."""

    product_id: Id
    category: Text | None = None
    brand: Text | None = None
    price: Annotated[float, Meta(ge=0)] | None = None
    quantity: Annotated[float, Meta(gt=0)] = 1.0
    attributes: Attributes | None = None


class Purchase(Struct, frozen=True, gc=False):
    """One order or basket."""

    event_id: Id
    customer_id: Id
    occurred_at: Time
    items: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=MAX_ITEMS)]
    order_id: Text | None = None
    attributes: Attributes | None = None


class Browse(Struct, frozen=True, gc=False):
    """One look at the shop: a view, a search, something put into the cart or taken out."""

    event_id: Id
    customer_id: Id
    occurred_at: Time
    action: Action
    product: Item | None = None
    query: Text | None = None
    attributes: Attributes | None = None


class Engagement(Struct, frozen=True, gc=False):
    """One reaction to a message or campaign."""

    event_id: Id
    customer_id: Id
    occurred_at: Time
    channel: Annotated[str, Meta(min_length=1, max_length=64)]
    action: Annotated[str, Meta(min_length=1, max_length=64)]
    campaign: Text | None = None
    attributes: Attributes | None = None


class TokenizedEvent(Struct, frozen=True, gc=False):
    """An event of behaviour as its tokens: all that processing needs of it, in little memory.

    A batch of these leaves the processor's caches to the records; a batch of events does not.
    Slots and weights are packed (``slots.SLOT_TYPE``, ``slots.WEIGHT_TYPE``); ``names`` are those
    of its tokens of which too few carriers are known.
    """

    event_id: str
    customer_id: str
    occurred_at: int
    slots: bytes
    weights: bytes
    names: tuple[Name, ...] = ()


class Assignment(Struct, frozen=True, gc=False):
    """A persona given to a customer by the team; ``persona=None`` withdraws it."""

    assignment_id: Id
    customer_id: Id
    occurred_at: Time
    persona: Annotated[str, Meta(min_length=1, max_length=128)] | None
    source: Text | None = None
    expires_at: Time | None = None


class Deletion(Struct, frozen=True, gc=False):
    """A request to forget a customer, together with everything learned from the customer."""

    request_id: Id
    customer_id: Id
    requested_at: Time


Behaviour = Purchase | Browse | Engagement
Event = Behaviour | Assignment | Deletion

#: The kinds of input, in the order of ``Settings.input_topics``. A kind's index is stored.
KINDS: Final[tuple[type[Event], ...]] = (Purchase, Browse, Engagement, Assignment, Deletion)
PURCHASE, BROWSE, ENGAGEMENT, ASSIGNMENT, DELETION = range(5)
#: The kinds of behaviour: these events are folded into counts.
BEHAVIOURAL: Final = frozenset({PURCHASE, BROWSE, ENGAGEMENT})

#: Why a message was put into the dead letters.
REASONS: Final = frozenset({
    "empty", "too_large", "not_utf8", "not_json", "too_deep", "invalid_field", "invalid_id",
    "unknown_persona",
})  # fmt: skip

#: A shorter message is within the limit of nesting, and fewer items within that of all attributes.
_SHORT: Final = 2 * MAX_DEPTH
_FEW_ITEMS: Final = MAX_ITEM_ATTRIBUTES // MAX_ATTRIBUTES
#: An id of no more characters has no more than its most bytes.
_SHORT_ID: Final = MAX_ID_BYTES // 4

_ENCODER = msgspec.json.Encoder()
_DECODERS = tuple(msgspec.json.Decoder(kind) for kind in KINDS)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b"{[}]"))


def milliseconds(time: datetime | int) -> int:
    """Epoch milliseconds of an aware datetime; an integer is taken as it is."""
    return time if isinstance(time, int) else (time - _EPOCH) // _MILLISECOND


def rfc3339(at: int) -> str:
    """The RFC 3339 text, in UTC to the millisecond, of epoch milliseconds."""
    minute, rest = divmod(at, 60_000)
    digits = str(100_000 + rest)
    return f"{_minute(minute)}{digits[1:3]}.{digits[3:]}Z"


@lru_cache(maxsize=4_096)
def _minute(minute: int) -> str:
    """The text of a minute, up to where its seconds follow."""
    return (_EPOCH + timedelta(minutes=minute)).isoformat()[:17]


def event_id(event: Event) -> str:
    """The id that the producer gave: the same on every retry of one event."""
    if isinstance(event, Assignment):
        return event.assignment_id
    return event.request_id if isinstance(event, Deletion) else event.event_id


def event_time(event: Event | TokenizedEvent) -> int:
    """When it happened, in epoch milliseconds of event time."""
    time = event.requested_at if isinstance(event, Deletion) else event.occurred_at
    return time if isinstance(time, int) else milliseconds(time)


def decode_event(kind: int, value: bytes | None) -> Event:
    """Return the event of ``kind`` (an index into ``KINDS``) in a message's value.

    Raises:
        DecodeError: for any bytes that are not such an event; no other error is raised.
    """
    if not value:
        raise DecodeError("empty", "the message has no value")
    if len(value) >= _SHORT:
        _check_size(value)
    try:
        event = _DECODERS[kind].decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _parse_error(error) from None
    _check_meaning(kind, event)
    return event


def decode_for_taxonomy(kind: int, value: bytes | None, taxonomy: Taxonomy) -> Event:
    """As ``decode_event``; an assignment of a persona that the taxonomy lacks is refused too."""
    event = decode_event(kind, value)
    if kind == ASSIGNMENT:
        persona = cast("Assignment", event).persona
        if persona not in {None, *taxonomy.names}:
            known = ", ".join(taxonomy.names)
            detail = f"persona {persona!r} is not of the taxonomy; expected one of {known}"
            raise DecodeError("unknown_persona", detail)
    return event


def _check_size(value: bytes) -> None:
    """Refuse a message that is too large, or nested too deep, to be parsed."""
    if len(value) > MAX_BYTES:
        detail = f"the message has {len(value):,} bytes; at most {MAX_BYTES:,} are read"
        raise DecodeError("too_large", detail)
    if value.count(b"{") + value.count(b"[") > MAX_DEPTH and _is_deep(value):
        raise DecodeError("too_deep", f"nested deeper than {MAX_DEPTH} levels")


def _is_deep(value: bytes) -> bool:
    """Whether well-formed JSON is nested too deep; for anything else the result has no meaning."""
    unescaped = value.replace(rb"\\", b"").replace(rb"\"", b"")
    outside_strings = b"".join(unescaped.split(b'"')[::2])
    steps = np.frombuffer(outside_strings.translate(_STEPS, _OTHERS), np.int8)
    return int(steps.cumsum(dtype=np.int64).max(initial=0)) > MAX_DEPTH


def _parse_error(error: Exception) -> DecodeError:
    """Why bytes are not an event of their kind: invalid JSON, or invalid fields."""
    if isinstance(error, RecursionError):
        return DecodeError("too_deep", "nested deeper than can be read")
    if isinstance(error, UnicodeDecodeError):
        return DecodeError("not_utf8", str(error))
    invalid = isinstance(error, msgspec.ValidationError)
    return DecodeError("invalid_field" if invalid else "not_json", str(error))


def _check_meaning(kind: int, event: Event) -> None:
    """Refuse ids, times and sizes that their types allow and the limits do not."""
    customer_id = event.customer_id
    if len(customer_id) > _SHORT_ID or not customer_id.isprintable():
        check_id(customer_id)
    time = event.requested_at if isinstance(event, Deletion) else event.occurred_at
    if not isinstance(time, int):  # an integer is within its type's bounds
        _check_time(time)
    if kind == ASSIGNMENT:
        _check_time(cast("Assignment", event).expires_at)
    elif kind == PURCHASE and isinstance(event, Purchase) and len(event.items) > _FEW_ITEMS:
        _check_attributes(event)


def _check_time(time: datetime | int | None) -> None:
    if time is not None and not 0 <= milliseconds(time) < _END:
        raise DecodeError("invalid_field", "a time lies before 1970 or after 9999, in UTC")


def _check_attributes(event: Purchase) -> None:
    attributes = sum(len(item.attributes) for item in event.items if item.attributes)
    if attributes > MAX_ITEM_ATTRIBUTES:
        limit = f"at most {MAX_ITEM_ATTRIBUTES:,} are read"
        raise DecodeError("invalid_field", f"the items have {attributes:,} attributes; {limit}")


def check_id(customer_id: str) -> None:
    """Refuse a customer id that could not be part of a key or an address.

    Raises:
        DecodeError: empty, over ``MAX_ID_BYTES`` in UTF-8, or with control characters.
    """
    if not customer_id.isprintable():
        raise DecodeError("invalid_id", "customer_id has characters that cannot be printed")
    if not (0 < len(customer_id) <= _SHORT_ID or 0 < len(customer_id.encode()) <= MAX_ID_BYTES):
        raise DecodeError("invalid_id", f"customer_id must have 1 to {MAX_ID_BYTES} bytes")


def encode(message: object) -> bytes:
    """The JSON bytes of an event or of anything made of plain values."""
    return _ENCODER.encode(message)
