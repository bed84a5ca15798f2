"""The population scan: counts all shoppers by persona, in passes over all public records.

A pass reads every record once and keeps no shopper but a few hundred that are worth a label. The
figures shown are those of the last pass, moved by each change received since: a change holds the
posterior before it and the one after.

**What holds.** A change during a pass moves the figures shown at once. Whether the pass has counted
that shopper before the change or will count them after it is unknown, for Redis returns its keys in
an order of its own. So the change moves the pass's figures with the probability that the shopper
was counted: right in the mean, and off by about the square root of the number of such changes. A
deletion does not carry the posterior that it ends, a change that is delivered twice moves figures
twice, and what is published while Redis is away is never received. All of that is wrong until the
next pass ends, which counts from nothing, and never longer.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from stream_persona.api.dashboard.label_queue import (
    CandidateQueue,
    LabelCandidate,
    compute_information,
    find_likeliest_pair,
)
from stream_persona.api.dashboard.persona_counts import CountedChange, CountedRecord, PersonaCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_persona.store.tables import Tables

logger = logging.getLogger(__name__)

#: Seconds from the beginning of a pass to that of the next, at least.
PERIOD: Final = 10.0
#: Keys that a step looks at; about half of them are public records.
STEP: Final = 1_000
#: Seconds of work that steps may take at a stretch, and the share of the time beyond that.
BURST: Final = 0.2
SHARE: Final = 0.03

_record_decoder = msgspec.json.Decoder(CountedRecord)
_distribution_decoder = msgspec.json.Decoder(dict[str, float])
_candidates_decoder = msgspec.json.Decoder(list[str])


class PassCounts:
    """What one pass has counted: shoppers by persona, and those worth a label."""

    def __init__(self) -> None:
        self.personas = PersonaCounts()
        self.queue = CandidateQueue()
        self.damaged = 0

    def add(self, record: CountedRecord, *, resolved: bool = False) -> None:
        """Count a shopper; one who was ``resolved`` during the pass is not queued.

        Raises:
            ValueError: the record is damaged; nothing is counted of it.
        """
        if record.needs_label and not resolved:
            self._offer(record)
        self.personas.add(record)

    def _offer(self, record: CountedRecord) -> None:
        distribution = _distribution_decoder.decode(record.distribution)
        worth = compute_information(distribution.values(), record.evidence)
        if self.queue.has_room_for(find_likeliest_pair(distribution), worth):
            datetime.fromisoformat(record.updated_at)  # or it is damaged
            self.queue.offer(_make_candidate(record, distribution, worth))


class Population:
    """The figures as they are now. ``counted``: a first pass has ended."""

    def __init__(self) -> None:
        self._shown = PassCounts()
        self._pass: PassCounts | None = None
        self._resolved: set[str] = set()
        self.counted = False

    @property
    def personas(self) -> PersonaCounts:
        """Shoppers by persona; before a first pass has ended, those that it has counted."""
        running = None if self.counted else self._pass
        return (running or self._shown).personas

    @property
    def damaged(self) -> int:
        """The number of public records that the last pass could not read."""
        return self._shown.damaged

    @property
    def queue(self) -> CandidateQueue:
        """The shoppers worth a label."""
        return self._shown.queue

    def apply(self, change: CountedChange) -> None:
        """Move the figures by a change; a shopper who needs no label any more leaves the queue."""
        if self.counted:
            self._shown.personas.move(change)
        if self._pass is not None and self._was_probably_counted(change.customer_id):
            self._pass.personas.move(change)
        if change.current is not None and change.current.needs_label:
            self._resolved.discard(change.customer_id)
        else:
            self._resolve(change.customer_id)

    def begin_pass(self) -> None:
        """Begin a pass; one that has not ended is dropped."""
        self._pass = PassCounts()
        self._resolved.clear()

    def count(self, records: Iterable[bytes]) -> None:
        """Count some records of the pass; those that are damaged are counted apart."""
        if self._pass is None:
            return
        for blob in records:
            try:
                record = _record_decoder.decode(blob)
                self._pass.add(record, resolved=record.customer_id in self._resolved)
            except ValueError:  # those of msgspec and of text that is none are ones, too
                self._pass.damaged += 1

    def end_pass(self) -> None:
        """Show what the pass has counted: it has read all records."""
        if self._pass is not None:
            self._shown, self._pass = self._pass, None
            self.counted = True

    def _resolve(self, customer_id: str) -> None:
        self._shown.queue.drop(customer_id)
        if self._pass is not None:  # which may still read what was written before
            self._pass.queue.drop(customer_id)
            self._resolved.add(customer_id)

    def _was_probably_counted(self, customer_id: str) -> bool:
        """Draw, by a hash, whether the pass has counted a shopper, as likely as it has."""
        total = self._shown.personas.shoppers
        counted = 0 if self._pass is None else self._pass.personas.shoppers
        likelihood = counted / total if total else 0.5  # the first pass does not know the total
        return zlib.crc32(customer_id.encode()) < likelihood * (1 << 32)


class WorkBudget:
    """A token bucket of working time: ``burst`` seconds at a stretch, refilled at ``share``.

    A duty cycle, which rests after each step, would show a small shop as late as a large one: the
    burst counts some 50,000 shoppers at once. ``clock`` gives seconds that never go back.
    """

    def __init__(
        self,
        share: float = SHARE,
        burst: float = BURST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share, self._burst, self._clock = share, burst, clock
        self._left, self._at = burst, clock()

    def spend(self, seconds: float) -> float:
        """Take the seconds that a step has worked; return the seconds to rest after it."""
        now = self._clock()
        self._left = min(self._burst, self._left + self._share * (now - self._at)) - seconds
        self._at = now
        return max(0.0, -self._left / self._share)


class PopulationScan:
    """Counts a population in passes over the tables.

    ``clock`` gives seconds that never go back, ``cpu_clock`` seconds of CPU time.
    """

    def __init__(
        self,
        population: Population,
        tables: Tables,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._population = population
        self._tables = tables
        self._cpu_clock = cpu_clock
        self._budget = WorkBudget(clock=clock)

    async def run_pass(self) -> None:
        """Read and count every public record once.

        Raises:
            UnavailableError: Redis stayed away; the figures stay those of the pass before.
        """
        self._population.begin_pass()
        cursor, rest = 0, 0.0
        while True:
            await asyncio.sleep(rest)
            cursor, records = await self._tables.scan_public(cursor, STEP)
            began = self._cpu_clock()
            self._population.count(records)
            # Reading them from Redis has kept the event loop about as long as counting them.
            rest = self._budget.spend(2 * (self._cpu_clock() - began))
            if not cursor:
                break
        self._population.end_pass()
        if self._population.damaged:
            logger.warning("%d public records can't be read", self._population.damaged)


def _make_candidate(
    record: CountedRecord, distribution: dict[str, float], worth: float
) -> LabelCandidate:
    names = _candidates_decoder.decode(record.candidates)
    return LabelCandidate(
        record.customer_id, worth, record.evidence, distribution, names, record.updated_at
    )
