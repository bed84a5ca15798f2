import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from stream_persona.kafka.faust_app import UNACKED_POLLS
from stream_persona.settings import Settings
from tests.support.batch_worker import Position, Worker
from tests.support.servers import Kafka, create_topics, declare_topics, eventually, settings_for

START_SECONDS = 40.0  # the embedded broker takes its time over a group


class Shop:
    """The broker as its clients see it: events are sent, and offsets are committed."""

    def __init__(self, kafka: Kafka, settings: Settings) -> None:
        self.kafka = kafka
        self.settings = settings

    async def send(self, count: int, value: bytes = b"event", topic: str = "") -> None:
        topic = topic or self.settings.topic_purchases
        async with AIOKafkaProducer(bootstrap_servers=self.kafka.brokers, acks="all") as producer:
            sent = [
                await producer.send(topic, value, partition=number % self.settings.partitions)
                for number in range(count)
            ]
            await asyncio.gather(*sent)

    async def ends(self) -> dict[TopicPartition, int]:
        async with AIOKafkaConsumer(bootstrap_servers=self.kafka.brokers) as consumer:
            ends: dict[TopicPartition, int] = await consumer.end_offsets(self._partitions())
        return {tp: end for tp, end in ends.items() if end}

    async def committed(self) -> dict[TopicPartition, int]:
        options = {"group_id": self.settings.group, "enable_auto_commit": False}
        async with AIOKafkaConsumer(bootstrap_servers=self.kafka.brokers, **options) as consumer:
            consumer.assign(self._partitions())
            offsets = {tp: await consumer.committed(tp) for tp in self._partitions()}
        return {tp: offset for tp, offset in offsets.items() if offset}

    async def is_drained(self) -> bool:
        return await self.committed() == await self.ends()

    def _partitions(self) -> list[TopicPartition]:
        return [
            TopicPartition(topic, partition)
            for topic in self.settings.input_topics
            for partition in range(self.settings.partitions)
        ]


@pytest.fixture
async def shop(kafka: Kafka) -> AsyncIterator[Shop]:
    # Batches of ten, so that even a short test has many.
    settings = settings_for(kafka, "redis://unused", max_batch_records=10)
    await declare_topics(kafka, settings.input_topics, settings.partitions)
    return Shop(kafka, settings)


@pytest.fixture
def start_worker(shop: Shop, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def start(behaviour: str = "ack") -> Worker:
        journal = tmp_path / f"{len(workers)}.journal"
        workers.append(Worker(shop.settings, journal, behaviour))
        return workers[-1]

    yield start
    for worker in workers:
        worker.process.kill()
        worker.process.wait()


def distinct(workers: Sequence[Worker]) -> set[Position]:
    return {position for worker in workers for position in worker.records()}


async def test_every_event_is_delivered_once_and_committed_at_rest(
    shop: Shop, start_worker: Callable[..., Worker]
) -> None:
    await shop.send(200)
    await shop.send(40, topic=shop.settings.topic_browses)
    worker = start_worker()
    await eventually(shop.is_drained, START_SECONDS, "not everything was committed")
    await shop.send(200)
    await eventually(shop.is_drained, 10, "not everything was committed")
    assert set(Counter(worker.records()).values()) == {1}
    assert len(worker.records()) == 440


async def test_batches_acked_out_of_order_are_committed_when_their_prefix_is_done(
    shop: Shop, start_worker: Callable[..., Worker]
) -> None:
    await shop.send(40 * shop.settings.partitions)  # at least four batches of each partition
    start_worker("reverse")
    await eventually(shop.is_drained, START_SECONDS, "not everything was committed")


async def test_a_batch_that_is_not_acked_is_not_committed_and_comes_again(
    shop: Shop, start_worker: Callable[..., Worker]
) -> None:
    # A worker that dies is missed after half the usual time.
    shop.settings = shop.settings.model_copy(update={"session_timeout": 3.0})
    await shop.send(shop.settings.partitions, b"before")
    first = start_worker("hold")
    await eventually(shop.is_drained, START_SECONDS, "not everything was committed")
    await shop.send(1, b"hold")  # to partition 0
    await eventually(lambda: len(first.records()) > shop.settings.partitions, 10)
    await shop.send(5 * shop.settings.partitions, b"after")
    held = TopicPartition(shop.settings.topic_purchases, 0)

    async def the_others_are_committed() -> bool:
        ends, committed = await shop.ends(), await shop.committed()
        return all(committed[tp] == ends[tp] for tp in ends if tp != held)

    await eventually(the_others_are_committed, 10, "the others were not committed")
    assert (await shop.committed())[held] == 1
    first.process.kill()
    second = start_worker()
    await eventually(shop.is_drained, START_SECONDS, "not everything was committed")
    again = {offset for _, partition, offset in second.records() if partition == 0}
    assert again == set(range(1, 7))


async def test_what_comes_while_a_batch_is_worked_on_is_one_batch(
    shop: Shop, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker("wait")
    await eventually(worker.is_ready, START_SECONDS, "no assignment")
    await shop.send(1, b"wait")
    await eventually(lambda: len(worker.records()) == 1, 10, "nothing was read")
    for _ in range(3):  # each of them has reached the broker before the next one is sent
        await shop.send(2, b"later")
        await shop.send(1, b"later", topic=shop.settings.topic_browses)
    worker.journal.with_name(worker.journal.name + ".go").touch()
    await eventually(lambda: len(worker.records()) == 10, 10, "nothing more was read")
    assert [line[4] for line in worker.lines() if line[3:4] == ["later"]] == ["9"] * 9


async def test_fetching_waits_while_too_much_is_not_acked(
    shop: Shop, start_worker: Callable[..., Worker]
) -> None:
    poll = shop.settings.max_batch_records
    limit = UNACKED_POLLS * poll
    await shop.send(10 * limit)
    worker = start_worker("never")
    await eventually(lambda: len(worker.records()) >= limit, START_SECONDS, "too little was read")
    await shop.send(limit, topic=shop.settings.topic_browses)  # time in which it could read on
    assert len(worker.records()) < limit + poll
    assert not await shop.committed()


async def test_sigterm_finishes_what_was_begun_commits_it_and_exits_with_0(
    shop: Shop, start_worker: Callable[..., Worker]
) -> None:
    first = start_worker("slow")
    await eventually(first.is_ready, START_SECONDS, "no assignment")
    await shop.send(400)
    await eventually(first.records, 10, "nothing was read")
    assert await first.stop() == 0
    done = Counter(partition for _, partition, _ in first.records())
    committed = {tp.partition: offset for tp, offset in (await shop.committed()).items()}
    assert committed == done
    assert committed != {tp.partition: end for tp, end in (await shop.ends()).items()}
    second = start_worker()
    await eventually(shop.is_drained, START_SECONDS, "not everything was committed")
    assert set(Counter(first.records() + second.records()).values()) == {1}


async def test_no_event_is_lost_or_repeated_when_a_worker_joins_and_leaves(
    shop: Shop, start_worker: Callable[..., Worker]
) -> None:
    first = start_worker("slow")
    await eventually(first.is_ready, START_SECONDS, "no assignment")
    await shop.send(80)
    second = start_worker("slow")

    async def has_joined() -> bool:
        await shop.send(shop.settings.partitions)
        await asyncio.sleep(0.1)  # a trickle that the slow worker can follow
        return second.is_ready()

    await eventually(has_joined, START_SECONDS, "the second worker has no assignment")
    assert not first.assigned() & second.assigned()
    await shop.send(80)
    assert await second.stop() == 0
    await shop.send(80)
    await eventually(shop.is_drained, START_SECONDS, "not everything was committed")
    everything = sum((await shop.ends()).values())
    assert len(distinct([first, second])) == everything
    if shop.kafka.kind != "embedded":  # which refuses commits while a group is rebalancing
        assert len(first.records() + second.records()) == everything


async def test_one_worker_has_the_same_partitions_of_all_topics(
    shop: Shop, start_worker: Callable[..., Worker]
) -> None:
    workers = [start_worker(), start_worker()]
    half = shop.settings.partitions // 2 * len(shop.settings.input_topics)
    await eventually(
        lambda: all(worker.is_ready() and len(worker.assigned()) == half for worker in workers),
        START_SECONDS,
        "the partitions were not shared",
    )
    for worker in workers:
        numbers = Counter(name.rpartition("/")[2] for name in worker.assigned())
        assert set(numbers.values()) == {len(shop.settings.input_topics)}


@pytest.mark.parametrize("trouble", ["fail", "crash"])
async def test_an_error_in_an_agent_or_a_task_ends_the_worker_with_a_failure(
    shop: Shop, start_worker: Callable[..., Worker], trouble: str
) -> None:
    await shop.send(shop.settings.partitions, trouble.encode())
    worker = start_worker(trouble)
    assert await worker.exit_code() == 1
    if trouble == "fail":
        assert len(await shop.committed()) < shop.settings.partitions
    start_worker()
    await eventually(shop.is_drained, START_SECONDS, "not everything was committed")


async def test_the_ends_of_transactions_are_passed_and_aborted_ones_not_delivered(
    real_kafka: Kafka, shop: Shop, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker()
    async with AIOKafkaProducer(
        bootstrap_servers=real_kafka.brokers, transactional_id=uuid.uuid4().hex
    ) as producer:
        for round_ in range(6):
            await producer.begin_transaction()
            for number in range(25):
                await producer.send(
                    shop.settings.topic_purchases, b"%d" % number, partition=number % 3
                )
            await (producer.abort_transaction() if round_ % 2 else producer.commit_transaction())
    await eventually(shop.is_drained, START_SECONDS, "the last commit marker was not passed")
    assert len(worker.records()) == 3 * 25
    assert sum((await shop.ends()).values()) == 6 * (25 + 3)


async def test_compaction_leaves_gaps_that_are_committed_across(
    real_kafka: Kafka, tmp_path: Path
) -> None:
    settings = settings_for(real_kafka, "redis://unused", max_batch_records=10)
    compact = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "100",
    }
    await create_topics(real_kafka.brokers, settings.input_topics, settings.partitions, compact)
    shop = Shop(real_kafka, settings)
    await eventually(lambda: has_gaps(shop), 30, "Kafka did not compact")
    worker = Worker(settings, tmp_path / "journal", "reverse")
    try:
        await eventually(shop.is_drained, START_SECONDS, "not everything was committed")
        offsets = [offset for _, _, offset in worker.records()]
        assert len(offsets) < max(offsets) - 20
    finally:
        worker.process.kill()
        worker.process.wait()


async def has_gaps(shop: Shop) -> bool:
    """Send more, in new segments since the last one is never compacted; are records missing?"""
    topic, brokers = shop.settings.topic_purchases, shop.kafka.brokers
    async with AIOKafkaProducer(bootstrap_servers=brokers) as producer:
        for number in range(40):
            await producer.send_and_wait(topic, b"x", key=b"%d" % (number % 7), partition=0)
    options = {"bootstrap_servers": brokers, "auto_offset_reset": "earliest"}
    async with AIOKafkaConsumer(topic, **options) as consumer:
        fetched = await consumer.getmany(timeout_ms=1000)
    offsets = [record.offset for batch in fetched.values() for record in batch]
    return len(offsets) < offsets[-1] - 40
