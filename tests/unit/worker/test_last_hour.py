"""A worker tells what it has read in the last hour, and forgets whom it has to."""

from collections import Counter

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import Event
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.kafka.router import RoutedBatch
from stream_persona.pipeline.types import Outcome
from stream_persona.store.last_hour import LastHour
from stream_persona.store.memory import MemoryTables
from stream_persona.worker.last_hour import LastHourTracker
from stream_persona.worker.metrics import Metrics, read_by_label
from stream_persona.worker.worker import Worker
from tests.support.constants import NOW
from tests.support.events import browse, deletion
from tests.support.worker_runs import FakeClock, clocked
from tests.support.workers import fetch, raw

MINUTE = 60.0
OWNED = frozenset([0])


def tracker() -> tuple[LastHourTracker, FakeClock]:
    clock = FakeClock()
    return LastHourTracker(clock.clocks, partitions=1), clock


def batch(**parts: int) -> tuple[RoutedBatch, Outcome]:
    """A batch with so many of each: ``nobody`` is found by the router, others are by reason."""
    routed = RoutedBatch(anomalies=Counter(nobody=parts.pop("nobody", 0)))
    return routed, Outcome(anomalies=parts)


async def working(clock: FakeClock, partitions: int = 1) -> Worker:
    found = clocked(MemoryTables(), clock, partitions=partitions)
    await found.assign(range(partitions))
    return found


def views(customer: str, number: int, first: int = 0, at: int = NOW) -> list[Event]:
    return [browse(f"{customer}-{n}", at + n, customer) for n in range(first, first + number)]


def crowd() -> list[Event]:
    return [browse(f"v{n}", NOW + n, f"c{n}") for n in range(20)]


def heaviest(worker: Worker) -> list[tuple[str, int]]:
    return worker.last_hour.summarize(worker.owned).heaviest


# --- counts ---


def test_anomalies_of_router_and_pipeline_are_counted_by_reason() -> None:
    found, _ = tracker()
    found.record_batch(10, *batch(nobody=2, retry=3))
    found.record_batch(5, *batch(retry=1, faded=4))
    hour = found.summarize(OWNED)
    assert (hour.read, hour.anomalies) == (15, {"nobody": 2, "retry": 4, "faded": 4})


def test_nothing_has_been_read_before_the_first_batch() -> None:
    found, _ = tracker()
    assert found.summarize(OWNED) == LastHour()


def test_a_minute_goes_once_an_hour_is_over() -> None:
    found, clock = tracker()
    for clock.now in (0.0, 30 * MINUTE):
        found.record_batch(10, *batch(retry=1))
    clock.now = 60 * MINUTE - 1
    assert found.summarize(OWNED).read == 20
    clock.now = 60 * MINUTE
    assert found.summarize(OWNED) == LastHour(10, {"retry": 1})
    clock.now = 1_000 * MINUTE
    assert found.summarize(OWNED) == LastHour()


async def test_letters_are_counted_by_reason_and_events_once() -> None:
    worker = await working(FakeClock())
    happened = [*fetch(*crowd()), raw("browses", b"\xff", 90), raw("purchases", b"{}", 91)]
    await worker.process(happened)
    await worker.process(happened[:20])  # redelivered
    hour = worker.last_hour.summarize(worker.owned)
    assert (hour.read, sum(hour.letters.values())) == (22, 2)


def test_every_reason_has_its_metric_from_the_start() -> None:
    assert read_by_label(Metrics().anomalies) == {str(each): 0 for each in Anomaly}


def test_a_batch_counts_in_the_metric_of_its_reasons() -> None:
    metrics = Metrics()
    metrics.record_batch([], *batch(nobody=2, retry=3), 0.1, NOW)
    counted = {name: n for name, n in read_by_label(metrics.anomalies).items() if n}
    assert counted == {"nobody": 2, "retry": 3}


# --- heavy customers ---


async def test_a_bot_is_reported_with_its_events() -> None:
    worker = await working(FakeClock())
    await worker.process(fetch(*crowd(), *views("bot", 150)))
    assert heaviest(worker) == [("bot", 150)]


async def test_a_deleted_customer_is_in_no_report_any_more() -> None:
    worker = await working(FakeClock())
    await worker.process(fetch(*crowd(), *views("bot", 150)))
    await worker.process(fetch(deletion("d", NOW + 10_000, "bot"), first=1_000))
    assert heaviest(worker) == []


async def test_events_before_a_deletion_don_t_bring_the_customer_back_and_later_ones_do() -> None:
    worker = await working(FakeClock())
    gone = deletion("d", NOW + 10_000, "bot")
    await worker.process(fetch(*crowd(), *views("bot", 120), gone, *views("bot", 120, 120)))
    assert heaviest(worker) == []
    await worker.process(fetch(*views("bot", 200, 300), first=1_000))
    assert heaviest(worker) == []
    await worker.process(fetch(*views("bot", 110, 500, NOW + 20_000), first=2_000))
    assert heaviest(worker) == [("bot", 110)]


async def test_redelivered_events_of_a_deleted_customer_don_t_bring_it_back() -> None:
    worker = await working(FakeClock())
    happened = fetch(*crowd(), *views("bot", 150))
    await worker.process(happened)
    await worker.process(fetch(deletion("d", NOW + 10_000, "bot"), first=1_000))
    await worker.process(happened)
    assert heaviest(worker) == []


async def test_customers_go_with_their_partition() -> None:
    worker = await working(FakeClock(), partitions=2)
    bot = next(f"bot{n}" for n in range(9) if find_home_partition(f"bot{n}", 2) == 1)
    for number in (0, 1):
        own = [
            e
            for e in [*crowd(), *views(bot, 150)]
            if find_home_partition(e.customer_id, 2) == number
        ]
        await worker.process(fetch(*own, partition=number))
    assert heaviest(worker) == [(bot, 150)]
    await worker.assign([0])
    assert heaviest(worker) == []
    await worker.assign([0, 1])
    assert heaviest(worker) == []  # the other worker may have learned of its deletion


# --- rollbacks ---


def test_a_rollback_is_told_for_an_hour() -> None:
    found, clock = tracker()
    clock.now = 600.0
    found.record_rollback(345)
    assert found.summarize(OWNED).rollbacks == [(NOW + 600_000, 345)]
    clock.now = 600.0 + 60 * MINUTE
    assert found.summarize(OWNED).rollbacks == []
