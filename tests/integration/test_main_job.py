"""The whole path on real servers: events in, personas in Redis, changes on the topic."""

import signal
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
    Item,
    Purchase,
)
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.pipeline import training
from tests.support import attentive_worker
from tests.support.busy_shop import busy_shop, changes_of
from tests.support.constants import RECENT as NOW
from tests.support.servers import Kafka
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually, patience


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
    elsewhere = (find_home_partition("c3", shop.settings.partitions) + 1) % shop.settings.partitions
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


@pytest.mark.timeout(patience(240))
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
