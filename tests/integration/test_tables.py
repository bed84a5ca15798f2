"""What tables promise, kept alike by those in memory, in a Redis and in a Redis Cluster."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from stream_persona.errors import FencedError
from stream_persona.store.memory import MemoryTables
from stream_persona.store.redis import RedisTables
from stream_persona.store.tables import HISTORY, Tables, Write
from tests.support.servers import client_of
from tests.support.waiting import eventually

Make = Callable[[str], Tables]
T = TypeVar("T")


@pytest.fixture(params=["memory", "redis", "cluster"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Tables of a deployment of this name; the same name, the same contents."""
    made: dict[str, Tables] = {}
    prefix = f"{request.node.name}-{time.time_ns()}:"

    def of(name: str) -> Tables:
        if name not in made:
            made[name] = connected(request, prefix + name)
        return made[name]

    yield of
    for tables in made.values():
        if isinstance(tables, RedisTables):
            await tables.close()


def connected(request: pytest.FixtureRequest, prefix: str) -> Tables:
    if request.param == "memory":
        return MemoryTables()
    return RedisTables.connect(server_of(request, request.param), prefix, retry_seconds=5)


def server_of(request: pytest.FixtureRequest, kind: str) -> str:
    server = request.getfixturevalue("redis_server" if kind == "redis" else "redis_cluster")
    if kind == "redis" and server.kind == "cluster":
        pytest.skip("the Redis of this run is a Cluster")
    url: str = server.url
    return url


@pytest.fixture
def tables(make: Make) -> Tables:
    return make("shop:")


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


async def test_affinities_are_replaced(tables: Tables, request: pytest.FixtureRequest) -> None:
    await tables.save_affinities({"parent": {"a:b": 1.5, "c:d": 0.25}, "gamer": {"x:y": 2.0}})
    await tables.save_affinities({"parent": {"a:b": 3.0}})
    assert await affinities(tables, request, "parent") == {"a:b": 3.0}
    assert await affinities(tables, request, "gamer") == {"x:y": 2.0}


async def test_affinities_of_personas_that_are_no_more_are_removed(
    tables: Tables, request: pytest.FixtureRequest
) -> None:
    await tables.save_affinities({"parent": {"a:b": 1.5}, "gamer": {"x:y": 2.0}})
    await tables.remove_affinities(but=["gamer", "new"])
    assert await affinities(tables, request, "gamer") == {"x:y": 2.0}
    assert await affinities(tables, request, "parent") == {}


async def test_tastes_are_written_and_deleted_with_their_records(tables: Tables) -> None:
    claim = (await tables.claim([1]))[1]
    written = Write(states={"a": b"1", "b": b"1"}, tastes={"a": b"\x00tastes", "b": b"others"})
    await tables.commit(claim, written)
    names = ["b", "nobody", "a"]
    assert await tables.load_tastes(names) == {"a": b"\x00tastes", "b": b"others"}
    await tables.commit(claim, Write(states={"a": b"2"}))  # as a worker without the setting does
    assert await tables.load_tastes(["a"]) == {"a": b"\x00tastes"}
    await tables.commit(claim, Write(states={"a": b"3"}, tastes={"a": b"newer", "b": None}))
    assert await tables.load_tastes(names) == {"a": b"newer"}
    assert await tables.load_tastes([]) == {}


async def test_tastes_of_the_forgotten_go_whether_they_are_kept_or_not(tables: Tables) -> None:
    claim = (await tables.claim([1]))[1]
    await tables.commit(claim, Write(tastes={"a": b"1", "b": b"1", "c": b"1"}))
    await tables.commit(
        claim, Write(states={"a": None, "b": b"back"}, tastes={"b": b"new"}, forgotten={"a", "b"})
    )
    assert await tables.load_tastes(["a", "b", "c"]) == {"b": b"new", "c": b"1"}


async def test_the_tastes_of_a_refused_commit_are_not_written(tables: Tables) -> None:
    old = (await tables.claim([1]))[1]
    await tables.commit(old, Write(tastes={"a": b"1"}))
    await tables.claim([1])
    with pytest.raises(FencedError):
        await tables.commit(old, Write(tastes={"a": b"2"}, forgotten={"b"}))
    assert await tables.load_tastes(["a"]) == {"a": b"1"}


async def test_common_shares_are_replaced_and_removed_with_all_tastes(
    tables: Tables, request: pytest.FixtureRequest
) -> None:
    claim = (await tables.claim([1]))[1]
    await tables.commit(claim, Write(states={"a": b"1"}, tastes={"a": b"1", "é": b"1"}))
    await tables.save_common_tastes({"category:a": "1 0.5", "category:b": "2 0.5"})
    await tables.save_common_tastes({":taxonomy": "t", "category:a": "1 0.25"})
    assert await common_tastes(tables, request) == {":taxonomy": "t", "category:a": "1 0.25"}
    await tables.remove_tastes()
    assert await common_tastes(tables, request) == {}
    assert await tables.load_tastes(["a", "é"]) == {}
    assert await tables.load(["a"]) == {"a": b"1"}


async def common_tastes(tables: Tables, request: pytest.FixtureRequest) -> dict[str, str]:
    if isinstance(tables, MemoryTables):
        return tables.common_tastes
    assert isinstance(tables, RedisTables)
    key = tables.channel.removesuffix("persona-changes") + "persona-common-tastes"
    kind = request.node.callspec.params["make"]
    async with client_of(server_of(request, kind)) as client:
        found = await client.hgetall(key)
    return {name.decode(): text.decode() for name, text in found.items()}


async def affinities(
    tables: Tables, request: pytest.FixtureRequest, persona: str
) -> dict[str, float]:
    if isinstance(tables, MemoryTables):
        return tables.affinities.get(persona, {})
    assert isinstance(tables, RedisTables)
    key = tables.channel.removesuffix("persona-changes") + f"persona-affinity:{persona}"
    kind = request.node.callspec.params["make"]
    async with client_of(server_of(request, kind)) as client:
        found = await client.hgetall(key)
    return {name.decode(): float(lift) for name, lift in found.items()}


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


async def everybody(
    scan: Callable[[int, int], Awaitable[tuple[int, list[T]]]], count: int
) -> tuple[set[T], int]:
    seen: set[T] = set()
    cursor, calls = 0, 0
    while cursor or not calls:
        cursor, found = await scan(cursor, count)
        seen, calls = seen | set(found), calls + 1
    return seen, calls


async def test_a_scan_sees_every_customer_and_nobody_else(make: Make) -> None:
    tables, others = make("[*]:"), make("x:")
    names = {f"c{i}" for i in range(500)} | {"é {b}"}
    claims = [(await each.claim([1]))[1] for each in (tables, others)]
    await tables.commit(claims[0], Write(states=dict.fromkeys(names, b"1"), public={"p": b"2"}))
    await others.commit(claims[1], Write(states={"stranger": b"1"}))
    seen, calls = await everybody(tables.scan, 50)
    assert seen == names
    assert calls > 3
    assert (await everybody(make("nobody:").scan, 10_000))[0] == set()


async def test_every_public_record_is_seen_and_no_other_key(make: Make) -> None:
    tables, others = make("[*]:"), make("x:")
    records: dict[str, bytes | None] = {f"c{i}": b"%d" % i for i in range(300)}
    records["é {b}"] = b"b"
    write = Write(dict.fromkeys(records, b"state"), records, {"gone": b"m"}, marker_ms=60_000)
    await tables.commit((await tables.claim([1]))[1], write)
    await others.commit((await others.claim([1]))[1], Write(public={"stranger": b"other"}))
    await tables.save_report("w", b"{}")
    seen, calls = await everybody(tables.scan_public, 50)
    assert seen == set(records.values())
    assert calls > 3
    assert (await everybody(make("nobody:").scan_public, 10_000))[0] == set()


async def test_a_worker_has_one_report_its_last(tables: Tables) -> None:
    assert await tables.load_reports() == {}
    await tables.save_report("one-1", b"\x00first")
    await tables.save_report("é-2", b"other")
    await tables.save_report("one-1", b"second")
    assert await tables.load_reports() == {"one-1": b"second", "é-2": b"other"}


async def test_a_retired_worker_has_no_report_and_the_others_keep_theirs(tables: Tables) -> None:
    for worker in ("a", "b", "c"):
        await tables.save_report(worker, worker.encode())
    await tables.remove_reports(["a", "c", "nobody"])
    await tables.remove_reports([])
    assert await tables.load_reports() == {"b": b"b"}


async def test_samples_are_remembered_in_the_order_of_their_times(tables: Tables) -> None:
    assert await tables.load_samples(0) == []
    for at in (1_700_000_000_000, 1_700_000_010_000, 1_700_000_020_000):
        assert await tables.add_sample(at, b"\x00%d" % at)
    expected = [(at, b"\x00%d" % at) for at in (1_700_000_010_000, 1_700_000_020_000)]
    assert await tables.load_samples(1_700_000_000_001) == expected
    assert await tables.load_samples(1_700_000_010_000) == expected
    assert len(await tables.load_samples(-5)) == 3


async def test_a_time_has_one_sample_the_first_and_none_comes_before_it(tables: Tables) -> None:
    assert await tables.add_sample(2_000, b"first")
    assert not await tables.add_sample(2_000, b"second")
    assert not await tables.add_sample(1_000, b"earlier")
    assert await tables.add_sample(3_000, b"later")
    assert await tables.load_samples(0) == [(2_000, b"first"), (3_000, b"later")]


async def test_only_the_newest_samples_are_kept(tables: Tables) -> None:
    added = HISTORY + 300
    for at in range(1, added + 1):
        assert await tables.add_sample(at, b"s")
    times = [at for at, _ in await tables.load_samples(0)]
    assert HISTORY <= len(times) < HISTORY + 200
    assert times == list(range(added - len(times) + 1, added + 1))


async def test_reports_and_samples_are_a_deployments_own(make: Make) -> None:
    one, two = make("one:"), make("two:")
    await one.save_report("w", b"1")
    await one.add_sample(5, b"1")
    assert (await two.load_reports(), await two.load_samples(0)) == ({}, [])
    assert await two.add_sample(4, b"2")


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
