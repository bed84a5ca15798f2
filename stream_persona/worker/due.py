"""Ends what is due of customers that send nothing: assignments, and evidence for a name.

A worker asks for the due customers of its partitions twice in a second, all in one round trip, and
advances their records (``domain.due``): what follows is decided, written and published as after
events. Each write says when its customers are due next, so an entry is wherever its record is,
after a crash, a rebalance or a rollback. It is never too late; one that is too early, since events
have come and put the time off, is filed anew here. One that is missing (an older version knew none,
a part of a Cluster came back older) is filed by a thorough sweep.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from stream_persona.domain.record import Record
from stream_persona.pipeline.decision import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from stream_persona.pipeline.types import Outcome
    from stream_persona.store.tables import Tables
    from stream_persona.worker.idle import IdleCustomers
    from stream_persona.worker.metrics import Metrics
    from stream_persona.worker.refolding import Scorer

#: Seconds between two looks. What is due is to be published within two seconds.
DUE_SECONDS: Final = 0.5
#: Customers that are looked at in one go: live events wait no longer than that takes.
CHUNK: Final = 200


class DueCustomer(NamedTuple):
    """A customer of which something has ended by now: the partition, and when it was (ms)."""

    home: int
    at: int


class DueCustomers:
    """Finds the due customers of a worker, and ends what is due of them.

    ``now`` gives epoch milliseconds.
    """

    def __init__(
        self,
        tables: Tables,
        idle: IdleCustomers,
        score: Scorer,
        metrics: Metrics,
        now: Callable[[], int],
    ) -> None:
        self._tables = tables
        self._idle = idle
        self._score = score
        self._metrics = metrics
        self._now = now

    async def end(self, owned: Collection[int]) -> int:
        """Publish what has ended by now; return how many customers were looked at."""
        due = await self._find(owned) if owned else {}
        if due:
            homes = {name: each.home for name, each in due.items()}
            self._record(due, await self._idle.score(homes, self._advance))
        return len(due)

    async def _find(self, owned: Collection[int]) -> dict[str, DueCustomer]:
        """Find those of the owned partitions that are due by now, the earliest first."""
        found = await self._tables.load_due(sorted(owned), self._now(), CHUNK)
        due = [(at, name, home) for home, entries in found.items() for name, at in entries]
        return {name: DueCustomer(home, at) for at, name, home in sorted(due)[:CHUNK]}

    def _advance(self, homes: Mapping[str, int], records: Mapping[str, Record]) -> Outcome:
        """Return what follows for due customers; ``records`` are of those that have one.

        All of them are in the outcome, so that their entries are written as they ought to be.
        """
        stored = {name: records.get(name) or Record() for name in homes}
        outcome = self._score(stored, Cause.MODEL)
        return replace(outcome, records=stored | outcome.records, filed_anew=stored.keys())

    def _record(self, due: Mapping[str, DueCustomer], outcome: Outcome) -> None:
        """Count how late the changes of due customers were published."""
        now = self._now()
        for name, _ in outcome.messages:
            self._metrics.due_seconds.observe(max(0, now - due[name].at) / 1_000)
