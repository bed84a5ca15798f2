"""The lag: how many events wait for the workers, by the offsets that their group has committed.

Asking joins no group and creates no topic: an input topic that does not exist yet has no events.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from stream_persona.errors import ConfigError
from stream_persona.kafka.connection import connection_options, start_client
from stream_persona.kafka.refusals import explain_missing_right
from stream_persona.kafka.source_topics import find_source_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds between two refreshes, and that a refresh may take.
INTERVAL: Final = 2.0
PATIENCE: Final = 5.0
_FAILURES: Final = 2
#: Seconds for which new partitions of a topic may go unnoticed; as with the workers.
_PARTITIONS_SECONDS: Final = 30.0
#: Seconds in which nothing that waits was worked off, after which the stream stands still.
STALLED: Final = 10.0
#: Ends that are kept of a partition; when there are more, every second old one is dropped.
_MOST_ENDS: Final = 256


class LagMonitor:
    """Measures the lag. ``away``: Kafka does not answer; None before that is known.

    ``clock`` gives seconds that never go back.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._clients: _Clients | None = None
        self._lag = Lag()
        self._failures = 0
        self._known = False
        self.away: bool | None = None

    async def refresh(self) -> None:
        """Measure once. One refresh may fail, as leaders move; after two the lag is unknown."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._measure()
            self._failures, self._known, self.away = 0, True, False
        except (
            KafkaError, ConfigError, OSError, TimeoutError, ValueError, AttributeError,
        ) as error:  # fmt: skip
            # The last two are aiokafka's, for a broker that it has just lost.
            await self._fail(error)

    async def close(self) -> None:
        """Disconnect."""
        clients, self._clients = self._clients, None
        if clients is not None:
            await clients.close()

    @property
    def events(self) -> int | None:
        """How many events wait in all input topics; None if unknown."""
        return self._lag.events if self._known else None

    @property
    def seconds(self) -> float | None:
        """How long the oldest of them has waited, at least; None if unknown."""
        return self._lag.seconds if self._known else None

    @property
    def stalled(self) -> float | None:
        """Seconds for which events have waited and none was worked off, once these are many."""
        idle = self._lag.compute_idle_seconds(self._clock()) if self._known else 0.0
        return idle if idle >= STALLED else None

    async def _measure(self) -> None:
        if self._clients is None:
            clients = _Clients(self._settings, self._clock)
            self._clients = clients
            await clients.start()
        with explain_missing_right(self._settings, "Describe"):
            following, ends = await self._clients.load_offsets()
        self._lag.update(following, ends, self._clock())

    async def _fail(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == _FAILURES:
            logger.warning(
                "the lag of the workers cannot be read from Kafka: %s",
                error or type(error).__name__,
            )
        if self._failures >= _FAILURES:
            refused = isinstance(error, ConfigError) or (
                isinstance(error, KafkaError) and not error.retriable
            )
            self._known, self.away = False, not refused
        await self.close()


class _Clients:
    """Two connections: a consumer for the ends of logs, an admin client for the group's offsets."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._group = settings.group
        sources = find_source_topics(settings)
        self._topics = {*settings.input_topics, settings.topic_reroutes, *sources}
        self._clock = clock
        options = connection_options(settings) | {"request_timeout_ms": round(1_000 * PATIENCE)}
        # Events of transactions that have not ended wait for their producers, not for the workers.
        self._consumer = AIOKafkaConsumer(isolation_level="read_committed", **options)
        self._admin = AIOKafkaAdminClient(**options)
        self._partitions: list[TopicPartition] = []
        self._found_at = -math.inf

    async def start(self) -> None:
        await start_client(self._consumer, self._settings)
        await start_client(self._admin, self._settings)

    async def close(self) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def load_offsets(self) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """Return each partition's offset to be processed next, and its end."""
        partitions = await self._find_partitions()
        if not partitions:
            return {}, {}
        # Named one by one: without names the embedded broker returns none.
        committed = await self._admin.list_consumer_group_offsets(
            self._group, partitions=partitions
        )
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(partitions)
        none = OffsetAndMetadata(-1, "")
        following: dict[TopicPartition, int] = {
            tp: committed.get(tp, none).offset for tp in partitions
        }
        behind = [tp for tp in partitions if following[tp] < ends[tp]]
        # A group without a commit begins there; what retention has dropped waits no more.
        first = await self._consumer.beginning_offsets(behind)
        return following | {tp: max(following[tp], first[tp]) for tp in behind}, ends

    async def _find_partitions(self) -> list[TopicPartition]:
        """Return the partitions of existing topics; looked up again while a topic is missing."""
        complete = {tp.topic for tp in self._partitions} == self._topics
        if not complete or self._clock() - self._found_at > _PARTITIONS_SECONDS:
            topics = await self._admin.describe_topics()  # all: naming one may create it
            self._partitions = [
                TopicPartition(topic["topic"], partition["partition"])
                for topic in topics
                if topic["topic"] in self._topics
                for partition in topic["partitions"]
            ]
            self._found_at = self._clock()
        return self._partitions


class _LogEnds:
    """The ends that a partition's log had, each with when it was seen first and last."""

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._first: list[float] = []
        self._last: list[float] = []

    def add(self, end: int, now: float) -> None:
        """Add the end as of now."""
        if self._ends and end < self._ends[-1]:  # another log of the same name
            self._ends, self._first, self._last = [], [], []
        if self._ends and end == self._ends[-1]:
            self._last[-1] = now
            return
        if len(self._ends) > _MOST_ENDS:
            for each in (self._ends, self._first, self._last):
                del each[1:-1:2]
        self._ends.append(end)
        self._first.append(now)
        self._last.append(now)

    def interpolate_arrival(self, offset: int) -> float:
        """Interpolate when the event of this offset came; at the latest, the first refresh."""
        after = bisect_right(self._ends, offset)
        if not after:
            return self._first[0]
        low, high = self._ends[after - 1], self._ends[after]
        since, until = self._last[after - 1], self._first[after]
        return since + (until - since) * (offset + 1 - low) / (high - low)


class Lag:
    """The events that wait, over all partitions; times are seconds that never go back."""

    def __init__(self) -> None:
        self._ends: dict[Hashable, _LogEnds] = {}
        self._next: dict[Hashable, int] = {}
        self._moved = 0.0
        self.events = 0
        #: How long the oldest waiting event has waited, at least: it may be older than this object.
        self.seconds = 0.0

    def update(
        self, following: Mapping[Hashable, int], ends: Mapping[Hashable, int], now: float
    ) -> None:
        """Set each partition's offset to be processed next, and the end of its log, as of now."""
        waiting = {tp: end - following[tp] for tp, end in ends.items() if end > following[tp]}
        if not self.events or any(following[tp] != self._next.get(tp) for tp in following):
            self._moved = now
        for tp, end in ends.items():
            self._ends.setdefault(tp, _LogEnds()).add(end, now)
        self._next, self.events = dict(following), sum(waiting.values())
        since = min(
            (self._ends[tp].interpolate_arrival(following[tp]) for tp in waiting), default=now
        )
        self.seconds = now - since

    def compute_idle_seconds(self, now: float) -> float:
        """Return the seconds in which nothing that waits was worked off; 0 if nothing waits."""
        return now - self._moved if self.events else 0.0
