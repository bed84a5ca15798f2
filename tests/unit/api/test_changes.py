"""The stream of changes without a server: the ring and its listeners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
import orjson
import pytest
from redis.asyncio import Redis

from stream_persona.api.changes import ChangeFeed, EventStream
from stream_persona.api.dashboard.persona_counts import CountedChange
from stream_persona.api.ring import CHUNK, Ring
from tests.support.waiting import eventually, patience

Message = dict[str, Any]


def change(number: int, persona: str | None = "student", customer: str | None = None) -> Message:
    return {
        "change_id": f"{number:024x}",
        "customer_id": customer or f"c{number}",
        "current": {"persona": persona},
    }


def feed_of(size: int = 100) -> ChangeFeed:
    """A feed that receives only what tests publish: its Redis is never asked."""
    feed = ChangeFeed(Redis(), "channel", lambda _: None)
    feed.ring = Ring(size)
    return feed


def publish(feed: ChangeFeed, *changes: Message) -> None:
    for each in changes:
        feed.publish(orjson.dumps(each))


async def following(feed: ChangeFeed, last_id: str | None = None) -> AsyncIterator[bytes]:
    """A listener that has received the head of its stream."""
    stream = feed.listen(last_id)
    assert (await anext(stream)).startswith(b"retry:")
    return stream


def received(chunk: bytes) -> list[Message]:
    lines = chunk.splitlines()
    return [orjson.loads(line[6:]) for line in lines if line.startswith(b"data: ")]


async def test_a_listener_receives_what_is_published_from_now_on() -> None:
    feed = feed_of()
    publish(feed, change(1))
    stream = await following(feed)
    publish(feed, change(2), change(3))
    chunk = await anext(stream)
    assert received(chunk) == [change(2), change(3)]
    assert chunk.startswith(f"id: {2:024x}\ndata: ".encode())
    assert chunk.endswith(b"\n\n")


async def test_a_waiting_listener_is_woken() -> None:
    feed = feed_of()
    stream = await following(feed)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    publish(feed, change(1))
    assert received(await waiting) == [change(1)]


async def test_the_last_event_id_brings_what_was_missed_and_no_more() -> None:
    feed = feed_of()
    publish(feed, *map(change, range(5)))
    stream = await following(feed, last_id=change(2)["change_id"])
    assert received(await anext(stream)) == [change(3), change(4)]


@pytest.mark.parametrize(("recent", "first"), [(1, 5), (3, 3), (100, 2)])
async def test_a_new_listener_may_ask_for_recent_changes_first(recent: int, first: int) -> None:
    feed = feed_of(size=4)
    publish(feed, *map(change, range(6)))
    stream = feed.listen(recent=recent)
    await anext(stream)
    assert received(await anext(stream)) == [change(number) for number in range(first, 6)]


async def test_an_id_published_twice_is_caught_up_on_from_its_first_appearance() -> None:
    feed = feed_of()
    publish(feed, change(1), change(2), change(1), change(3))
    stream = await following(feed, last_id=change(1)["change_id"])
    assert received(await anext(stream)) == [change(2), change(1), change(3)]


async def test_a_change_that_comes_twice_is_received_once_and_a_deletion_each_time() -> None:
    seen: list[Message] = []
    feed = ChangeFeed(Redis(), "channel", seen.append)
    gone = {"customer_id": "c1", "deleted": True}
    publish(feed, change(1), change(2), change(1), gone, gone, change(3, customer="c1"))
    assert seen == [change(1), change(2), gone, gone, change(3, customer="c1")]


async def test_an_id_no_longer_held_is_answered_with_a_gap_and_everything_held() -> None:
    feed = feed_of(size=2)
    publish(feed, *map(change, range(5)))
    stream = await following(feed, last_id=change(0)["change_id"])
    assert (await anext(stream)).startswith(b"event: gap")
    assert received(await anext(stream)) == [change(3), change(4)]


async def test_a_listener_that_the_ring_has_run_past_is_dropped() -> None:
    feed = feed_of(size=3)
    stream = await following(feed)
    publish(feed, *map(change, range(4)))
    assert [chunk async for chunk in stream] == []
    assert feed.listeners == 0


async def test_changes_from_before_the_start_come_in_front_and_once() -> None:
    feed = feed_of(4)
    publish(feed, change(3), change(4))
    feed.prepend([(number, orjson.dumps(change(number))) for number in (0, 1, 2, 3)])
    stream = await following(feed, f"{1:024x}")
    assert received(await anext(stream)) == [change(2), change(3), change(4)]
    assert len(feed.ring.read(feed.ring.start)) == 4


async def test_a_listener_gets_changes_of_the_same_millisecond_whichever_came_first() -> None:
    feed = feed_of()
    times = {1: 5, 2: 6, 3: 6, 4: 6, 5: 7}
    feed.prepend([(at, orjson.dumps(change(number))) for number, at in times.items()])
    stream = await following(feed, f"{3:024x}")
    assert received(await anext(stream)) == [change(2), change(4), change(5)]
    stream = await following(feed, f"{5:024x}")
    publish(feed, change(6))
    assert received(await anext(stream)) == [change(6)]


async def test_a_listener_from_now_on_does_not_receive_changes_from_before_the_start() -> None:
    feed = feed_of()
    stream = await following(feed)
    feed.prepend([(1, orjson.dumps(change(1)))])
    publish(feed, change(2))
    assert received(await anext(stream)) == [change(2)]


async def test_a_listener_waits_for_changes_from_before_the_start() -> None:
    feed = feed_of()
    feed.refilled.clear()
    stream = await following(feed, f"{1:024x}")
    waiting = asyncio.ensure_future(anext(stream))
    feed.prepend([(1, orjson.dumps(change(1))), (1, b"no change"), (2, orjson.dumps(change(2)))])
    feed.refilled.set()
    assert received(await waiting) == [change(2)]


async def test_many_changes_are_sent_in_chunks() -> None:
    feed = feed_of(size=3 * CHUNK)
    stream = await following(feed)
    publish(feed, *map(change, range(CHUNK + 1)))
    assert [len(received(await anext(stream))) for _ in range(2)] == [CHUNK, 1]


async def test_silence_is_broken_by_comments() -> None:
    stream = feed_of().listen(heartbeat=0.01)
    await anext(stream)
    assert (await anext(stream)).startswith(b":")


async def test_closing_ends_every_stream() -> None:
    feed = feed_of()
    streams = [await following(feed) for _ in range(3)]
    waiting = [asyncio.ensure_future(anext(stream, None)) for stream in streams]
    await asyncio.sleep(0)
    feed.close()
    for each in waiting:
        assert not received(await each or b"")
    assert [chunk for stream in streams async for chunk in stream] == []
    assert feed.listeners == 0


async def test_listeners_are_counted_while_they_listen() -> None:
    feed = feed_of()
    async with aclosing(feed.listen()) as stream:
        await anext(stream)
        assert feed.listeners == 1
    assert feed.listeners == 0


async def test_a_deletion_arrives_and_leaves_the_last_id_in_force() -> None:
    feed = feed_of()
    stream = await following(feed)
    publish(feed, {"customer_id": "c1", "deleted": True})
    assert await anext(stream) == b'data: {"customer_id":"c1","deleted":true}\n\n'


GONE = {"customer_id": "gone", "deleted": True}


async def streamed(feed: ChangeFeed, **asked: Any) -> list[Message]:
    """What a listener gets to begin with, up to a change that is published then."""
    stream, found = feed.listen(**asked), list[Message]()
    await anext(stream)
    publish(feed, change(99))
    while change(99) not in found:
        found += received(await anext(stream))
    return found[:-1]


async def test_nobody_gets_earlier_changes_of_a_deleted_customer() -> None:
    feed = feed_of()
    publish(feed, change(1), change(2, customer="gone"), change(3), GONE, change(4))
    assert await streamed(feed, recent=50) == [change(1), change(3), change(4)]
    assert await streamed(feed, last_id=f"{1:024x}") == [change(3), GONE, change(4), change(99)]
    assert (await streamed(feed, last_id="0" * 24))[:4] == [{}, change(1), change(3), GONE]


async def test_a_listener_that_has_got_a_change_of_a_deleted_customer_goes_on_behind_it() -> None:
    feed = feed_of()
    publish(feed, change(1), change(2, customer="gone"), change(3), GONE)
    assert await streamed(feed, last_id=f"{2:024x}") == [change(3), GONE]


async def test_changes_of_a_customer_who_came_back_are_not_purged() -> None:
    feed = feed_of()
    back = change(5, customer="gone")
    publish(feed, change(2, customer="gone"), GONE, back)
    assert await streamed(feed, recent=50) == [back]


async def test_changes_from_before_the_start_are_purged_by_the_tombstones_behind_them() -> None:
    feed = feed_of()
    publish(feed, {**GONE, "customer_id": "just"}, change(8))
    before = [
        change(1), change(2, customer="gone"), change(3, customer="just"), GONE,
        change(4, customer="gone"),
    ]  # fmt: skip
    feed.prepend([(5, orjson.dumps(each)) for each in before])
    expected = [change(1), change(4, customer="gone"), change(8)]
    assert await streamed(feed, recent=50) == expected
    assert GONE in await streamed(feed, last_id=f"{1:024x}")
    ties = await streamed(feed, last_id=f"{4:024x}")
    assert {each.get("change_id") for each in ties}.isdisjoint({f"{2:024x}", f"{3:024x}"})


async def test_deletions_that_were_missed_are_made_up_for_from_the_topic() -> None:
    feed = feed_of()
    old, back = change(2, customer="gone"), change(5, customer="gone")
    publish(feed, change(1), old, back)
    feed.forget_deleted([(n, orjson.dumps(each)) for n, each in enumerate([old, GONE, back])])
    assert await streamed(feed, recent=50) == [change(1), back]


def test_a_ring_keeps_nothing_of_what_has_left_it() -> None:
    feed = feed_of(size=3)
    publish(feed, *(change(number, customer="one") for number in range(50)), *map(change, range(9)))
    assert len(feed.ring._of_customer) == 3


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b"{}", b'{"change_id": 3}', b"\xff"])
def test_a_message_that_is_no_change_reaches_no_listener(data: bytes) -> None:
    feed = ChangeFeed(Redis(), "channel", lambda message: msgspec.convert(message, CountedChange))
    feed.publish(data)
    assert feed.ring.end == 0


def test_a_change_on_many_lines_becomes_one() -> None:
    feed = feed_of()
    feed.publish(orjson.dumps(change(1), option=orjson.OPT_INDENT_2))
    assert feed.ring.read(0)[0].count(b"\n") == 3


async def test_a_listener_that_takes_nothing_is_dropped() -> None:
    feed, sent = feed_of(), 0

    async def send(message: Any) -> None:
        nonlocal sent
        sent += 1
        if sent > 2:  # it took the head and the first chunk
            await asyncio.Event().wait()

    stream = EventStream(feed.listen(), patience=0.01)
    listening = asyncio.create_task(stream.stream_response(send))
    await eventually(lambda: feed.listeners, 10, "it did not listen")
    publish(feed, change(1))
    async with asyncio.timeout(patience(10)):
        await listening
    assert (sent, feed.listeners) == (3, 0)
