"""Replay on real servers: a range gives what workers give, and they go on from it."""

import gzip
import random
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from stream_persona.domain import record_codec
from stream_persona.domain.events import (
    KINDS,
    Assignment,
    Browse,
    Deletion,
    Event,
    Item,
    Purchase,
    encode,
)
from stream_persona.errors import InputError, TopologyError
from stream_persona.replay.run import BackfillRequest, backfill
from stream_persona.replay.topics import Range
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.support.constants import RECENT as NOW
from tests.support.servers import client_of
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually

CATEGORIES = ("baby/diapers", "pets/dog", "tools", "electronics/audio")
PERSONAS = ("parent_of_young_kids", "pet_owner", "home_improver", "gadget_lover")
EVERYTHING = BackfillRequest(kinds=range(len(KINDS)))


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    await prepare(settings)
    async with client_of(settings.redis_url) as redis:
        yield Shop(settings, redis)


def history(seed: int, customers: int = 40, events: int = 1_500) -> list[Event]:
    """Purchases, views and assignments of customers, and the deletion of one of them."""
    rnd, made = random.Random(seed), []
    for n in range(events):
        customer = rnd.randrange(customers)
        category = CATEGORIES[customer % 4] if rnd.random() < 0.8 else rnd.choice(CATEGORIES)
        item, at = Item(f"p{rnd.randrange(20)}", category, price=9.5), NOW + n * 60_000
        event = Purchase(f"e{n}", f"c{customer}", at, (item,))
        if n % 3:
            event = Browse(f"e{n}", f"c{customer}", at, "view", item)
        made.append(event)
    labels = [Assignment(f"a{n}", f"c{n}", NOW, PERSONAS[n % 4], "study") for n in range(20)]
    return [*made[:500], *labels, *made[500:], Deletion("d1", "c3", NOW + 10**10)]


async def expected(shop: Shop) -> dict[str, bytes]:
    """The folded part of every record that is no mere marker, of one fold over all topics."""
    mark = shop.taxonomy.fingerprint
    stored = await shop.oracle()
    return {
        name: record_codec.encode_folded(r, mark) for name, r in stored.items() if not r.is_marker
    }


async def test_a_replay_of_all_topics_leaves_what_one_fold_of_them_leaves(shop: Shop) -> None:
    await shop.produce(*history(1))
    summary = await backfill(shop.settings, shop.taxonomy, EVERYTHING)
    assert await shop.folded() == await expected(shop)
    assert await shop.model() == shop.model_of(await shop.oracle())
    assert summary.applied.total() == len(history(1))
    changes = await shop.read(shop.settings.topic_changes)
    published = [change.key for change in changes if change.value is not None]
    assert len(published) == len(set(published)) == summary.changes
    assert [change.key for change in changes if change.value is None] == [b"c3"]
    for change in changes:
        public = await shop.public(change.key.decode())
        assert (public is None) == (change.value is None)
        assert public is None or public["revision"] == orjson.loads(change.value)["revision"]


async def test_events_off_their_home_partition_are_replayed_to_it(shop: Shop) -> None:
    item = Item("p", "tools")
    for partition in range(shop.settings.partitions):
        await shop.produce(Purchase(f"e{partition}", "c", NOW, (item,)), partition=partition)
    await backfill(shop.settings, shop.taxonomy, EVERYTHING)
    assert await shop.folded() == await expected(shop)


@pytest.mark.on_cluster_too(with_faults=True)
async def test_what_a_worker_has_applied_is_not_applied_again_and_it_goes_on_after(
    shop: Shop, tmp_path: Path
) -> None:
    events = history(2)
    worker = WorkerProcess(shop.settings, tmp_path / "first.log")
    try:
        await shop.produce(*events[:800])
        await shop.at_rest()
    finally:
        assert worker.stop() == 0
    before = await shop.folded()
    again = await backfill(shop.settings, shop.taxonomy, EVERYTHING)
    assert (again.applied.total(), again.already_applied) == (0, 800)
    assert await shop.folded() == before

    await shop.produce(*events[800:])
    ahead = await backfill(shop.settings, shop.taxonomy, EVERYTHING)
    assert ahead.applied.total() == len(events) - 800
    worker = WorkerProcess(shop.settings, tmp_path / "second.log")
    try:
        await shop.at_rest()
    finally:
        assert worker.stop() == 0
    assert await shop.folded() == await expected(shop)


async def test_a_replay_refuses_to_start_beside_a_live_worker(
    shop: Shop, real_kafka: object, tmp_path: Path
) -> None:
    worker = WorkerProcess(shop.settings, tmp_path / "worker.log")
    try:
        await shop.produce(*history(3, events=20))
        await eventually(lambda: shop.keys("persona-state:*"), 60, "the worker does nothing")
        with pytest.raises(TopologyError, match=r"^1 workers of group .* stop them first$"):
            await backfill(shop.settings, shop.taxonomy, EVERYTHING)
    finally:
        assert worker.stop() == 0
    await backfill(shop.settings, shop.taxonomy, EVERYTHING)


async def test_a_part_of_one_topic_can_be_replayed_and_then_the_rest(shop: Shop) -> None:
    item = Item("p", "tools")
    purchases = [Purchase(f"e{n}", "c", NOW + n, (item,)) for n in range(10)]
    await shop.produce(*purchases, Browse("b", "c", NOW, "view", item))
    one = BackfillRequest(kinds=[0], span=Range(to_offset=4))
    assert (await backfill(shop.settings, shop.taxonomy, one)).applied == {"purchase": 4}
    rest = await backfill(shop.settings, shop.taxonomy, EVERYTHING)
    assert rest.applied == {"purchase": 6, "browse": 1}
    assert rest.already_applied == 4
    assert await shop.folded() == await expected(shop)


async def test_a_range_that_would_make_workers_skip_events_is_refused(shop: Shop) -> None:
    item = Item("p", "tools")
    await shop.produce(*(Purchase(f"e{n}", "c", NOW, (item,)) for n in range(10)))
    late = BackfillRequest(kinds=[0], span=Range(from_offset=5))
    with pytest.raises(InputError, match=r"begins at offset 5, but the workers .* up to 0 only"):
        await backfill(shop.settings, shop.taxonomy, late)
    assert not await shop.folded()


async def test_times_of_arrival_bound_a_range(shop: Shop, real_kafka: object) -> None:
    item = Item("p", "tools")
    await shop.produce(*(Purchase(f"e{n}", "c", NOW, (item,)) for n in range(3)))
    (*_, last) = await shop.read(shop.settings.topic_purchases)
    future = BackfillRequest(kinds=[0], span=Range(from_time=last.timestamp + 1))
    assert (await backfill(shop.settings, shop.taxonomy, future)).to_plain()["read"] == 0
    past = BackfillRequest(kinds=[0], span=Range(to_time=last.timestamp + 1))
    assert (await backfill(shop.settings, shop.taxonomy, past)).applied == {"purchase": 3}


async def test_a_file_is_replayed_and_what_cannot_be_read_is_kept(
    shop: Shop, tmp_path: Path
) -> None:
    path, letters = tmp_path / "purchases.jsonl", tmp_path / "letters.jsonl"
    good = [encode(Purchase(f"e{n}", "c", NOW + n, (Item("p", "tools"),))) for n in range(3)]
    path.write_bytes(b"\n".join([*good, b"{broken", *good]))
    request = BackfillRequest(files=[path], kind=0, dead_letters=letters)
    summary = await backfill(shop.settings, shop.taxonomy, request)
    assert summary.applied == {"purchase": 6}
    assert summary.duplicates == 3
    (letter,) = map(orjson.loads, letters.read_bytes().splitlines())
    assert (letter["reason"], letter["line"], letter["value"]) == ("not_json", 4, "{broken")
    assert f"1, the first one in {path}, line 4:" in summary.describe_unreadable()["not_json"]
    assert await shop.public("c") is not None


async def test_a_file_counts_once_under_any_name_and_its_new_lines_when_it_grew(
    shop: Shop, tmp_path: Path
) -> None:
    path = tmp_path / "purchases.jsonl"
    lines = [encode(Purchase(f"e{n}", "c", NOW + n, (Item("p", "tools"),))) for n in range(300)]
    path.write_bytes(b"\n".join(lines[:200]))
    (copy := tmp_path / "copy").write_bytes(gzip.compress(path.read_bytes()))
    for each, applied in ((path, 200), (copy, 0)):
        request = BackfillRequest(files=[each], kind=0)
        summary = await backfill(shop.settings, shop.taxonomy, request)
        assert summary.applied.total() == applied
    copy.write_bytes(b"\n".join(lines))
    summary = await backfill(shop.settings, shop.taxonomy, BackfillRequest(files=[copy], kind=0))
    assert (summary.applied.total(), summary.already_applied) == (100, 200)


async def test_unreadable_messages_of_a_topic_are_counted(shop: Shop, tmp_path: Path) -> None:
    await shop.produce_raw([(shop.settings.topic_browses, "c", b"{}")])
    letters = tmp_path / "letters.jsonl"
    request = BackfillRequest(kinds=EVERYTHING.kinds, dead_letters=letters)
    summary = await backfill(shop.settings, shop.taxonomy, request)
    assert summary.unreadable == {"invalid_field": 1}
    assert orjson.loads(letters.read_bytes())["source"].startswith(shop.settings.topic_browses)
