"""What a worker has read in the last hour: odd events, dead letters, heavy customers, rollbacks."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.store.last_hour import LastHour
from stream_persona.worker.heavy_customers import HeavyCustomers

if TYPE_CHECKING:
    from stream_persona.clocks import Clocks
    from stream_persona.kafka.router import RoutedBatch
    from stream_persona.pipeline.types import Outcome

_MINUTE: Final = 60
_MINUTES: Final = 60
#: Most rollbacks that are kept.
_ROLLBACKS: Final = 20


@dataclass(slots=True)
class _Minute:
    """What was read in one minute."""

    number: int
    read: int = 0
    anomalies: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)


class LastHourTracker:
    """Counts in a ring of minutes; the oldest one goes when the hour is over."""

    def __init__(self, clocks: Clocks, partitions: int) -> None:
        """Customers' homes are among so many ``partitions``."""
        self._clocks = clocks
        self._partitions = partitions
        self._minutes: deque[_Minute] = deque(maxlen=_MINUTES)
        self._rollbacks: deque[tuple[float, int, int]] = deque(maxlen=_ROLLBACKS)
        self._customers = HeavyCustomers(clocks.monotonic)
        self._owned: frozenset[int] = frozenset()

    def record_batch(self, messages: int, routed: RoutedBatch, outcome: Outcome) -> None:
        """Count what became of a batch of so many messages, once it is written.

        Those that were forwarded are read where they are at home, and those that were redelivered
        were counted before.
        """
        minute = self._get_current()
        minute.read += routed.count_read(messages) - outcome.redelivered
        minute.anomalies.update(routed.anomalies)
        minute.anomalies.update(outcome.anomalies)
        minute.letters.update(routed.reasons)
        self._count_customers(routed, outcome)

    def record_rollback(self, events: int) -> None:
        """Note that Redis has come back older, and that so many events are read again."""
        clocks = self._clocks
        self._rollbacks.append((clocks.monotonic(), clocks.epoch_ms(), events))

    def summarize(self, owned: frozenset[int]) -> LastHour:
        """Return the last hour.

        Customers of partitions that are not ``owned`` are dropped: it is another worker that learns
        of their deletions.
        """
        self._get_current()
        if owned != self._owned:
            self._owned = owned
            self._customers.keep(lambda name: find_home_partition(name, self._partitions) in owned)
        since = self._clocks.monotonic() - _MINUTE * _MINUTES
        return LastHour(
            sum(each.read for each in self._minutes),
            dict(sum((each.anomalies for each in self._minutes), Counter[str]())),
            dict(sum((each.letters for each in self._minutes), Counter[str]())),
            self._customers.find_heavy(),
            [(at, events) for noted, at, events in self._rollbacks if noted > since],
        )

    def _count_customers(self, routed: RoutedBatch, outcome: Outcome) -> None:
        """Count the events of customers that are known after the batch.

        One who is deleted is forgotten here at once, and stays so while events come late that are
        older than the deletion.
        """
        records = outcome.records
        self._customers.forget([name for name, message in outcome.messages if message is None])
        names = [each.event.customer_id for each in routed.deliveries]
        if not records.keys() >= routed.homes.keys():
            names = [name for name in names if name in records]
        self._customers.add(names)
        self._customers.forget(
            [name for name, each in records.items() if each.deleted_at and each.is_marker]
        )

    def _get_current(self) -> _Minute:
        """Return the running minute; those older than an hour go."""
        number = int(self._clocks.monotonic() // _MINUTE)
        if not self._minutes or self._minutes[-1].number != number:
            self._minutes.append(_Minute(number))
        while self._minutes[0].number <= number - _MINUTES:
            self._minutes.popleft()
        return self._minutes[-1]
