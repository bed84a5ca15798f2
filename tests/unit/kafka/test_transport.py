import asyncio
import itertools
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.consumer.fetcher import Fetcher
from faust.types import TP, ConsumerMessage
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from yarl import URL

from stream_persona.errors import SettingsError
from stream_persona.kafka import faust_app
from stream_persona.kafka.faust_app import (
    UNACKED_POLLS,
    BatchApp,
    batch_topic,
    broker_urls,
    faust_options,
)
from stream_persona.kafka.fetcher import ConsumerThread, Fetched, Gate
from stream_persona.kafka.offset_tracker import CommitPosition
from stream_persona.kafka.transport import UNACKED_BYTES, Consumer, Transport
from stream_persona.settings import Settings
from tests.support.waiting import eventually


def delivered(*batches: tuple[int, int]) -> CommitPosition:
    """A position to which batches of these first and last offsets were delivered."""
    position = CommitPosition()
    for first, last in batches:
        position.deliver(first, last, records=last - first + 1, position=last + 1)
    return position


def test_nothing_is_committed_before_the_first_ack() -> None:
    assert CommitPosition().committable is None
    assert delivered((0, 9), (10, 19)).committable is None


def test_the_end_of_an_acked_batch_is_committed() -> None:
    position = delivered((0, 9), (10, 19))
    position.ack(9)
    assert position.committable == 10


def test_a_later_batch_waits_for_an_earlier_one() -> None:
    position = delivered((0, 9), (10, 19), (20, 29))
    position.ack(9)
    position.ack(29)
    assert position.committable == 10
    position.ack(19)
    assert position.committable == 30


def test_a_gap_between_batches_holds_nothing_up() -> None:
    position = delivered((5, 9), (500, 500))
    position.ack(9)
    assert position.committable == 10
    position.ack(500)
    assert position.committable == 501


def test_what_was_passed_behind_the_last_batch_is_committed_with_it() -> None:
    position = delivered((0, 9))
    position.passed(12)
    assert position.committable is None
    position.ack(9)
    assert position.committable == 12


def test_an_unknown_ack_changes_nothing() -> None:
    position = delivered((0, 9))
    position.ack(4)
    position.ack(19)
    assert (position.committable, position.unacked_records) == (None, 10)


def test_after_seeking_back_what_comes_again_must_be_acked_again() -> None:
    position = delivered((0, 9), (10, 19), (20, 29))
    position.ack(9)
    position.ack(19)
    position.deliver(10, 14, records=5, position=15)
    assert (position.committable, position.unacked_records) == (10, 5)
    position.ack(14)
    assert position.committable == 15


def test_seeking_into_an_unacked_batch_commits_nothing_of_it_before_the_next_ack() -> None:
    position = delivered((0, 9), (10, 19))
    position.ack(9)
    position.deliver(15, 24, records=10, position=25)
    assert (position.committable, position.unacked_records) == (10, 10)


def test_a_position_that_went_back_takes_nothing_back() -> None:
    position = delivered((0, 9))
    position.ack(9)
    position.passed(4)
    assert position.committable == 10


@dataclass
class Model:
    """One partition told record by record: what lies in the log, what was done with it."""

    log: list[int] = field(default_factory=list)  # the offsets that hold records
    read: int = 0  # the position
    acked: set[int] = field(default_factory=set)


class AnyHistory(RuleBasedStateMachine):
    """Batches with gaps in and between them, acks in any order, seeks back to batches' starts."""

    def __init__(self) -> None:
        super().__init__()
        self.position = CommitPosition()
        self.model = Model()
        self.batches: list[list[int]] = []  # those delivered since the last seek, in order
        self.unacked: list[list[int]] = []

    @rule(steps=st.lists(st.integers(1, 4), min_size=1, max_size=5), behind=st.integers(0, 3))
    def deliver_a_batch(self, steps: list[int], behind: int) -> None:
        offsets = [self.model.read - 1 + step for step in itertools.accumulate(steps)]
        self.model.log = [o for o in self.model.log if o < self.model.read] + offsets
        self.model.acked -= set(offsets)
        self.model.read = offsets[-1] + 1 + behind
        self.position.deliver(
            offsets[0], offsets[-1], records=len(offsets), position=self.model.read
        )
        self.batches.append(offsets)
        self.unacked.append(offsets)

    @rule(behind=st.integers(0, 3))
    def pass_what_is_no_record(self, behind: int) -> None:
        self.model.read += behind
        self.position.passed(self.model.read)

    @precondition(lambda self: self.unacked)
    @rule(data=st.data())
    def ack_any(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.unacked))
        self.unacked.remove(batch)
        self.model.acked |= set(batch)
        self.position.ack(batch[-1])

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), size=st.integers(1, 5))
    def seek_back_and_read_on(self, data: st.DataObject, size: int) -> None:
        again = data.draw(st.integers(0, len(self.batches) - 1))
        rest = [offset for batch in self.batches[again:] for offset in batch][:size]
        self.batches = self.batches[:again]
        self.unacked = [batch for batch in self.unacked if batch in self.batches]
        self.model.read = rest[0]
        self.deliver_a_batch([b - a for a, b in itertools.pairwise([rest[0] - 1, *rest])], 0)

    @invariant()
    def no_more_and_no_less_than_the_prefix_is_committed(self) -> None:
        committable = self.position.committable or 0
        undone = [o for o in self.model.log if o < self.model.read and o not in self.model.acked]
        assert all(offset >= committable for offset in undone)
        done_before = [o for o in self.model.log if o < min(undone, default=self.model.read)]
        assert committable > max(done_before, default=-1) or not done_before
        if not undone:
            assert committable == self.model.read

    @invariant()
    def memory_is_that_of_the_unacked_batches(self) -> None:
        assert len(self.position._unacked) == len(self.unacked)
        assert self.position.unacked_records == sum(map(len, self.unacked))


TestAnyHistory = AnyHistory.TestCase


@given(st.permutations(range(12)))
def test_the_order_of_acks_does_not_matter_in_the_end(order: list[int]) -> None:
    position = delivered(*((10 * n, 10 * n + 9) for n in range(12)))
    for n in order:
        position.ack(10 * n + 9)
    assert (position.committable, position.unacked_records) == (120, 0)


def test_brokers_become_addresses_of_this_transport() -> None:
    assert broker_urls("a:9092, b:9093,[::1]:9094") == [
        URL("batched://a:9092"),
        URL("batched://b:9093"),
        URL("batched://[::1]:9094"),
    ]


@pytest.mark.parametrize("brokers", ["", "a:9092,", "a:port", "kafka://a:9092", "a:9092/b"])
def test_brokers_that_cannot_be_read_are_refused(brokers: str) -> None:
    with pytest.raises(SettingsError, match="STREAM_PERSONA_BROKERS"):
        broker_urls(brokers)


def test_faust_takes_the_options_and_finds_the_transport_by_its_scheme() -> None:
    settings = Settings(_env_file=None, brokers="a:9092,b:9093")
    app = faust.App(**faust_options(settings))
    assert type(app.transport) is Transport
    assert app.conf.id == settings.group
    assert app.conf.broker_request_timeout > app.conf.broker_rebalance_timeout


async def test_quiet_partitions_hold_the_busy_ones_up_for_a_tenth_of_a_second_at_most() -> None:
    app = faust.App(**faust_options(Settings(_env_file=None)))
    thread = ConsumerThread(app.consumer)
    made = thread._create_worker_consumer(app.transport)
    started = AIOKafkaConsumer.start.__code__.co_names
    assert "_fetch_max_wait_ms" in started  # it is what a fetcher is made with
    assert made._fetch_max_wait_ms <= 100
    await made.stop()


@pytest.mark.parametrize("value", [[], ["record"]])
async def test_faust_hands_the_value_on_as_it_is(value: list[str]) -> None:
    app = faust.App(**faust_options(Settings(_env_file=None)))
    topic = batch_topic(app, "purchases", "browses")
    message = faust.types.Message(
        "purchases", 0, 9, timestamp=0.0, timestamp_type=0, headers=None, key=None, value=value,
        checksum=None,
    )  # fmt: skip
    event = await topic.decode(message)
    assert event.value is value


async def test_a_fetcher_that_is_cancelled_while_an_ack_makes_room_ends() -> None:
    settings = Settings(_env_file=None, max_batch_records=10)
    consumer = faust.App(**faust_options(settings)).consumer
    full = UNACKED_POLLS * 10
    consumer._position(TP("purchases", 0)).deliver(0, full - 1, records=full, position=full)
    waiting = asyncio.create_task(consumer._may_fetch(60.0))
    await eventually(lambda: consumer._waiting is not None, 5, "it does not wait")
    consumer._waiting.set_result(None)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_fetching_waits_while_few_but_large_records_are_not_acked() -> None:
    consumer = faust.App(**faust_options(Settings(_env_file=None))).consumer
    tp = TP("purchases", 0)
    consumer._position(tp).deliver(0, 9, records=10, position=10, size=UNACKED_BYTES)
    assert not await consumer._may_fetch(0.01)
    consumer._position(tp).ack(9)
    assert await consumer._may_fetch(0.01)


def message_of(consumer: Consumer, offset: int) -> ConsumerMessage:
    """What the consumer makes of a fetch of one record."""
    tp = TP("purchases", 0)
    record = ConsumerRecord(
        *tp, offset, timestamp=0, timestamp_type=0, key=b"c", value=b"e", checksum=None,
        serialized_key_size=1, serialized_value_size=1, headers=(),
    )  # fmt: skip
    _, message = consumer._deliver(Fetched({tp: [record]}, {tp: offset + 1}, 0))
    return message


async def test_the_next_batch_is_fetched_once_it_is_asked_for() -> None:
    consumer = faust.App(**faust_options(Settings(_env_file=None))).consumer
    assert await consumer._may_fetch(0.01)
    first = message_of(consumer, 0)
    assert not await consumer._may_fetch(0.01)
    waiting = asyncio.create_task(consumer._may_fetch(60.0))
    await eventually(lambda: consumer._waiting is not None, 5, "it does not wait")
    consumer.request(Asked(first))
    assert await waiting


async def test_who_asks_for_more_after_an_older_batch_gets_no_second_one() -> None:
    consumer = faust.App(**faust_options(Settings(_env_file=None))).consumer
    first, _ = message_of(consumer, 0), message_of(consumer, 1)
    consumer.request(Asked(first))
    assert not await consumer._may_fetch(0.01)


async def test_an_assignment_asks_for_what_may_have_been_taken_away() -> None:
    consumer = faust.App(**faust_options(Settings(_env_file=None))).consumer
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


class Asking:
    """What a gate needs of aiokafka's fetcher, and of an assignment of one partition."""

    has_valid_position = True
    tps = ("a partition",)

    def __init__(self) -> None:
        self.notified = 0
        self._wait_consume_future = None

    def state_value(self, _: str) -> "Asking":
        return self

    def _get_actions_per_node(self, _: object) -> str:
        return "what is to be fetched"

    def _notify(self, _: object) -> None:
        self.notified += 1


def test_brokers_are_asked_only_while_somebody_waits_for_records() -> None:
    fetcher: Any = Asking()
    gate = Gate(fetcher)
    assert fetcher._get_actions_per_node(fetcher)[:2] == ([], {})
    with gate:
        assert fetcher.notified == 1
        assert fetcher._get_actions_per_node(fetcher) == "what is to be fetched"
    assert fetcher._get_actions_per_node(fetcher)[:2] == ([], {})


def test_where_a_partition_begins_is_asked_at_once() -> None:
    fetcher: Any = Asking()
    Gate(fetcher)
    fetcher.has_valid_position = False
    assert fetcher._get_actions_per_node(fetcher) == "what is to be fetched"


def test_a_gate_knows_what_aiokafka_does() -> None:
    routine = Fetcher._fetch_requests_routine.__code__.co_names
    assert {"_get_actions_per_node", "_wait_consume_future"} <= set(routine)
    assert "_notify" in Fetcher.fetched_records.__code__.co_names


def test_a_crash_ends_the_process_once_however_many_tell_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[float] = []

    class Timer:
        daemon = False

        def __init__(self, seconds: float, _: Any) -> None:
            self._seconds = seconds

        def start(self) -> None:
            begun.append(self._seconds)

    monkeypatch.setattr(faust_app.threading, "Timer", Timer)
    app = BatchApp(**faust_options(Settings(_env_file=None)))
    first = RuntimeError("first")
    for error in (first, first, RuntimeError("stopping crashes of more")):
        app._crash(error)
    assert begun == [faust_app.CRASH_SECONDS]
    assert app.fault is first
