"""What tables promise, kept alike by those in memory, in a Redis and in a Redis Cluster."""

import pytest

from stream_persona.errors import FencedError
from stream_persona.store.tables import Tables, Write
from tests.support.table_servers import Make
from tests.support.waiting import eventually


async def test_what_was_written_is_read(tables: Tables) -> None:
    claim = (await tables.claim([3]))[3]
    states: dict[str, bytes | None] = {"a": b"\x00state", "é b": b"other"}
    await tables.commit(claim, Write(states=states, public={"a": b"{}"}))
    assert await tables.load(["é b", "nobody", "a"]) == {"a": b"\x00state", "é b": b"other"}
    assert await tables.load_public("a") == b"{}"
    assert await tables.load_public("é b") is None
    assert await tables.load([]) == {}


async def test_what_is_written_as_nothing_is_gone(tables: Tables) -> None:
    claim = (await tables.claim([3]))[3]
    await tables.commit(claim, Write(states={"a": b"1"}, public={"a": b"2"}))
    await tables.commit(claim, Write(states={"a": None, "b": None}, public={"a": None}))
    assert await tables.load(["a", "b"]) == {}
    assert await tables.load_public("a") is None


async def test_a_claim_fences_all_older_ones(tables: Tables) -> None:
    old = (await tables.claim([1, 2]))[1]
    new = (await tables.claim([1]))[1]
    with pytest.raises(FencedError) as caught:
        await tables.commit(old, Write(states={"a": b"old"}))
    assert caught.value.partition == 1
    await tables.commit(new, Write(states={"a": b"new"}))
    assert await tables.load(["a"]) == {"a": b"new"}


async def test_a_claim_of_another_partition_fences_nothing(tables: Tables) -> None:
    claims = await tables.claim([1, 2])
    await tables.claim([2])
    await tables.commit(claims[1], Write(states={"a": b"1"}))
    assert await tables.load(["a"]) == {"a": b"1"}


async def test_owners_are_the_newest_claims(tables: Tables) -> None:
    assert await tables.load_owners([1, 2]) == {}
    await tables.claim([1])
    newest = (await tables.claim([1]))[1]
    assert await tables.load_owners([1, 2]) == {1: newest.token}


async def test_a_refused_commit_writes_nothing(tables: Tables) -> None:
    old = (await tables.claim([1]))[1]
    await tables.claim([1])
    write = Write(
        states={"a": b"1"}, public={"a": b"2"}, markers={"b": b"3"}, labelled={"a"},
        pending=["a"], marker_ms=60_000, due={"a": 5},
    )  # fmt: skip
    with pytest.raises(FencedError):
        await tables.commit(old, write)
    assert await tables.load(["a", "b"]) == {}
    assert await tables.load_public("a") is None
    assert await tables.load_labelled(1) == []
    assert await tables.load_pending(1) == []
    assert await tables.load_due([1], 9, 9) == {}
    with pytest.raises(FencedError):
        await tables.save_shard(old, b"part", b"12345678")
    assert await tables.load_stamps([1]) == {}


async def test_a_marker_is_loaded_until_the_customer_is_back(tables: Tables) -> None:
    claim = (await tables.claim([1]))[1]
    write = Write(states={"a": None}, markers={"a": b"deleted"}, marker_ms=60_000)
    await tables.commit(claim, write)
    assert await tables.load(["a"]) == {"a": b"deleted"}
    await tables.commit(claim, Write(states={"a": b"back"}))
    assert await tables.load(["a"]) == {"a": b"back"}


async def test_a_marker_expires(tables: Tables) -> None:
    claim = (await tables.claim([1]))[1]
    await tables.commit(claim, Write(markers={"a": b"deleted"}, marker_ms=20))

    async def gone() -> bool:
        return await tables.load(["a"]) == {}

    await eventually(gone, 5, "the marker did not expire")


async def test_labelled_customers_join_and_leave_their_partitions_set(tables: Tables) -> None:
    claims = await tables.claim([1, 2])
    await tables.commit(claims[1], Write(labelled={"b", "a", "é"}))
    await tables.commit(claims[1], Write(labelled={"a"}, unlabelled={"b", "nobody"}))
    assert await tables.load_labelled(1) == ["a", "é"]
    assert await tables.load_labelled(2) == []


async def test_due_customers_are_read_in_the_order_of_their_times(tables: Tables) -> None:
    claims = await tables.claim([1, 2, 3])
    await tables.commit(claims[1], Write(due={"a": 900, "é b": 5, "b": 70, "never": None}))
    await tables.commit(claims[2], Write(due={"c": 253_402_300_799_999}))
    assert await tables.load_due([1, 2, 3], 899, 10) == {1: [("é b", 5), ("b", 70)]}
    assert await tables.load_due([1, 2, 3], 900, 1) == {1: [("é b", 5)]}
    assert await tables.load_due([3, 2], 1 << 50, 10) == {2: [("c", 253_402_300_799_999)]}
    assert await tables.load_due([], 900, 10) == {}


async def test_a_due_time_moves_to_an_earlier_one_or_goes(tables: Tables) -> None:
    claim = (await tables.claim([1]))[1]
    await tables.commit(claim, Write(due={"a": 900, "b": 70, "c": 1, "d": 40}))
    await tables.commit(
        claim, Write(due={"a": 30, "b": None, "c": 500, "d": 400}, filed_anew={"d"})
    )
    await tables.commit(claim, Write(states={"c": b"its due time stays"}))
    assert await tables.load_due([1], 1_000, 10) == {1: [("c", 1), ("a", 30), ("d", 400)]}
    names = ["a", "b", "c", "d", "nobody"]
    assert await tables.load_due_times(1, names) == {"a": 30, "c": 1, "d": 400}
    assert await tables.load_due_times(1, []) == {}


async def test_the_last_changes_are_pending_until_others_are(tables: Tables) -> None:
    claim = (await tables.claim([1]))[1]
    await tables.commit(claim, Write(pending=["a", "é"]))
    await tables.commit(claim, Write(states={"a": b"1"}))
    assert await tables.load_pending(1) == ["a", "é"]
    await tables.commit(claim, Write(pending=["b"]))
    assert await tables.load_pending(1) == ["b"]
    await tables.commit(claim, Write(pending=[]))
    assert await tables.load_pending(1) == []
    assert await tables.load_pending(2) == []


async def test_parts_are_read_with_their_stamps(tables: Tables) -> None:
    claims = await tables.claim([1, 2])
    await tables.save_shard(claims[1], b"\x00part", b"stamp--1")
    await tables.save_shard(claims[1], b"newer", b"stamp--2")
    await tables.save_shard(claims[2], b"", b"stamp--3")
    assert await tables.load_stamps([0, 1, 2]) == {1: b"stamp--2", 2: b"stamp--3"}
    assert await tables.load_shards([0, 1, 2]) == {
        1: (b"stamp--2", b"newer"),
        2: (b"stamp--3", b""),
    }
    assert await tables.load_shards([]) == {}
    assert await tables.load_stamps([]) == {}


async def test_names_come_and_go_with_a_partitions_writes(tables: Tables) -> None:
    claims = await tables.claim([1, 2])
    await tables.commit(claims[1], Write(names={"a": b"\x00 1", "é": b" \xff", "version": b"1 2"}))
    await tables.commit(claims[1], Write(names={"a": None, "b": b"2", "nobody": None}))
    await tables.commit(claims[2], Write(names={"c": b"3"}))
    assert await tables.load_names(1) == {"é": b" \xff", "version": b"1 2", "b": b"2"}
    assert await tables.load_names(2) == {"c": b"3"}
    assert await tables.load_names(3) == {}
    assert await tables.load_name_versions([1, 2, 3]) == {1: b"1 2"}
    assert await tables.load_name_versions([]) == {}


async def test_the_names_of_a_refused_commit_are_not_written(tables: Tables) -> None:
    old = (await tables.claim([1]))[1]
    await tables.claim([1])
    with pytest.raises(FencedError):
        await tables.commit(old, Write(names={"a": b"1"}))
    assert await tables.load_names(1) == {}


async def test_the_listing_of_names_is_replaced_with_its_stamp(tables: Tables) -> None:
    assert (await tables.load_listing(), await tables.load_listing_stamp()) == (None, b"")
    await tables.save_listing(b"stamp--1\x00names")
    await tables.save_listing(b"stamp--2\xffnames")
    assert await tables.load_listing() == b"stamp--2\xffnames"
    assert await tables.load_listing_stamp() == b"stamp--2"


async def test_a_prefix_keeps_deployments_apart(make: Make) -> None:
    one, two = make("one:"), make("two:")
    claim = (await one.claim([1]))[1]
    await one.commit(claim, Write(states={"a": b"1"}, public={"a": b"2"}, labelled={"a"}))
    await one.save_shard(claim, b"part", b"stamp--1")
    await one.commit(claim, Write(names={"a": b"b"}))
    await one.save_listing(b"stamp--1")
    assert await two.load(["a"]) == {}
    assert await two.load_public("a") is None
    assert (await two.load_labelled(1), await two.load_names(1)) == ([], {})
    assert await two.load_listing() is None
    assert (await two.load_stamps([1]), await two.load_owners([1])) == ({}, {})
    await two.claim([1])
    await one.commit(claim, Write(states={"a": b"3"}))


async def test_a_batch_of_thousands_is_one_commit(tables: Tables) -> None:
    claim = (await tables.claim([1]))[1]
    names = [f"c{i}" for i in range(5_000)]
    write = Write(states=dict.fromkeys(names, b"s"), public=dict.fromkeys(names, b"p"))
    write.labelled, write.due = set(names), dict.fromkeys(names, 7)
    await tables.commit(claim, write)
    assert len((await tables.load_due([1], 7, 9_000))[1]) == 5_000
    assert len(await tables.load(names)) == 5_000
    assert len(await tables.load_labelled(1)) == 5_000


async def test_the_first_descriptor_of_a_deployment_is_the_one_that_stays(make: Make) -> None:
    one, two = make("one:"), make("two:")
    assert await one.load_deployment() is None
    assert await one.create_deployment(b"\x00first") == b"\x00first"
    assert await one.create_deployment(b"second") == b"\x00first"
    assert await one.load_deployment() == b"\x00first"
    assert await two.load_deployment() is None


async def test_a_descriptor_is_replaced_only_by_who_knows_the_present_one(tables: Tables) -> None:
    assert not await tables.replace_deployment(b"none", b"second")
    assert await tables.load_deployment() is None
    await tables.create_deployment(b"first")
    assert await tables.replace_deployment(b"first", b"second")
    assert await tables.replace_deployment(b"first", b"second"), "it was tried again"
    assert not await tables.replace_deployment(b"first", b"third")
    assert await tables.load_deployment() == b"second"


async def test_offsets_are_stored_with_their_effects(tables: Tables) -> None:
    claim = (await tables.claim([1]))[1]
    assert claim.offsets == {}
    await tables.commit(claim, Write(states={"a": b"1"}, offsets={"purchases": 5, "browses": 9}))
    await tables.commit(claim, Write(offsets={"purchases": 7, "browses": 9}))
    found = (await tables.claim([1]))[1]
    assert found.offsets == found.newest == {"purchases": 7, "browses": 9}


async def test_offsets_stay_where_a_write_brings_none(tables: Tables) -> None:
    claim = (await tables.claim([1]))[1]
    await tables.commit(claim, Write(offsets={"purchases": 5}))
    await tables.commit(claim, Write(states={"a": b"1"}))
    assert (await tables.claim([1]))[1].offsets == {"purchases": 5}


async def test_tables_that_have_all_writes_are_not_rolled_back(tables: Tables) -> None:
    claims = await tables.claim([1, 2])
    assert await tables.find_rolled_back(list(claims.values())) == set()
    await tables.commit(claims[1], Write(offsets={"purchases": 5}))
    await tables.commit(claims[1], Write(offsets={"purchases": 6}))
    assert await tables.find_rolled_back(list(claims.values())) == set()
    await tables.claim([1])  # of another owner: that is no loss
    assert await tables.find_rolled_back(list(claims.values())) == set()
