"""A batch is fetched when it is asked for, and when there is room for what it may bring."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import faust
import pytest
from aiokafka import ConsumerRecord
from faust.types import TP, ConsumerMessage

from stream_persona.kafka.faust_app import (
    UNACKED_POLLS,
    BatchApp,
    make_batch_topic,
    make_faust_options,
)
from stream_persona.kafka.fetcher import Fetched
from stream_persona.kafka.transport import UNACKED_BYTES, Consumer
from stream_persona.settings import Settings
from tests.support.waiting import eventually


class LastingApp(BatchApp):
    """An app whose crash does not end the process, which is that of the tests."""

    def _end_hard(self) -> None:
        pass


@pytest.mark.parametrize("value", [[], ["record"]])
async def test_faust_hands_the_value_on_as_it_is(value: list[str]) -> None:
    app = LastingApp(**make_faust_options(Settings(_env_file=None)))
    topic = make_batch_topic(app, "purchases", "browses")
    message = faust.types.Message(
        "purchases", 0, 9, timestamp=0.0, timestamp_type=0, headers=None, key=None, value=value,
        checksum=None,
    )  # fmt: skip
    event = await topic.decode(message)
    assert event.value is value


async def test_a_fetcher_that_is_cancelled_while_an_ack_makes_room_ends() -> None:
    settings = Settings(_env_file=None, max_batch_records=10)
    consumer = LastingApp(**make_faust_options(settings)).consumer
    full = UNACKED_POLLS * 10
    consumer._find_position(TP("purchases", 0)).deliver(0, full - 1, records=full, position=full)
    waiting = asyncio.create_task(consumer._may_fetch(60.0))
    await eventually(lambda: consumer._waiting is not None, 5, "it does not wait")
    consumer._waiting.set_result(None)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_fetching_waits_while_few_but_large_records_are_not_acked() -> None:
    consumer = LastingApp(**make_faust_options(Settings(_env_file=None))).consumer
    tp = TP("purchases", 0)
    consumer._find_position(tp).deliver(0, 9, records=10, position=10, size=UNACKED_BYTES)
    assert not await consumer._may_fetch(0.01)
    consumer._find_position(tp).ack(9)
    assert await consumer._may_fetch(0.01)


def message_of(consumer: Consumer, offset: int) -> ConsumerMessage:
    """What the consumer makes of a fetch of one record."""
    tp = TP("purchases", 0)
    record = ConsumerRecord(
        *tp, offset, timestamp=0, timestamp_type=0, key=b"c", value=b"e", checksum=None,
        serialized_key_size=1, serialized_value_size=1, headers=(),
    )  # fmt: skip
    _, message = consumer._deliver(Fetched({tp: [record]}, {tp: offset + 1}, 0, 0))
    return message


async def test_the_next_batch_is_fetched_once_it_is_asked_for() -> None:
    consumer = LastingApp(**make_faust_options(Settings(_env_file=None))).consumer
    assert await consumer._may_fetch(0.01)
    first = message_of(consumer, 0)
    assert not await consumer._may_fetch(0.01)
    waiting = asyncio.create_task(consumer._may_fetch(60.0))
    await eventually(lambda: consumer._waiting is not None, 5, "it does not wait")
    consumer.request(Asked(first))
    assert await waiting


async def test_a_request_after_an_older_batch_brings_no_second_one() -> None:
    consumer = LastingApp(**make_faust_options(Settings(_env_file=None))).consumer
    first, _ = message_of(consumer, 0), message_of(consumer, 1)
    consumer.request(Asked(first))
    assert not await consumer._may_fetch(0.01)


async def test_an_assignment_asks_for_what_may_have_been_taken_away() -> None:
    consumer = LastingApp(**make_faust_options(Settings(_env_file=None))).consumer
    lost = message_of(consumer, 0)
    with suppress(Exception):  # this app was never started
        await consumer.on_partitions_assigned(set())
    assert await consumer._may_fetch(0.01)
    message_of(consumer, 1)
    consumer.request(Asked(lost))
    assert not await consumer._may_fetch(0.01)


@dataclass
class Asked:
    """What ``request`` needs of an event."""

    message: ConsumerMessage
