"""Stores a sample of each ten seconds in Redis, and reads the samples of all API processes."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from stream_persona.api.dashboard.history import STEP_MS, Bucket, Sample, Snapshot, find_bucket
from stream_persona.clocks import epoch_ms
from stream_persona.errors import ConfigError, UnavailableError
from stream_persona.store.tables import HISTORY

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_persona.api.dashboard.persona_counts import CountedChange
    from stream_persona.store.tables import Tables

logger = logging.getLogger(__name__)

#: Seconds for which samples that were read from Redis are returned again.
FRESH: Final = 2.0
#: Samples that wait while Redis is away; older ones are dropped.
_MOST_WAITING: Final = 6
#: Samples that are decoded before other work of the event loop has its turn.
_CHUNK: Final = 200

_sample_decoder = msgspec.json.Decoder(Sample)


class SampleRecorder:
    """Counts changes in buckets, and stores a sample of each bucket that is over.

    A bucket is stored by a process that has received all of its changes, from its beginning.
    ``snapshot`` returns the key figures as of now, ``clock`` epoch milliseconds.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        clock: Callable[[], int] = epoch_ms,
    ) -> None:
        self._snapshot, self._clock = snapshot, clock
        self._bucket = Bucket(find_bucket(clock()), whole=False)
        self._waiting: deque[tuple[int, Sample]] = deque(maxlen=_MOST_WAITING)
        self._closed: deque[tuple[int, Sample]] = deque(maxlen=_MOST_WAITING)

    def add(self, change: CountedChange) -> None:
        """Count a change that is received now."""
        self._close_if_over()
        self._bucket.add(change)

    async def store(self, tables: Tables, *, receiving: bool) -> None:
        """Close the bucket if it is over, and store closed ones unless another process has.

        ``receiving``: changes are being received just now.

        Raises:
            UnavailableError: Redis stayed away; what could not be stored waits.
        """
        self._bucket.whole &= receiving
        self._close_if_over()
        self._bucket.whole &= receiving
        while self._waiting:
            start, sample = self._waiting[0]
            await tables.add_sample(start, msgspec.json.encode(sample))
            if self._waiting and self._waiting[0][0] == start:
                self._waiting.popleft()

    def list_recent(self) -> dict[int, Sample]:
        """Return the buckets closed here last, and the one that still runs, by start."""
        self._close_if_over()
        return dict(self._closed) | {
            self._bucket.start: self._bucket.build_sample(self._snapshot())
        }

    def _close_if_over(self) -> None:
        start, ended = find_bucket(self._clock()), self._bucket
        if start == ended.start:
            return
        self._bucket = Bucket(start, whole=True)
        if ended.whole and start == ended.start + STEP_MS:
            closed = ended.start, ended.build_sample(self._snapshot())
            self._waiting.append(closed)
            self._closed.append(closed)


class StoredSamples:
    """All samples in Redis, read once for all requests, every few seconds at most."""

    def __init__(self, tables: Tables, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold no samples yet; ``clock`` gives seconds that never go back."""
        self._tables, self._clock = tables, clock
        self._samples: dict[int, Sample] = {}
        self._newest = 0
        self._read_at = -math.inf
        self._error: UnavailableError | ConfigError | None = None
        self._reading = asyncio.Lock()

    async def load(self) -> dict[int, Sample]:
        """Return samples by their starts, ascending; those read before while Redis is away.

        Raises:
            UnavailableError: Redis is away, and nothing was read before.
        """
        async with self._reading:
            if self._clock() - self._read_at > FRESH:
                await self._try_read()
        if self._error is not None and not self._samples:
            raise self._error
        return self._samples

    async def _try_read(self) -> None:
        try:
            await self._read_added()
            self._error = None
        except (UnavailableError, ConfigError) as error:
            self._error = error
        self._read_at = self._clock()

    async def _read_added(self) -> None:
        """Read the samples after the newest that was read; they come in the order of time."""
        added = await self._tables.load_samples(self._newest + 1)
        samples = dict(self._samples)
        for number, (at, blob) in enumerate(added):
            if number % _CHUNK == 0:
                await asyncio.sleep(0)
            try:
                samples[at] = _sample_decoder.decode(blob)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                logger.warning("a sample of the history can't be read: %s", error)
        if added:
            self._newest, _ = added[-1]
        self._samples = dict(list(samples.items())[-HISTORY:])
