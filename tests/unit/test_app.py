"""How fetched batches come to a walk: those that wait together, and nobody looks for any."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stream_persona.app import taken


class Stream:
    """What ``taken`` needs of Faust's: events from a queue, which a rebalance may empty."""

    def __init__(self) -> None:
        self.queue = asyncio.Queue[str | None]()
        self.gone = False
        self.channel = self

    def empty(self) -> bool:
        return self.queue.empty() and not self.gone

    def noack(self) -> "Stream":
        return self

    async def events(self) -> AsyncIterator[str]:
        while True:
            await asyncio.sleep(0)  # as Faust's does
            event = await self.queue.get()
            if event is None:
                return
            if event == "unreadable":
                raise ValueError(event)
            yield event


@asynccontextmanager
async def taking(stream: Any) -> AsyncIterator[AsyncGenerator[list[Any]]]:
    batches = taken(stream)
    try:
        yield batches
    finally:
        await batches.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "something still takes batches"


def put(stream: Stream, *events: str | None) -> None:
    for event in events:
        stream.queue.put_nowait(event)


async def test_batches_that_wait_are_taken_at_once() -> None:
    stream = Stream()
    async with taking(stream) as batches:
        put(stream, "a", "b", "c")
        assert await anext(batches) == ["a", "b", "c"]
        put(stream, "d")
        assert await anext(batches) == ["d"]


async def test_batches_that_come_during_a_walk_are_taken_after_it() -> None:
    stream = Stream()
    async with taking(stream) as batches:
        put(stream, "a")
        assert await anext(batches) == ["a"]
        put(stream, "b")
        for _ in range(10):  # a walk that lets the loop turn
            await asyncio.sleep(0)
        put(stream, "c")
        assert await anext(batches) == ["b", "c"]


async def test_what_was_taken_is_walked_when_a_rebalance_takes_the_rest_away() -> None:
    stream = Stream()
    async with taking(stream) as batches:
        put(stream, "a")
        stream.gone = True  # there when looked for, and gone when taken
        assert await anext(batches) == ["a"]
        stream.gone = False
        put(stream, "b")
        assert await anext(batches) == ["b"]


async def test_nobody_looks_for_batches_while_none_come() -> None:
    stream = Stream()
    async with taking(stream) as batches:
        put(stream, "a")
        assert await anext(batches) == ["a"]
        idle = asyncio.ensure_future(anext(batches))
        for _ in range(10):
            await asyncio.sleep(0)
        loop: Any = asyncio.get_running_loop()
        assert not loop._scheduled, "something is going to look again"
        put(stream, "b")
        assert await idle == ["b"]


async def test_a_stream_that_ends_hands_over_what_was_taken_before() -> None:
    stream = Stream()
    async with taking(stream) as batches:
        put(stream, "a", "b", None)
        assert await anext(batches) == ["a", "b"]
        with pytest.raises(StopAsyncIteration):
            await anext(batches)


async def test_an_error_of_the_stream_ends_who_takes_from_it() -> None:
    stream = Stream()
    async with taking(stream) as batches:
        put(stream, "a", "unreadable")
        with pytest.raises(ValueError, match="unreadable"):
            await anext(batches)
