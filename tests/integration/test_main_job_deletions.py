"""Deletions on real servers: nothing is left, whatever comes late or early."""

import time
from collections.abc import Callable

import pytest

from stream_persona.domain import record_codec
from stream_persona.domain.events import (
    Assignment,
    Browse,
    Deletion,
    Item,
    get_event_time,
)
from stream_persona.settings import Settings
from tests.support.busy_shop import busy_shop, changes_of
from tests.support.constants import DAY, HOUR
from tests.support.constants import RECENT as NOW
from tests.support.servers import Kafka, declare_topics
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually


@pytest.mark.on_cluster_too(with_faults=True)
async def test_a_deleted_customer_leaves_nothing_and_older_events_stay_dropped(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    start_worker()
    events = busy_shop(seed=5, customers=20, events=600)
    await shop.produce(*events)
    await shop.at_rest()
    await shop.produce(Deletion("d1", "c1", NOW + 40 * DAY))
    await shop.at_rest()
    await shop.produce(*(e for e in events if isinstance(e, Browse) and e.customer_id == "c1"))
    await shop.at_rest()

    assert await shop.public("c1") is None
    assert "c1" not in await shop.folded()
    assert await shop.keys("*:c1") == [f"{shop.settings.prefix}persona-deleted:c1"]
    assert (await changes_of(shop, "c1"))[-1] is None
    others = {name: r for name, r in (await shop.oracle()).items() if name != "c1"}

    async def forgotten() -> bool:
        return await shop.model() == shop.model_of(others)

    await eventually(forgotten, 15, "the model still knows the deleted customer")


@pytest.fixture
async def undated(kafka: Kafka, settings: Settings) -> Settings:
    """Settings of a deployment whose input topics keep their producers' times."""
    times = {"message.timestamp.type": "CreateTime"}
    await declare_topics(kafka, settings.input_topics, settings.partitions, times)
    return settings


async def test_a_late_deletion_without_arrivals_forgets_what_is_older_or_within_the_tolerance(
    undated: Settings, shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    assert undated.input_topics == shop.settings.input_topics
    start_worker()
    events = busy_shop(seed=9, customers=20, events=800)
    await shop.produce(*events)
    await shop.at_rest()
    deleted = NOW + 15 * DAY
    await shop.produce(*(Deletion(f"d{n}", f"c{n}", deleted) for n in range(6)))
    await shop.produce(Browse("x", "c1", deleted + DAY + 1, "view", Item("p", "books")))
    await shop.at_rest()

    oracle, mark = await shop.oracle(), shop.taxonomy.fingerprint
    assert await shop.folded() == {
        n: record_codec.encode_folded(r, mark) for n, r in oracle.items()
    }
    newer = [e for e in events if e.customer_id == "c1" and get_event_time(e) > deleted + DAY]
    kept = [e for e in newer if not isinstance(e, Assignment)]
    assert 0 < len(kept) < sum(e.customer_id == "c1" for e in events) - 1
    assert oracle["c1"].counts.clock == max(get_event_time(e) for e in kept)
    changes = await changes_of(shop, "c1")
    since = changes[len(changes) - changes[::-1].index(None) :]
    assert since
    assert [change and change["revision"] for change in since] == list(range(1, len(since) + 1))

    async def forgotten() -> bool:
        return await shop.model() == shop.model_of(oracle)

    await eventually(forgotten, 15, "the model still knows what was forgotten")


async def test_a_fast_clock_saves_nothing_from_a_deletion_and_who_comes_back_counts(
    real_kafka: Kafka, shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    """With arrivals, as our own topics have them."""
    assert real_kafka.brokers == shop.settings.brokers
    start_worker()
    now = time.time_ns() // 1_000_000
    ahead = [Browse(f"e{n}", "c1", now + 2 * HOUR, "view", Item("p", "books")) for n in range(3)]
    await shop.produce(*ahead[:2])
    await shop.at_rest()
    await shop.produce(Deletion("d", "c1", now))
    await shop.at_rest()
    assert await shop.public("c1") is None
    await shop.produce(*ahead)
    await shop.at_rest()
    record = await shop.public("c1") or {}
    assert record["evidence"] == 0.75
    mark = shop.taxonomy.fingerprint
    expected = {n: record_codec.encode_folded(r, mark) for n, r in (await shop.oracle()).items()}
    assert await shop.folded() == expected
