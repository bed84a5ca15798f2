"""Whatever comes in, its letter can be sent: the real publisher on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from itertools import count
from typing import Any, TypeVar

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.domain.events import MAX_BYTES, REASONS
from stream_persona.errors import DecodeError, TopologyError, UnavailableError
from stream_persona.kafka.letters import make_letter
from stream_persona.kafka.publisher import KafkaPublisher
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.support.constants import RECENT as NOW
from tests.support.events import purchase
from tests.support.servers import Kafka, declare_topics
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import patience
from tests.support.workers import raw

T = TypeVar("T")

#: Bytes of the largest batch that the topic of letters takes, and those of a letter's headers.
LIMIT = 20_000
HEADERS = 4_000


class LetterBox:
    """A publisher, and a consumer of the letters that it sends; in a loop of their own."""

    def __init__(self, kafka: Kafka, settings: Settings) -> None:
        self.settings = settings
        self._kafka = kafka
        self._runner = asyncio.Runner()
        self.numbers = count()
        self.run(self._open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    async def _open(self) -> None:
        settings, small = self.settings, {"max.message.bytes": str(LIMIT)}
        await declare_topics(self._kafka, [settings.topic_dead_letters], 2, small)
        self.publisher = KafkaPublisher(settings)
        await self.publisher.start()
        self._consumer = AIOKafkaConsumer(
            settings.topic_dead_letters, bootstrap_servers=settings.brokers,
            auto_offset_reset="earliest",
        )  # fmt: skip
        await self._consumer.start()

    async def send(self, came: list[tuple[ConsumerRecord, DecodeError]]) -> list[ConsumerRecord]:
        """Publish the letters of these messages; return them in the messages' order."""
        topic, found = self.settings.topic_dead_letters, dict[int, ConsumerRecord]()
        wanted = {raw.offset for raw, _ in came}
        await self.publisher.publish([make_letter(raw, error, topic) for raw, error in came])
        async with asyncio.timeout(patience(20)):
            while found.keys() != wanted:
                for batch in (await self._consumer.getmany(timeout_ms=200)).values():
                    for letter in batch:
                        found[int(dict(letter.headers)["offset"])] = letter
        return [found[raw.offset] for raw, _ in came]

    async def _close(self) -> None:
        await self._consumer.stop()
        await self.publisher.stop()

    def close(self) -> None:
        self.run(self._close())
        self._runner.close()


@pytest.fixture
def letters(real_kafka: Kafka, settings: Settings) -> Iterator[LetterBox]:
    box = LetterBox(real_kafka, settings)
    yield box
    box.close()


SIZES = (
    st.integers(0, 50)
    | st.integers(LIMIT - HEADERS, LIMIT + 100)
    | st.sampled_from([MAX_BYTES, 1_100_000, 8_388_608, 9_000_000])
)
BLOBS = st.none() | st.binary(max_size=20) | SIZES.map(bytes)
NAMES = st.text(max_size=20) | st.sampled_from(["reason", "offset", "\ud800", "x" * 5_000])
ERRORS = st.builds(
    DecodeError,
    st.sampled_from(sorted(REASONS)),
    st.text(max_size=30) | st.sampled_from(["\ud800" * 600, "\U00010338" * 600, "\0"]),
)


def came_in(number: int, key: bytes | None, value: bytes | None, headers: Any) -> ConsumerRecord:
    found = raw("browses", value, number, 3, headers)
    found.key = key
    return found


def check(letter: ConsumerRecord, came: ConsumerRecord, error: DecodeError) -> None:
    """Its key and value are untouched, or too large and counted in a header."""
    headers = dict(letter.headers)
    assert headers["reason"].decode() == error.reason
    assert (headers["topic"], headers["partition"]) == (b"browses", b"3")
    size = len(came.key or b"") + len(came.value or b"")
    for kept, sent, header in (
        (letter.value, came.value, "omitted_bytes"),
        (letter.key, came.key, "omitted_key_bytes"),
    ):
        if header in headers:
            assert (kept, int(headers[header])) == (None, len(sent or b""))
            assert size > LIMIT - HEADERS
        else:
            assert kept == sent
    if "omitted_key_bytes" in headers:
        assert len(came.key or b"") > LIMIT - HEADERS
    if error.detail:
        assert headers["detail"]


@given(
    st.lists(
        st.tuples(BLOBS, BLOBS, st.lists(st.tuples(NAMES, st.none() | st.binary())), ERRORS),
        min_size=1, max_size=6,
    )
)  # fmt: skip
@hypothesis(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_in_its_letter_can_be_sent(
    letters: LetterBox, messages: list[tuple[bytes | None, bytes | None, Any, DecodeError]]
) -> None:
    came = [
        (came_in(next(letters.numbers), key, value, headers), error)
        for key, value, headers, error in messages
    ]
    sent = letters.run(letters.send(came))
    for letter, (message, error) in zip(sent, came, strict=True):
        check(letter, message, error)


def test_letters_that_are_too_large_together_go_one_by_one_and_whole(
    real_kafka: Kafka, settings: Settings
) -> None:
    """The topic takes less than aiokafka puts into one batch."""

    async def send() -> None:
        topic = settings.topic_dead_letters
        await declare_topics(real_kafka, [topic], 1, {"max.message.bytes": "4000"})
        publisher = KafkaPublisher(settings)
        await publisher.start()
        error = DecodeError("not_json", "x")
        came = [came_in(number, b"k", b"%d" % number * 1_000, ()) for number in range(10)]
        await publisher.publish([make_letter(each, error, topic) for each in came])
        await publisher.stop()
        found = await Shop(settings, None).read(topic)  # type: ignore[arg-type]
        assert sorted(each.value for each in found) == sorted(each.value for each in came)

    asyncio.run(send())


def test_a_topic_that_takes_no_letter_at_all_is_named(
    real_kafka: Kafka, settings: Settings
) -> None:
    async def send() -> None:
        topic = settings.topic_dead_letters
        await declare_topics(real_kafka, [topic], 1, {"max.message.bytes": "100"})
        publisher = KafkaPublisher(settings)
        await publisher.start()
        letter = make_letter(came_in(1, None, None, ()), DecodeError("empty", "no value"), topic)
        with pytest.raises(UnavailableError, match=f"max.message.bytes of {topic} is too small"):
            await publisher.publish([letter])
        await publisher.stop()

    asyncio.run(send())


async def test_a_compacted_topic_of_letters_is_refused_at_the_start(
    real_kafka: Kafka, settings: Settings
) -> None:
    topic, compacted = settings.topic_dead_letters, {"cleanup.policy": "compact"}
    await declare_topics(real_kafka, [topic], settings.partitions, compacted)
    with pytest.raises(TopologyError, match=f"topic {topic} has cleanup.policy=compact; set it to"):
        await prepare(settings)


async def test_a_worker_goes_on_after_messages_that_hold_nothing_or_too_much(
    shop: Shop, real_kafka: Kafka, start_worker: Callable[[], WorkerProcess]
) -> None:
    topics = [*shop.settings.input_topics, shop.settings.topic_reroutes]
    strange: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
        (b"", None, []),
        (b"k" * 500_000, None, []),
        (b"k" * 500_000, b"v" * 500_000, []),
        (b"k", b"v", [("h" * 30_000, b"v" * 300_000)] * 2),
        (None, b"v", [("topic", None)] * 50),
        (b"\xff", b"", [("", b"")]),
    ]
    async with AIOKafkaProducer(
        bootstrap_servers=shop.settings.brokers, max_request_size=8_000_000
    ) as producer:
        for topic in topics:
            empty = producer.create_batch()
            empty.append(key=None, value=None, timestamp=None)
            await (await producer.send_batch(empty, topic, partition=1))
            for key, value, headers in strange:
                await producer.send_and_wait(topic, value, key, 1, NOW, headers)
    await shop.produce(purchase("e1"))
    worker = start_worker()
    await shop.at_rest()
    assert worker.process.poll() is None
    assert "c" in await shop.folded()
    letters = await shop.read(shop.settings.topic_dead_letters)
    assert len(letters) == len(topics) * (1 + len(strange))
    assert sum(letter.key is None and letter.value is None for letter in letters) == len(topics)
    assert all("omitted_bytes" not in dict(letter.headers) for letter in letters)
