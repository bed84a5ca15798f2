"""When messages arrived: by the broker's clock alone; without it, times are bounded by our own.

A message's timestamp is its arrival where its topic has ``message.timestamp.type=LogAppendTime``:
each message says so itself. Any other timestamp is a claim of its producer's, like the times in
its value, and is not looked at. Then the reader's clock bounds its time, each
time that it is read: an event far ahead of it is a dead letter, and a deletion counts as of now,
since it must not be left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream_persona.clocks import epoch_ms
from stream_persona.domain.events import DELETION, KINDS, decode_for_taxonomy, format_rfc3339
from stream_persona.domain.identity import NOBODY_IDS, NobodyIds
from stream_persona.errors import DecodeError
from stream_persona.pipeline.event_times import to_whole_milliseconds
from stream_persona.pipeline.types import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import ConsumerRecord

    from stream_persona.domain.taxonomy import Taxonomy

#: ``timestamp_type`` of a message whose time the broker has set.
BY_BROKER: Final = 1
#: The arrival of a message of which none is known, where it is a number.
NO_ARRIVAL: Final = -1
#: Milliseconds by which the clocks of two machines may differ, and by which Kafka itself lets a
#: producer's time lie ahead.
CLOCKS_MS: Final = 3_600_000


def find_arrival(raw: ConsumerRecord) -> int:
    """Return when a message arrived, or ``NO_ARRIVAL``."""
    if raw.timestamp_type == BY_BROKER and raw.timestamp >= 0:
        return int(raw.timestamp)
    return NO_ARRIVAL


class EventReader:
    """Reads events by a clock, which ``now`` gives in epoch milliseconds.

    Its methods raise a ``DecodeError`` for what cannot be read, or lies too far ahead of the clock
    (``future_time``) where no arrival is known.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        now: Callable[[], int] = epoch_ms,
        nobody: NobodyIds = NOBODY_IDS,
    ) -> None:
        self._taxonomy = taxonomy
        self._now = now
        self._nobody = nobody
        self._max_future = to_whole_milliseconds(taxonomy.policy.max_future_seconds)

    @property
    def ahead_ms(self) -> int:
        """Milliseconds by which an event's time may lie ahead of when it was read first."""
        return self._max_future + CLOCKS_MS

    def read(self, kind: int, raw: ConsumerRecord) -> Delivery:
        """Read the event of a kind in a message of an input topic."""
        event = decode_for_taxonomy(kind, raw.value, self._taxonomy, self._nobody)
        arrived = find_arrival(raw)
        known = arrived if arrived >= 0 else None
        return self.bound(Delivery.of(event, kind, raw.partition, raw.offset, known))

    def bound(self, delivery: Delivery) -> Delivery:
        """Bound the time of a delivery of which no arrival is known."""
        if delivery.arrived_at is None:
            delivery.at = self.bound_time(delivery.kind, delivery.at)
        return delivery

    def bound_time(self, kind: int, at: int) -> int:
        """Return the time that counts of an event of a kind of which no arrival is known."""
        now = self._now()
        if at <= now + self._max_future:
            return at
        if kind == DELETION:
            return now
        most = self._max_future / 1_000
        raise DecodeError(
            "future_time",
            f"a {KINDS[kind].__name__.lower()} of {format_rfc3339(at)} is more than {most:g} s "
            "ahead of "
            f"the clock here ({format_rfc3339(now)}), and the broker does not say when it arrived",
        )
