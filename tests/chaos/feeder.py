"""Sends the stream of a trial, never far ahead of the workers, and reads their progress."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.settings import Settings
from tests.chaos.bundles import PARTITIONS, Bundler, topic_of
from tests.chaos.shopfloor import Sent
from tests.support.waiting import patience

CHUNK = 250
#: The share of messages after which they trickle, so many every 0.2 s, while faults are busy.
KEPT, TRICKLE = 0.85, 8


class Progress:
    """How many messages of the input topics the group has committed; never less than before.

    confluent-kafka answers for all partitions in one request, and takes a broker that is away
    for what it is.
    """

    def __init__(self, settings: Settings) -> None:
        self.committed = 0
        self._consumer = Consumer({
            "bootstrap.servers": settings.brokers, "group.id": settings.group,
            "enable.auto.commit": False, "log_level": 0,
        })  # fmt: skip
        self._partitions = [
            TopicPartition(topic, partition)
            for topic in settings.input_topics
            for partition in range(settings.partitions)
        ]
        if settings.sources is not None:
            self._partitions += [
                TopicPartition(topic_of(settings), number) for number in range(PARTITIONS)
            ]

    async def read(self) -> None:
        self.committed = max(self.committed, await asyncio.to_thread(self._read))

    def _read(self) -> int:
        try:
            found = self._consumer.committed(self._partitions, timeout=patience(2.0))
        except KafkaException:
            return 0
        return sum(max(0, tp.offset) for tp in found)

    async def close(self) -> None:
        await asyncio.to_thread(self._consumer.close)


class Feeder:
    """Sends messages in their order; a retry of its own keeps the order of a partition.

    At most ``ahead`` of them are not committed: more wait here. ``sent`` are the messages as the
    broker has them, ``bundled`` those of a source (``bundles``), ``ends`` when assignments end of
    which the clock decides, by customer.
    """

    def __init__(
        self, settings: Settings, messages: Sequence[Sent], ahead: int, seed: object = 0
    ) -> None:
        self._bundler = Bundler(str(seed)) if settings.sources else None
        self.bundled: list[bytes] = []
        self._settings = settings
        self._messages = messages
        self._ahead = ahead
        self._dated: dict[bytes | None, bytes] = {}
        self.sent: list[Sent] = []
        self.ends: dict[str, int] = {}
        self._refused: list[str] = []
        self._producer = Producer({
            "bootstrap.servers": settings.brokers, "enable.idempotence": True, "log_level": 0,
            "linger.ms": 5, "message.timeout.ms": 240_000, "queue.buffering.max.messages": 200_000,
        })  # fmt: skip

    async def run(self, progress: Progress, busy: Callable[[], bool]) -> None:
        """Send everything; returns when the broker has it.

        The last messages trickle while faults are ``busy``: a worker that shall die amid its work
        must have some.
        """
        sent = 0
        while sent < len(self._messages):
            slowly = sent > KEPT * len(self._messages) and busy()
            if len(self.sent) + len(self.bundled) - progress.committed < self._ahead:
                size = TRICKLE if slowly else CHUNK
                for message in self._messages[sent : sent + size]:
                    self._send(message)
                sent += size
            self._producer.poll(0)
            await asyncio.sleep(0.2 if slowly else 0.01)
        self._send_bundle(last=True)
        await asyncio.to_thread(self._producer.flush)
        assert not self._refused, f"the broker did not take {self._refused[0]}"

    def _send_bundle(self, *, last: bool = False) -> None:
        bundle = self._bundler.bundle(last=last) if self._bundler else None
        if bundle is not None:
            partition, value = bundle
            self.bundled.append(value)
            self._producer.produce(
                topic_of(self._settings), value, b"nobody", partition, on_delivery=self._delivered
            )

    def _send(self, drawn: Sent) -> None:
        if self._bundler and self._bundler.take(drawn):
            self._send_bundle()
            return
        message = self._date(drawn)
        self.sent.append(message)
        # Not librdkafka's own partitioner: an event is at home where Java's would put it.
        at_home = find_home_partition(message.customer, self._settings.partitions)
        self._producer.produce(
            self._settings.input_topics[message.kind],
            message.value,
            message.customer.encode(),
            at_home if message.partition is None else message.partition,
            on_delivery=self._delivered,
        )

    def _date(self, message: Sent) -> Sent:
        """Give an assignment its end on the clock; a copy has that of the first."""
        if message.ends_after is None or message.value is None:
            return message
        if message.value not in self._dated:
            ends = time.time_ns() // 1_000_000 + round(1_000 * message.ends_after)
            content = orjson.loads(message.value) | {"expires_at": ends}
            self._dated[message.value] = orjson.dumps(content)
            self.ends[message.customer] = ends
        return replace(message, value=self._dated[message.value])

    def _delivered(self, error: object, _: object) -> None:
        if error is not None:
            self._refused.append(str(error))
