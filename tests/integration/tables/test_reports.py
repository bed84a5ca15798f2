"""Scans, reports and samples of tables, kept alike by those in memory, a Redis and a Cluster."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from stream_persona.store.tables import HISTORY, Tables, Write
from tests.support.table_servers import Make

T = TypeVar("T")


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
