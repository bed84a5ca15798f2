"""The typed events that come in and the messages that go out; bytes to event and back.

Decoding is strict on required fields and ignores unknown ones: every failure is one
``DecodeError`` whose ``reason`` is in ``REASONS``. Numbers as times become epoch milliseconds
(``time``), and an id that stands for nobody is read as any other (``identity``).

**Limits.** A message beyond one of them is refused, so that none costs more than any other of its
size, and the same ones are refused on every run, machine and Python:

=====================  ===========================================================================
a message              1,000,000 bytes; 256 levels of nesting, in unknown fields too
``customer_id``        1 to 256 bytes, printable, no blanks at an end: a part of keys and addresses
other ids              1 to 256 characters, any but lone surrogates
texts, attributes      1,024 characters; 64 attributes of an event or item, with any text as key
a persona              1 to 128 characters, and of the taxonomy, in any spelling
channel, action        1 to 64 characters
items of a purchase    1 to 1,000, with 4,096 attributes together
price, quantity        finite; lines of less than 0, and of no piece, are left out (``tokenizer``)
times                  from 1970 to 9999; far in the future they are clamped (``pipeline``), or
                       refused where nothing is known of the arrival (``kafka.arrivals``)
=====================  ===========================================================================

If an object has a key twice, the last one counts.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast, get_args

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from stream_persona.domain.decode_errors import explain, show_apart
from stream_persona.domain.identity import MAX_ID_BYTES, NOBODY_IDS, SHORT_ID, find_fault
from stream_persona.domain.message_size import MAX_BYTES, MAX_DEPTH, SHORT_MESSAGE, check_size
from stream_persona.domain.time import (
    FORMS,
    MILLISECONDS_END,
    SECONDS_END,
    as_field,
    format_rfc3339,
    to_milliseconds,
)  # fmt: skip
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.token_names import Name

#: Most items of a purchase, most attributes of one of these, and of all of them together.
MAX_ITEMS: Final = 1_000
MAX_ATTRIBUTES: Final = 64
MAX_ITEM_ATTRIBUTES: Final = 4_096

# Events and records hold no cycles, so the collector need not visit all that are kept in memory
# again and again (``gc=False``).
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]
CustomerId = Annotated[str, Meta(max_length=MAX_ID_BYTES)]  # an empty one stands for nobody
if TYPE_CHECKING:
    Time = datetime | int
else:  # numbers of other units, and fractions, are there until an event is decoded
    Time = Annotated[datetime, Meta(tz=True)] | int | float
Text = Annotated[str, Meta(max_length=1_024)]
Action = Literal["view", "search", "add_to_cart", "remove_from_cart", "wishlist"]
Attributes = Annotated[dict[Text, Text], Meta(max_length=MAX_ATTRIBUTES)]


class Item(Struct, frozen=True, gc=False):
    """A product, as bought or looked at; ``price`` is that of one piece."""

    product_id: Id
    category: Text | None = None
    brand: Text | None = None
    price: float | None = None
    quantity: float = 1.0
    attributes: Attributes | None = None

    @property
    def is_returned(self) -> bool:
        """Whether it was given back, or is no piece at all: then it says nothing of the shopper."""
        return self.quantity <= 0 or (self.price is not None and self.price < 0)


class Purchase(Struct, frozen=True, gc=False):
    """One order or basket."""

    event_id: Id
    customer_id: CustomerId
    occurred_at: Time
    items: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=MAX_ITEMS)]
    order_id: Text | None = None
    attributes: Attributes | None = None


class Browse(Struct, frozen=True, gc=False):
    """One look at the shop: a view, a search, something put into the cart or taken out."""

    event_id: Id
    customer_id: CustomerId
    occurred_at: Time
    action: Action
    product: Item | None = None
    query: Text | None = None
    attributes: Attributes | None = None


class Engagement(Struct, frozen=True, gc=False):
    """One reaction to a message or campaign."""

    event_id: Id
    customer_id: CustomerId
    occurred_at: Time
    channel: Annotated[str, Meta(min_length=1, max_length=64)]
    action: Annotated[str, Meta(min_length=1, max_length=64)]
    campaign: Text | None = None
    attributes: Attributes | None = None


class TokenizedEvent(Struct, frozen=True, gc=False):
    """An event of behaviour as its tokens: all that processing needs of it, in little memory.

    A batch of these leaves the processor's caches to the records; a batch of events does not.
    Slots and weights are packed (``slots.SLOT_TYPE``, ``slots.WEIGHT_TYPE``). ``order_id`` is that
    of a purchase, None where it names no order; ``anomalies`` are the reasons why something of the
    event was left out (``domain.anomaly``), one for each time; ``names`` are those of its tokens of
    which too few carriers are known.
    """

    event_id: str
    customer_id: str
    occurred_at: int
    slots: bytes
    weights: bytes
    order_id: str | None = None
    anomalies: tuple[str, ...] = ()
    names: tuple[Name, ...] = ()


class Assignment(Struct, frozen=True, gc=False):
    """A persona given to a customer by the team; ``persona=None`` withdraws it."""

    assignment_id: Id
    customer_id: CustomerId
    occurred_at: Time
    persona: Annotated[str, Meta(min_length=1, max_length=128)] | None
    source: Text | None = None
    expires_at: Time | None = None


class Deletion(Struct, frozen=True, gc=False):
    """A request to forget a customer, together with everything learned from the customer."""

    request_id: Id
    customer_id: CustomerId
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
    "unknown_persona", "future_time", "unknown_schema", "wrong_format",
})  # fmt: skip

#: Fewer items are within the limit of all attributes.
_FEW_ITEMS: Final = MAX_ITEM_ATTRIBUTES // MAX_ATTRIBUTES
#: The fields that have a closed list of values.
KNOWN_VALUES: Final = tuple(
    {"action": get_args(Action)} if kind is Browse else {} for kind in KINDS
)

_ENCODER = msgspec.json.Encoder()
_DECODERS = tuple(msgspec.json.Decoder(kind) for kind in KINDS)


def get_event_time(event: Event | TokenizedEvent) -> int:
    """Return when it happened, in epoch milliseconds of event time."""
    time = event.requested_at if isinstance(event, Deletion) else event.occurred_at
    return time if isinstance(time, int) else to_milliseconds(time)


def decode_event(kind: int, value: bytes | None, nobody: NobodyIds = NOBODY_IDS) -> Event:
    """Return the event of ``kind`` (an index into ``KINDS``) in a message's value.

    Its ``customer_id`` may be one of ``nobody``: the caller looks, and ignores the event.

    Raises:
        DecodeError: for any bytes that are not such an event; no other error is raised.
    """
    if not value:
        raise DecodeError("empty", "the message has no value")
    if len(value) >= SHORT_MESSAGE:
        check_size(value)
    try:
        event = _DECODERS[kind].decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain(error, KNOWN_VALUES[kind]) from None
    check_meaning(kind, event, nobody)
    return event


def decode_for_taxonomy(
    kind: int, value: bytes | None, taxonomy: Taxonomy, nobody: NobodyIds = NOBODY_IDS
) -> Event:
    """Do as ``decode_event`` does; spell an assigned persona as the taxonomy, or refuse it."""
    event = decode_event(kind, value, nobody)
    if kind != ASSIGNMENT or event.customer_id in nobody:
        return event
    persona = cast("Assignment", event).persona
    own = taxonomy.resolve(persona)
    if persona is not None and own is None:
        shown, known = show_apart(persona, taxonomy.names)
        detail = f"persona {shown} is not of the taxonomy; expected one of {known}"
        raise DecodeError("unknown_persona", detail)
    return event if own == persona else replace(cast("Assignment", event), persona=own)


def check_meaning(kind: int, event: Event, nobody: NobodyIds) -> None:
    """Refuse ids, times and sizes that their types allow and the limits do not.

    Raises:
        DecodeError: there is one.
    """
    customer_id = event.customer_id
    is_plain = customer_id.isprintable() and customer_id.strip() == customer_id
    if (len(customer_id) > SHORT_ID or not is_plain) and customer_id not in nobody:
        check_id(customer_id)
    time = event.requested_at if isinstance(event, Deletion) else event.occurred_at
    # Nearly all are milliseconds, and stay as they are.
    if type(time) is not int or not SECONDS_END <= time < MILLISECONDS_END:
        name = "requested_at" if isinstance(event, Deletion) else "occurred_at"
        msgspec.structs.force_setattr(event, name, _settle(time, name))
    if kind == ASSIGNMENT:
        expires_at = cast("Assignment", event).expires_at
        if expires_at is not None:
            settled = _settle(expires_at, "expires_at")
            msgspec.structs.force_setattr(event, "expires_at", settled)
    elif kind == PURCHASE and isinstance(event, Purchase) and len(event.items) > _FEW_ITEMS:
        _check_attributes(event)


def _settle(time: datetime | int, name: str) -> datetime | int:
    """Return a time as events hold it; ``name`` is the field's."""
    try:
        return as_field(time)
    except ValueError as error:
        raise DecodeError("invalid_field", f"{error} - at `$.{name}`: {FORMS}") from None


def _check_attributes(event: Purchase) -> None:
    attributes = sum(len(item.attributes) for item in event.items if item.attributes)
    if attributes > MAX_ITEM_ATTRIBUTES:
        limit = f"at most {MAX_ITEM_ATTRIBUTES:,} are read"
        raise DecodeError("invalid_field", f"the items have {attributes:,} attributes; {limit}")


def check_id(customer_id: str) -> None:
    """Refuse a customer id that could not be part of a key or an address.

    Raises:
        DecodeError: empty, over ``MAX_ID_BYTES`` in UTF-8, with control characters, or with blanks
            at an end.
    """
    if (fault := find_fault(customer_id)) is not None:
        raise DecodeError("invalid_id", fault)


def encode(message: object) -> bytes:
    """Encode an event, or anything made of plain values, as JSON."""
    return _ENCODER.encode(message)


__all__ = [
    "ASSIGNMENT", "BEHAVIOURAL", "BROWSE", "DELETION", "ENGAGEMENT", "KINDS", "KNOWN_VALUES",
    "MAX_ATTRIBUTES", "MAX_BYTES", "MAX_DEPTH", "MAX_ID_BYTES", "MAX_ITEMS", "MAX_ITEM_ATTRIBUTES",
    "PURCHASE", "REASONS", "Action", "Assignment", "Behaviour", "Browse", "Deletion", "Engagement",
    "Event", "Item", "Purchase", "Time", "TokenizedEvent", "check_id", "check_meaning",
    "decode_event", "decode_for_taxonomy", "encode", "format_rfc3339", "get_event_time",
    "to_milliseconds",
]  # fmt: skip
