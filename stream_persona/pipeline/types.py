"""What a walk is given and what it leads to; data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from stream_persona.domain.events import KINDS, event_time

if TYPE_CHECKING:
    from stream_persona.domain.events import Event, TokenizedEvent
    from stream_persona.domain.features import Profiles
    from stream_persona.domain.record import Record
    from stream_persona.model.statistics import Contribution


class Delivery(Struct, gc=False):
    """An event as it came: its input (kind and partition), offset and arrival on the broker.

    ``arrived_at`` is epoch milliseconds, None where nothing is known of it (files). ``at`` is the
    event's own time, ``source`` the key of ``Record.positions``.
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
        """With ``at`` and ``source`` found, once for all who ask several times."""
        source = kind << 16 | partition
        return cls(event, kind, partition, offset, arrived_at, event_time(event), source)


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
class Trial:
    """A customer who was assigned a persona, as predicted before the model learned of it.

    ``profile`` has one row; ``probabilities`` are in the taxonomy's order.
    """

    customer_id: str
    persona: str
    profile: Profiles
    probabilities: tuple[float, ...]


@dataclass(slots=True, frozen=True)
class LateDeletion:
    """A deletion that newer events were folded before: their times and where they came in.

    ``since`` is the deletion's time in epoch milliseconds, ``positions`` the record's.
    """

    since: int
    positions: Mapping[int, int]


@dataclass(slots=True)
class Outcome:
    """What a batch leads to.

    ``records`` holds the changed ones, ``messages`` are for ``persona-changes`` in order (None:
    a tombstone), ``public_records`` the public records that change (None: it goes); the counts are
    metrics.
    """

    records: dict[str, Record] = field(default_factory=dict)
    messages: list[tuple[str, bytes | None]] = field(default_factory=list)
    public_records: dict[str, bytes | None] = field(default_factory=dict)
    model_updates: list[ModelUpdate] = field(default_factory=list)
    causes: list[int] = field(default_factory=list)
    assigned: set[str] = field(default_factory=set)
    trials: list[Trial] = field(default_factory=list)
    applied: list[int] = field(default_factory=lambda: [0] * len(KINDS))
    redelivered: int = 0
    duplicates: int = 0
    dropped: int = 0

    def say(self, customer_id: str, message: bytes | None, public: bytes | None) -> None:
        """Publish a change (None: a tombstone) and renew the public record."""
        self.messages.append((customer_id, message))
        self.public_records[customer_id] = public
