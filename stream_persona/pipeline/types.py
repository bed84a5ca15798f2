"""The inputs and the outcome of processing a batch; data alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Self

from msgspec import Struct

from stream_persona.domain.events import KINDS, get_event_time

if TYPE_CHECKING:
    from stream_persona.domain.events import Event, TokenizedEvent
    from stream_persona.domain.features import Profiles
    from stream_persona.domain.record import Record
    from stream_persona.domain.token_names import Name
    from stream_persona.model.statistics import Contribution


class Delivery(Struct, gc=False):
    """An event as it came: its input (kind and partition), offset and arrival on the broker.

    ``arrived_at`` is epoch milliseconds, None where nothing is known of it (files, topics that keep
    their producers' times). ``at`` is the event's own time, ``source`` the key of
    ``Record.positions``.
    """

    event: Event | TokenizedEvent
    kind: int
    partition: int
    offset: int
    arrived_at: int | None
    at: int
    source: int

    @classmethod
    def of(
        cls, event: Event | TokenizedEvent, kind: int, partition: int, offset: int,
        arrived_at: int | None = None,
    ) -> Self:  # fmt: skip
        """Make a delivery; ``at`` and ``source`` are computed once, since they are used often."""
        source = kind << 16 | partition
        return cls(event, kind, partition, offset, arrived_at, get_event_time(event), source)


#: By customer, what was applied of them before, in the order of its inputs' offsets.
Histories = Mapping[str, Sequence[Delivery]]


@dataclass(slots=True)
class ModelUpdate:
    """What the model learns (``sign`` 1) or unlearns (-1) of a customer."""

    customer_id: str
    persona: str
    part: Contribution
    sign: int


@dataclass(slots=True)
class PrequentialTrial:
    """A customer who was assigned a persona, as predicted before the model learned of it.

    ``profile`` has one row; ``probabilities`` are in the taxonomy's order.
    """

    customer_id: str
    persona: str
    profile: Profiles
    probabilities: tuple[float, ...]


@dataclass(slots=True, frozen=True)
class LateDeletion:
    """A deletion that arrived after newer events of its customer had been folded.

    ``since`` is up to when the deletion reaches, in epoch milliseconds, ``positions`` are the
    record's: what the deletion leaves of the events before them has to be folded anew.
    """

    since: int
    positions: Mapping[int, int]


class EventCounts(NamedTuple):
    """What became of a batch's events: ``applied`` are by kind, the next two among them.

    ``duplicates`` are retries and edited orders, ``dropped`` were older than a deletion.

    ``anomalies`` counts, by reason (``domain.anomaly``), what was odd about events or their parts.
    """

    applied: tuple[int, ...] = (0,) * len(KINDS)
    duplicates: int = 0
    dropped: int = 0
    redelivered: int = 0
    anomalies: Mapping[str, int] = MappingProxyType({})


@dataclass(slots=True, frozen=True)
class Outcome:
    """The effect of a batch: records, messages, model updates and counts.

    ``records`` holds the changed ones, ``messages`` are for ``persona-changes`` in order (None:
    a tombstone), ``public_records`` the public records to write (None: to delete), ``causes`` those
    of the changes, ``carried`` the tokens of customers that need more carriers; the counts are
    metrics, those of ``EventCounts``. ``filed_anew`` are customers that were looked at since they
    were due.
    """

    records: dict[str, Record] = field(default_factory=dict)
    messages: Sequence[tuple[str, bytes | None]] = ()
    public_records: dict[str, bytes | None] = field(default_factory=dict)
    model_updates: Sequence[ModelUpdate] = ()
    causes: Sequence[int] = ()
    trials: Sequence[PrequentialTrial] = ()
    applied: tuple[int, ...] = EventCounts().applied
    duplicates: int = 0
    dropped: int = 0
    redelivered: int = 0
    anomalies: Mapping[str, int] = field(default_factory=dict)
    filed_anew: Collection[str] = ()
    carried: Mapping[str, Sequence[Name]] = field(default_factory=dict)
