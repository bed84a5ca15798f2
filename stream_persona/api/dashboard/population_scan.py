"""The census: how many shoppers are what, counted in passes over all public records.

A pass reads every record once and keeps nobody, but for a few hundred who are worth a label. The
figures shown are those of the last pass, moved by each change that was heard since: a change says
what was said before and what is said now.

**What holds.** A change that comes while a pass runs moves the figures shown at once. Whether the
pass has met that shopper before or will meet them after the change, nobody knows, for Redis gives
its keys in an order of its own. So the change moves the pass's figures with the probability that
it has: right in the mean, and off by the square root of such changes at most, or so. A deletion
does not say what the shopper was, a change that is delivered twice moves twice, and what is
published while Redis is away is never heard. All of that is wrong until the next pass ends, which
begins anew from nothing, and never longer.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from stream_persona.api.dashboard.label_queue import Candidate, Queue, information, pair
from stream_persona.api.dashboard.persona_counts import Change, Standing, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_persona.store.tables import Tables

#: Seconds from the beginning of a pass to that of the next, at least.
PERIOD: Final = 10.0
#: Keys that a step looks at; about half of them are public records.
STEP: Final = 1_000
#: Seconds that steps may take at a stretch, and the share of the time that they take beyond that.
BURST: Final = 0.2
SHARE: Final = 0.03

_standing = msgspec.json.Decoder(Standing)
_shares = msgspec.json.Decoder(dict[str, float])
_names = msgspec.json.Decoder(list[str])


class Count:
    """What one pass has counted: everybody, and who is worth asking about."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.queue = Queue()

    def add(self, standing: Standing, *, closed: bool = False) -> None:
        """Count a shopper; one who is ``closed`` was told about meanwhile and is not queued."""
        self.tally.add(standing)
        if not standing.open or closed:
            return
        distribution = _shares.decode(standing.distribution)
        worth = information(distribution.values(), standing.evidence)
        if self.queue.wants(pair(distribution), worth):
            self.queue.offer(_candidate(standing, distribution, worth))


class Census:
    """The figures as they are now; ``counted`` is whether a first pass has ended."""

    def __init__(self) -> None:
        self._shown = Count()
        self._pass: Count | None = None
        self._closed: set[str] = set()
        self.counted = False

    @property
    def tally(self) -> Tally:
        """How many are what; before a first pass has ended, of those that it has met."""
        running = None if self.counted else self._pass
        return (running or self._shown).tally

    @property
    def queue(self) -> Queue:
        """Who is worth a label."""
        return self._shown.queue

    def notice(self, change: Change) -> None:
        """Move the figures by a change, and let who is not ambiguous any more leave the queue."""
        if self.counted:
            self._shown.tally.move(change)
        if self._pass is not None and self._was_met(change.customer_id):
            self._pass.tally.move(change)
        if change.current is not None and change.current.open:
            self._closed.discard(change.customer_id)
        else:
            self._close(change.customer_id)

    def begin(self) -> None:
        """A pass begins; one that was not ended is forgotten."""
        self._pass = Count()
        self._closed.clear()

    def take(self, records: Iterable[bytes]) -> None:
        """Count some records of the pass; what can't be read is nobody's record."""
        if self._pass is None:
            return
        for record in records:
            try:
                standing = _standing.decode(record)
            except msgspec.MsgspecError:
                continue
            self._pass.add(standing, closed=standing.customer_id in self._closed)

    def end(self) -> None:
        """The pass has met everybody: show what it has counted."""
        if self._pass is not None:
            self._shown, self._pass = self._pass, None
            self.counted = True

    def _close(self, customer_id: str) -> None:
        self._shown.queue.drop(customer_id)
        if self._pass is not None:  # which may still read what was written before
            self._pass.queue.drop(customer_id)
            self._closed.add(customer_id)

    def _was_met(self, customer_id: str) -> bool:
        """Whether the pass has met a shopper: drawn, by a hash, as likely as it is."""
        everybody = self._shown.tally.shoppers
        met = 0 if self._pass is None else self._pass.tally.shoppers
        likely = met / everybody if everybody else 0.5  # of the first pass nobody knows
        return zlib.crc32(customer_id.encode()) < likely * (1 << 32)


class Pace:
    """How long to rest after each step: ``burst`` seconds are free and come back at ``share``.

    ``clock`` gives seconds that never go back.
    """

    def __init__(
        self,
        share: float = SHARE,
        burst: float = BURST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share, self._burst, self._clock = share, burst, clock
        self._left, self._at = burst, clock()

    def rest(self, spent: float) -> float:
        """Seconds to wait after a step that took so many."""
        now = self._clock()
        self._left = min(self._burst, self._left + self._share * (now - self._at)) - spent
        self._at = now
        return max(0.0, -self._left / self._share)


class Counting:
    """Takes the census again and again: work for ``followers.every``."""

    def __init__(self, census: Census, tables: Tables) -> None:
        self._census = census
        self._tables = tables
        self._pace = Pace()

    async def one_pass(self) -> None:
        """Read everybody once.

        Raises:
            UnavailableError: Redis stayed away; the figures stay those of the pass before.
        """
        self._census.begin()
        cursor, rest = 0, 0.0
        while True:
            await asyncio.sleep(rest)
            cursor, records = await self._tables.publics(cursor, STEP)
            began = time.thread_time()
            self._census.take(records)
            # Reading them from Redis has kept the event loop about as long as counting them.
            rest = self._pace.rest(2 * (time.thread_time() - began))
            if not cursor:
                break
        self._census.end()


def _candidate(standing: Standing, distribution: dict[str, float], worth: float) -> Candidate:
    names = _names.decode(standing.candidates)
    return Candidate(
        standing.customer_id, worth, standing.evidence, distribution, names, standing.updated_at
    )
