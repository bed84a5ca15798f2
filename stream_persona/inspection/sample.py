"""What was read of a topic or a file, and each of its messages as an event of its kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream_persona.domain.events import ASSIGNMENT, KINDS, decode_event
from stream_persona.errors import DecodeError
from stream_persona.files.row_reader import KIND_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.domain.events import Event

#: Messages by which the kind that fits best is found.
_TRIED: Final = 500
#: Fields of each kind that no other one has.
_TELLING: Final[tuple[frozenset[str], ...]] = (
    frozenset({"items", "order_id", "line_items", "lineItems", "products"}),
    frozenset({"product", "query"}),
    frozenset({"channel", "campaign"}),
    frozenset({"assignment_id", "persona", "expires_at"}),
    frozenset({"request_id", "requested_at"}),
)


@dataclass(frozen=True, slots=True)
class SampledMessage:
    """A message of a topic, or a row of a file.

    ``position`` is for people. Times are epoch milliseconds: ``arrived_at`` by the broker's clock,
    where that set it, ``sent_at`` as its producer set it. ``error`` is that of a bad row.
    """

    value: bytes | None
    position: str
    partition: int = 0
    key: bytes | None = None
    arrived_at: int | None = None
    sent_at: int | None = None
    error: DecodeError | None = None


@dataclass(frozen=True, slots=True)
class TopicSetup:
    """A topic as it is set up; ``configs`` are empty where the broker does not give them."""

    partitions: int
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputSample:
    """What was read of an input: a ``topic`` with these facts, or a file of a ``format``.

    ``kind`` is that of all messages, an index into ``events.KINDS``; None: not known before.
    ``held`` is how many messages there are, None where nobody has counted; ``mapping`` is what each
    source of the topic made of them, whose events these then are.
    """

    name: str
    messages: Sequence[SampledMessage]
    kind: int | None = None
    topic: TopicSetup | None = None
    format: str = ""
    held: int | None = None
    mapping: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A message as it was understood: its JSON, its kind, and the event or why it is none."""

    message: SampledMessage
    document: object
    kind: int
    event: Event | None
    error: DecodeError | None

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the document; none if it is no object."""
        return self.document if isinstance(self.document, dict) else {}

    @property
    def customer_id(self) -> str | None:
        """The customer, if one is named by a text."""
        found = self.fields.get("customer_id")
        return found if isinstance(found, str) else None


def parse(value: bytes | None) -> object:
    """Return the plain values of JSON; None if it is none."""
    try:
        return msgspec.json.decode(value) if value else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_all(sample: InputSample, topics: Mapping[str, int]) -> list[Reading]:
    """Read every message as an event of its kind.

    Where a sample has none, it is what a row's ``topic`` names, by ``topics``; else the one that
    fits best.
    """
    documents = [parse(message.value) for message in sample.messages]
    named = [_find_named_kind(document, topics) for document in documents]
    fallback = sample.kind
    if fallback is None:
        fallback = guess_kind(sample.messages, documents)
    found = []
    for message, document, own in zip(sample.messages, documents, named, strict=True):
        kind = fallback if sample.kind is not None or own is None else own
        event, error = decode_as_kind(message, kind)
        found.append(Reading(message, document, kind, event, error))
    return found


def guess_kind(messages: Sequence[SampledMessage], documents: Sequence[Any]) -> int:
    """Return the kind as which most messages can be read; of two, that whose fields decide."""
    pairs = list(zip(messages, documents, strict=True))[:_TRIED]

    def score(kind: int) -> tuple[int, int]:
        readable = sum(decode_as_kind(message, kind)[0] is not None for message, _ in pairs)
        fields = [document for _, document in pairs if isinstance(document, dict)]
        return readable, sum(len(_TELLING[kind] & document.keys()) for document in fields)

    return max(range(len(KINDS)), key=lambda kind: (*score(kind), -kind))


def count_kinds(readings: Sequence[Reading]) -> dict[str, int]:
    """Count the messages of each kind."""
    counts = Counter(KIND_NAMES[reading.kind] for reading in readings)
    return {name: counts[name] for name in KIND_NAMES if counts[name]}


def _find_named_kind(document: object, topics: Mapping[str, int]) -> int | None:
    if not isinstance(document, dict):
        return None
    topic = document.get("topic")
    return topics.get(topic) if isinstance(topic, str) else None


def decode_as_kind(message: SampledMessage, kind: int) -> tuple[Event | None, DecodeError | None]:
    """Return a message's event, or why it is none of the kind."""
    if message.error is not None:
        return None, message.error
    try:
        return decode_event(kind, message.value), None
    except DecodeError as error:
        return None, error


def is_assignment(reading: Reading) -> bool:
    """Whether a message is an assignment, readable or not."""
    return reading.kind == ASSIGNMENT


def compute_percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the least, the middle, the 95th and 99th percentile and the greatest of values."""
    ordered = sorted(values)
    if not ordered:
        return {}
    last = len(ordered) - 1
    named = {"least": 0.0, "median": 0.5, "p95": 0.95, "p99": 0.99, "most": 1.0}
    return {name: ordered[round(share * last)] for name, share in named.items()}


def compute_share(part: float, whole: float) -> float:
    """Return a share, to a hundredth of a per cent; 0 of nothing."""
    return round(part / whole, 4) if whole else 0.0
