"""How many events wait for the workers: asks Kafka what the group has committed.

It joins no group and makes no topic: an input topic that nobody has made yet has no events.
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

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds between two looks, and that a look may take.
INTERVAL: Final = 2.0
PATIENCE: Final = 5.0
_FAILURES: Final = 2
#: Seconds for which partitions that a topic is given may go unnoticed; as with the workers.
_PARTITIONS_SECONDS: Final = 30.0


class Backlog:
    """What waits, and whether Kafka answers: ``away`` is None before that is known."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: _Clients | None = None
        self._lag = Lag()
        self._failures = 0
        self._known = False
        self.away: bool | None = None

    async def look(self) -> None:
        """Ask once. One look may fail, as leaders move; after two all of it is unknown."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._look()
            self._failures, self._known, self.away = 0, True, False
        except (KafkaError, OSError, TimeoutError, ValueError, AttributeError) as error:
            # The last two are aiokafka's, for a broker that it has just lost.
            self._failures += 1
            if self._failures == _FAILURES:
                logger.warning("Kafka does not tell what waits: %s", error or type(error).__name__)
            if self._failures >= _FAILURES:
                refused = isinstance(error, KafkaError) and not error.retriable
                self._known, self.away = False, not refused
            await self.close()

    async def close(self) -> None:
        """Disconnect."""
        clients, self._clients = self._clients, None
        if clients is not None:
            await clients.close()

    @property
    def events(self) -> int | None:
        """How many events wait in all input topics."""
        return self._lag.events if self._known else None

    @property
    def seconds(self) -> float | None:
        """How long the oldest of them has waited, at least."""
        return self._lag.seconds if self._known else None

    @property
    def stalled(self) -> float | None:
        """Seconds for which events have waited and none was worked off, once these are many."""
        idle = self._lag.idle(time.monotonic()) if self._known else 0.0
        return idle if idle >= STALLED else None

    async def _look(self) -> None:
        if self._clients is None:
            clients = _Clients(self._settings)
            self._clients = clients
            await clients.start()
        following, ends = await self._clients.offsets()
        self._lag.take(following, ends, time.monotonic())


class _Clients:
    """Two connections: of ends and beginnings of logs consumers are told, of groups admins."""

    def __init__(self, settings: Settings) -> None:
        self._group = settings.group
        self._topics = {*settings.input_topics, settings.topic_reroutes}
        patience = {"request_timeout_ms": round(1_000 * PATIENCE)}
        # Events of transactions that have not ended wait for their producers, not for the workers.
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.brokers, isolation_level="read_committed", **patience
        )
        self._admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers, **patience)
        self._partitions: list[TopicPartition] = []
        self._found_at = -math.inf

    async def start(self) -> None:
        await self._consumer.start()
        await self._admin.start()

    async def close(self) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def offsets(self) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """Of each partition, the offset that is worked on next, and the end."""
        partitions = await self._found()
        if not partitions:
            return {}, {}
        # Asked for by name: without names the embedded broker tells of none.
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

    async def _found(self) -> list[TopicPartition]:
        """The partitions of the topics that exist; looked for again while one is missing."""
        complete = {tp.topic for tp in self._partitions} == self._topics
        if not complete or time.monotonic() - self._found_at > _PARTITIONS_SECONDS:
            topics = await self._admin.describe_topics()  # all: to name one may be to make it
            self._partitions = [
                TopicPartition(topic["topic"], partition["partition"])
                for topic in topics
                if topic["topic"] in self._topics
                for partition in topic["partitions"]
            ]
            self._found_at = time.monotonic()
        return self._partitions


#: Seconds in which nothing that waits was worked off, after which the stream stands still.
STALLED: Final = 10.0


#: Ends that are remembered of a partition; when there are more, every second old one is forgotten.
_MOST_ENDS: Final = 256


class _Ends:
    """Which ends a partition's log had, and when that was seen first and last."""

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._first: list[float] = []
        self._last: list[float] = []

    def note(self, end: int, now: float) -> None:
        """The log ends there now."""
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

    def came(self, offset: int) -> float:
        """When the event of this offset came; the first look, if it was there by then."""
        after = bisect_right(self._ends, offset)
        if not after:
            return self._first[0]
        low, high = self._ends[after - 1], self._ends[after]
        since, until = self._last[after - 1], self._first[after]
        return since + (until - since) * (offset + 1 - low) / (high - low)


class Lag:
    """What waits, over all partitions; times are seconds that never go back."""

    def __init__(self) -> None:
        self._ends: dict[Hashable, _Ends] = {}
        self._next: dict[Hashable, int] = {}
        self._moved = 0.0
        self.events = 0
        #: How long the oldest waiting event has waited, at least: it may have come before us.
        self.seconds = 0.0

    def take(
        self, following: Mapping[Hashable, int], ends: Mapping[Hashable, int], now: float
    ) -> None:
        """Take in, of every partition, which offset is worked on next and where its log ends."""
        waiting = {tp: end - following[tp] for tp, end in ends.items() if end > following[tp]}
        if not self.events or any(following[tp] != self._next.get(tp) for tp in following):
            self._moved = now
        for tp, end in ends.items():
            self._ends.setdefault(tp, _Ends()).note(end, now)
        self._next, self.events = dict(following), sum(waiting.values())
        since = min((self._ends[tp].came(following[tp]) for tp in waiting), default=now)
        self.seconds = now - since

    def idle(self, now: float) -> float:
        """Seconds in which nothing that waits was worked off; 0 while nothing waits."""
        return now - self._moved if self.events else 0.0
