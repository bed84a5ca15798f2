"""The whole path on real servers: events in, personas in Redis, changes on the topic."""

import random
import signal
import time
from collections.abc import Callable
from functools import partial

import orjson
import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from stream_persona.domain import record_codec
from stream_persona.domain.events import (
    BROWSE,
    Assignment,
    Browse,
    Deletion,
    Engagement,
    Event,
    Item,
    Purchase,
    event_time,
)
from stream_persona.kafka.partitioner import home_partition
from stream_persona.pipeline import training
from stream_persona.settings import Settings
from tests.support import attentive_worker
from tests.support.constants import CATEGORIES, DAY, GENERIC_PERSONAS, HOUR
from tests.support.constants import RECENT as NOW
from tests.support.servers import Kafka, declare_topics
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually


def behaviour(rnd: random.Random, number: int, customer: str) -> Event:
    category = CATEGORIES[(int(customer[1:]) + rnd.randrange(2)) % len(CATEGORIES)]
    item = Item(f"p{rnd.randrange(30)}", category, price=rnd.choice([2.5, 9.0, 80.0]))
    at, name = NOW + rnd.randrange(30) * DAY, f"e{number}"
    match rnd.randrange(5):
        case 0:
            return Purchase(name, customer, at, (item, Item("p0", "books")))
        case 1:
            return Engagement(name, customer, at, "email", "click", campaign="spring")
        case _:
            return Browse(name, customer, at, "view", item, attributes={"device": "phone"})


def busy_shop(seed: int, customers: int, events: int) -> list[Event]:
    rnd = random.Random(seed)
    names = [f"c{n}" for n in range(customers)]
    found = [behaviour(rnd, n, rnd.choice(names)) for n in range(events)]
    for n, name in enumerate(names[: customers // 2]):
        found.insert(
            rnd.randrange(len(found)),
            Assignment(f"a{n}", name, NOW + n, GENERIC_PERSONAS[n % 4], "study"),
        )
    for n, name in enumerate(names[: customers // 10]):
        persona = None if n % 2 else GENERIC_PERSONAS[(n + 1) % 4]
        found.insert(rnd.randrange(len(found)), Assignment(f"o{n}", name, NOW + 10**6 + n, persona))
    return found


async def changes_of(shop: Shop, customer: str) -> list[dict[str, object] | None]:
    found = await shop.read(shop.settings.topic_changes)
    return [
        None if record.value is None else orjson.loads(record.value)
        for record in found
        if record.key == customer.encode()
    ]


async def test_a_new_shopper_gets_a_persona_from_the_first_signals(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    start_worker()
    diapers = Item("p1", "baby/diapers")
    for n in range(4):
        await shop.produce(Purchase(f"e{n}", "CUST-04812", NOW + n, (diapers,)))

    async def named() -> bool:
        found = await shop.public("CUST-04812")
        return found is not None and found["persona"] == "parent_of_young_kids"

    await eventually(named, 30, "no persona in Redis")
    await shop.at_rest()
    public, change = await shop.public("CUST-04812"), (await changes_of(shop, "CUST-04812"))[-1]
    assert public
    assert change
    assert change["cause"] == "behaviour"
    assert change["current"] == {key: public[key] for key in change["current"]}  # type: ignore[attr-defined]
    assert (change["revision"], change["why"]) == (public["revision"], public["why"])
    assert public["why"][0]["feature"] == "category"  # type: ignore[index]


@pytest.mark.on_cluster_too
async def test_records_and_model_at_rest_are_the_fold_of_the_topics_whatever_dies(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    events = busy_shop(seed=7, customers=80, events=3_000)
    shop.halve_session_timeout()
    first = start_worker()
    await shop.produce(*events[:1_000])
    await eventually(lambda: shop.keys("persona-state:*"), 30, "the first worker does nothing")
    start_worker()
    await shop.produce(*events[1_000:2_000])
    first.stop(signal.SIGKILL)
    await shop.produce(*events[2_000:])
    await shop.at_rest(90)

    oracle = await shop.oracle()
    expected = {
        name: record_codec.encode_folded(record, shop.taxonomy.fingerprint)
        for name, record in oracle.items()
    }
    assert await shop.folded() == expected

    async def model_agrees() -> bool:
        return await shop.model() == shop.model_of(oracle)

    await eventually(model_agrees, 15, "the published model is not the fold of the records")
    assert await shop.weights() == shop.weights_of(oracle)


@pytest.mark.on_cluster_too(with_faults=True)
async def test_revisions_have_no_hole_and_the_last_change_is_the_public_record(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    shop.halve_session_timeout()
    first = start_worker()
    events = busy_shop(seed=3, customers=40, events=1_500)
    await shop.produce(*events[:700])
    await eventually(lambda: shop.keys("persona:*"), 30)
    first.stop(signal.SIGKILL)
    start_worker()
    await shop.produce(*events[700:])
    await shop.at_rest(90)

    async def last_changes() -> dict[str, dict[str, object]]:
        contents: dict[str, bytes] = {}
        revisions: dict[str, list[int]] = {}
        last: dict[str, dict[str, object]] = {}
        for record in await shop.read(shop.settings.topic_changes):
            change = orjson.loads(record.value)
            assert contents.setdefault(change["change_id"], record.value) == record.value
            revisions.setdefault(change["customer_id"], []).append(change["revision"])
            last[change["customer_id"]] = change
        for published in revisions.values():
            assert sorted(set(published)) == list(range(1, max(published) + 1))
            assert published[-1] == max(published)
        return last

    async def public_record_agrees() -> bool:
        """Soon: the sweep publishes on while the model settles."""
        last = await last_changes()
        public = {name: await shop.public(name) or {} for name in last}
        return all(
            (public[name].get("revision"), public[name].get("distribution"))
            == (change["revision"], change["current"]["distribution"])  # type: ignore[index]
            for name, change in last.items()
        )

    await eventually(public_record_agrees, 60, "a public record is not the last change")


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
    newer = [e for e in events if e.customer_id == "c1" and event_time(e) > deleted + DAY]
    kept = [e for e in newer if not isinstance(e, Assignment)]
    assert 0 < len(kept) < sum(e.customer_id == "c1" for e in events) - 1
    assert oracle["c1"].counts.clock == max(event_time(e) for e in kept)
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


async def test_unreadable_events_go_to_the_dead_letters_and_the_stream_goes_on(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    start_worker()
    browses = shop.settings.topic_browses
    bad = [
        (browses, "c9", b'{"event_id": "\xff"}'),
        (browses, "c9", b'{"event_id'),
        (browses, "c9", b"{}"),
    ]
    await shop.produce_raw(bad)
    await shop.produce(Assignment("a1", "c9", NOW, "astronaut"))
    await shop.produce(Browse("e1", "c9", NOW, "view", Item("p", "books")))
    await shop.at_rest()

    letters = await shop.read(shop.settings.topic_dead_letters)
    reasons = sorted(dict(letter.headers)["reason"].decode() for letter in letters)
    assert reasons == ["invalid_field", "not_json", "not_utf8", "unknown_persona"]
    assert {letter.value for letter in letters} > {value for _, _, value in bad}
    assert await shop.public("c9") is not None


async def test_events_off_their_home_partition_are_rerouted_and_count_once(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    worker = start_worker()
    elsewhere = (home_partition("c3", shop.settings.partitions) + 1) % shop.settings.partitions
    here = [Browse(f"e{n}", "c3", NOW + n, "view", Item("p", "tools")) for n in range(5)]
    away = [Browse(f"x{n}", "c3", NOW + n, "view", Item("p", "books")) for n in range(5)]
    await shop.produce(*here)
    await shop.produce(*away, partition=elsewhere)
    await shop.at_rest()
    worker.stop()
    oracle = (await shop.oracle())["c3"]
    assert (await shop.folded())["c3"] == record_codec.encode_folded(
        oracle, shop.taxonomy.fingerprint
    )


@pytest.mark.timeout(240)
async def test_a_topic_with_more_partitions_than_before_takes_the_detour_and_stays_correct(
    real_kafka: Kafka, shop: Shop, start_worker: Callable[..., WorkerProcess]
) -> None:
    assert real_kafka.brokers == shop.settings.brokers
    start_attentive = partial(start_worker, program=[attentive_worker.__file__])
    start_attentive()
    events = busy_shop(seed=13, customers=40, events=900)
    await shop.produce(*events[:300])
    await shop.at_rest()
    more = shop.settings.partitions + 3
    admin = AdminClient({"bootstrap.servers": shop.settings.brokers})
    for done in admin.create_partitions(
        [NewPartitions(shop.settings.topic_browses, more)]
    ).values():
        done.result(30)
    second = start_attentive()  # it notices, and so does the first when they share the work anew
    await shop.produce(*events[300:600])
    joined = "own partition"
    await eventually(lambda: joined in second.log.read_text(), 60, "the second one does not join")
    second.stop()
    await shop.produce(*events[600:])
    await shop.at_rest(120)

    oracle = await shop.oracle()
    assert any(p >> 16 == BROWSE and p & 0xFFFF >= 8 for r in oracle.values() for p in r.positions)
    mark = shop.taxonomy.fingerprint
    assert await shop.folded() == {
        n: record_codec.encode_folded(r, mark) for n, r in oracle.items()
    }


async def test_models_are_compared_on_the_stored_assignments(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    start_worker()
    await shop.produce(*busy_shop(seed=11, customers=120, events=1_500))
    await shop.at_rest()
    naive = "river.naive_bayes:MultinomialNB"
    command = ["model", "compare", "--challenger", naive, "--json"]
    report = orjson.loads(await shop.run(*command))
    stored = training.derive_updates(await shop.oracle(), shop.taxonomy)
    assert report["customers"] == len(stored) > 40
    assert {row["model"] for row in report["models"]} >= {"additive", naive}
    assert {row["trials"] for row in report["models"]} == {len(stored)}


async def test_sigterm_commits_what_was_begun_and_exits_with_0(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    worker = start_worker()
    await shop.produce(*busy_shop(seed=1, customers=30, events=2_000))
    await eventually(lambda: shop.keys("persona-state:*"), 30)
    assert worker.stop() == 0
    before = await shop.folded()
    start_worker()
    await shop.at_rest()
    after = await shop.folded()
    assert before.keys() <= after.keys()
    oracle = await shop.oracle()
    assert after == {
        n: record_codec.encode_folded(r, shop.taxonomy.fingerprint) for n, r in oracle.items()
    }
