"""Remembers a sample of each ten seconds in Redis, and gives back what all have remembered."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from stream_persona.api.dashboard.history import STEP_MS, Bucket, Sample, State, bucket_of
from stream_persona.errors import ConfigError, UnavailableError
from stream_persona.store.tables import HISTORY

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_persona.api.dashboard.persona_counts import Change
    from stream_persona.store.tables import Tables

logger = logging.getLogger(__name__)

#: Seconds for which what was read of Redis is good enough for everybody.
FRESH: Final = 2.0
#: Samples that wait while Redis is away; older ones are given up.
_MOST_WAITING: Final = 6
#: Samples that are decoded before others on the event loop have their turn.
_CHUNK: Final = 200

_sample = msgspec.json.Decoder(Sample)


class Recorder:
    """Sorts changes into buckets and closes these; ``look`` tells how all stands.

    A bucket is remembered by a process that has heard all of it, from its beginning. ``clock``
    gives epoch milliseconds.
    """

    def __init__(
        self,
        look: Callable[[], State],
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._look, self._clock = look, clock
        self._bucket = Bucket(bucket_of(clock()), whole=False)
        self._waiting: deque[tuple[int, Sample]] = deque(maxlen=_MOST_WAITING)
        self._closed: deque[tuple[int, Sample]] = deque(maxlen=_MOST_WAITING)

    def notice(self, change: Change) -> None:
        """Take in a change that is heard now."""
        self._turn()
        self._bucket.add(change)

    async def remember(self, tables: Tables, *, heard: bool) -> None:
        """Close the bucket if it is time, and hand on what was closed; others may have been first.

        ``heard`` says whether changes are being heard just now.

        Raises:
            UnavailableError: Redis stayed away; what could not be handed on waits.
        """
        self._bucket.whole &= heard
        self._turn()
        self._bucket.whole &= heard
        while self._waiting:
            start, sample = self._waiting[0]
            await tables.remember(start, msgspec.json.encode(sample))
            if self._waiting and self._waiting[0][0] == start:
                self._waiting.popleft()

    def recent(self) -> dict[int, Sample]:
        """The last buckets that were closed here, and the one that is not over yet, by start."""
        self._turn()
        return dict(self._closed) | {self._bucket.start: self._bucket.sample(self._look())}

    def _turn(self) -> None:
        """Close the bucket if its time is over."""
        start, ended = bucket_of(self._clock()), self._bucket
        if start == ended.start:
            return
        self._bucket = Bucket(start, whole=True)
        if ended.whole and start == ended.start + STEP_MS:
            closed = ended.start, ended.sample(self._look())
            self._waiting.append(closed)
            self._closed.append(closed)


class Remembered:
    """All samples in Redis; whoever asks, they are read every few seconds at most, and once."""

    def __init__(self, tables: Tables, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds that never go back."""
        self._tables, self._clock = tables, clock
        self._samples: dict[int, Sample] = {}
        self._read_at = -math.inf
        self._error: UnavailableError | ConfigError | None = None
        self._reading = asyncio.Lock()

    async def samples(self) -> dict[int, Sample]:
        """Samples by their starts, ascending; old ones while Redis is away.

        Raises:
            UnavailableError: it is, and nothing has been read of it before.
        """
        async with self._reading:
            if self._clock() - self._read_at > FRESH:
                await self._try()
        if self._error is not None and not self._samples:
            raise self._error
        return self._samples

    async def _try(self) -> None:
        try:
            await self._read()
            self._error = None
        except (UnavailableError, ConfigError) as error:
            self._error = error
        self._read_at = self._clock()

    async def _read(self) -> None:
        """Read what has been added; samples come in the order of their times."""
        newest = max(self._samples, default=0)
        added = await self._tables.remembered(newest + 1)
        samples = dict(self._samples)
        for number, (at, blob) in enumerate(added):
            if number % _CHUNK == 0:
                await asyncio.sleep(0)
            try:
                samples[at] = _sample.decode(blob)
            except msgspec.MsgspecError as error:
                logger.warning("a sample of the history can't be read: %s", error)
        self._samples = dict(list(samples.items())[-HISTORY:])
