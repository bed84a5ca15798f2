"""Published shards: only what has moved is read again, and what is gone is left out."""

from stream_persona.model.shard import encode_shard
from stream_persona.store.memory import MemoryTables
from stream_persona.store.shards import fold_shard, load_panel, publish_shard, read_shards
from tests.support.events import labelled_shoppers, shop
from tests.support.faulty_tables import FaultyTables
from tests.support.labelled import commit
from tests.support.shards import keyed, labelled_records, shard_of

SHOP = shop()


async def published(*customers: int) -> FaultyTables:
    """Tables with a shard of so many customers of each persona in each partition."""
    tables = FaultyTables()
    tables.watch("load_shards")
    for partition, number in enumerate(customers):
        await publish(tables, partition, number)
    return tables


async def publish(tables: MemoryTables, partition: int, customers: int) -> None:
    claims, records = await tables.claim([partition]), labelled_records(SHOP, customers)
    sums = shard_of(records, SHOP).sums
    await publish_shard(tables, claims[partition], sums, keyed(records), SHOP)


async def test_shards_are_read_once_and_then_only_those_that_have_moved() -> None:
    tables = await published(1, 2)
    first, changed, _ = await read_shards(tables, await tables.load_stamps([0, 1, 2]), {}, SHOP)
    assert changed
    assert {p: each.sums.customers for p, (_, each) in first.items()} == {0: 5, 1: 10}
    again, changed, _ = await read_shards(tables, await tables.load_stamps([0, 1, 2]), first, SHOP)
    assert (again, changed) == (first, False)
    await publish(tables, 1, 3)
    moved, changed, _ = await read_shards(tables, await tables.load_stamps([0, 1, 2]), first, SHOP)
    assert changed
    assert moved[0] is first[0]
    assert moved[1][1].sums.customers == 15
    read = [p for (partitions,) in tables.arguments["load_shards"] for p in partitions]
    assert read == [0, 1, 1]


async def test_shards_without_a_stamp_are_left_out() -> None:
    tables = await published(1, 2)
    first, _, _ = await read_shards(tables, await tables.load_stamps([0, 1]), {}, SHOP)
    left, changed, _ = await read_shards(tables, await tables.load_stamps([1]), first, SHOP)
    assert (list(left), changed) == ([1], True)


async def test_a_shard_is_folded_from_the_records_of_its_labelled_customers() -> None:
    tables = MemoryTables()
    await commit(tables, SHOP, *labelled_shoppers(SHOP, 4))
    sums, labelled, *_ = await fold_shard(tables, 0, SHOP)
    known, _ = await load_panel(tables, labelled, 7, SHOP)
    assert (sums.customers, len(labelled)) == (20, 20)
    assert [key for key, _, _ in known] == sorted(labelled.values())[:7]
    claim = (await tables.claim([0]))[0]
    stamp = await publish_shard(tables, claim, sums, known, SHOP)
    assert await tables.load_shards([0]) == {
        0: (stamp, encode_shard(sums.encode_canonically(), known, SHOP)[0])
    }
