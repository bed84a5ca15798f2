"""What the model and the ranking leave in tables, kept alike by all three kinds."""

import pytest

from stream_persona.errors import FencedError
from stream_persona.store.memory import MemoryTables
from stream_persona.store.redis import RedisTables
from stream_persona.store.tables import Tables, Write
from tests.support.servers import client_of
from tests.support.table_servers import server_of


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
