"""Reads of one turn go to the server as one, and each gets its own values or what was raised."""

import asyncio
from collections.abc import Sequence

import pytest

from stream_persona.store.gathered_gets import GatheredGets


class Server:
    """A server of which every key's value is the key; it answers once it is let."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.was_asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        self.asked.append(list(keys))
        self.was_asked.set()
        await self.may_answer.wait()
        if "broken" in keys:
            raise ConnectionError("the server is away")
        return [None if key == "none" else key.encode() for key in keys]


async def test_reads_of_one_turn_are_one_and_each_has_its_own_values() -> None:
    server = Server()
    gets = GatheredGets(server.get)
    found = await asyncio.gather(gets.get(["a", "b"]), gets.get(["none"]), gets.get(["a"]))
    assert found == [[b"a", b"b"], [None], [b"a"]]
    assert server.asked == [["a", "b", "none", "a"]]
    assert await gets.get(["c"]) == [b"c"]
    assert server.asked[1:] == [["c"]]


async def test_a_read_of_many_keys_goes_alone_and_many_reads_in_several() -> None:
    server = Server()
    gets = GatheredGets(server.get)
    many = [f"k{number}" for number in range(17)]
    small = [[f"s{number}"] for number in range(65)]
    found = await asyncio.gather(gets.get(many), *map(gets.get, small))
    assert found == [[key.encode() for key in keys] for keys in [many, *small]]
    assert sorted(map(len, server.asked)) == [1, 17, 64]


async def test_what_the_server_raises_is_raised_to_all_that_were_gathered() -> None:
    gets = GatheredGets(Server().get)
    found = await asyncio.gather(gets.get(["a"]), gets.get(["broken"]), return_exceptions=True)
    assert all(isinstance(each, ConnectionError) for each in found)
    assert await gets.get(["a"]) == [b"a"]


async def test_a_read_that_is_given_up_leaves_the_others_alone() -> None:
    server = Server()
    server.may_answer.clear()
    gets = GatheredGets(server.get)
    given_up, other = asyncio.create_task(gets.get(["a"])), asyncio.create_task(gets.get(["b"]))
    await server.was_asked.wait()
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    server.may_answer.set()
    assert await other == [b"b"]


async def test_those_who_wait_are_cancelled_with_what_asks_for_them() -> None:
    server = Server()
    server.may_answer.clear()
    gets = GatheredGets(server.get)
    waiting = asyncio.create_task(gets.get(["a"]))
    await server.was_asked.wait()
    (asking,) = gets._asking
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
