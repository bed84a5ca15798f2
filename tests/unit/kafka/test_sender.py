"""Sending at a bounded rate, and counting what a broker has confirmed."""

from __future__ import annotations

import asyncio

import pytest

from stream_persona.kafka.sender import CHUNK, Outgoing, Pace, SendCounts, count_confirmed


class Clock:
    """A clock that goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("rate", "chunk"), [(0, CHUNK), (1e6, CHUNK), (2_000, 200), (0.5, 1)])
def test_a_tenth_of_a_second_of_the_rate_is_sent_at_once(rate: float, chunk: int) -> None:
    assert Pace(rate).chunk == chunk


async def test_chunks_are_as_far_apart_as_the_rate_says() -> None:
    clock = Clock()
    pace = Pace(200, clock, clock.sleep)
    for _ in range(11):
        await pace.wait(20)
    assert clock.now == pytest.approx(101.0)


async def test_time_that_was_not_used_is_not_made_up() -> None:
    clock = Clock()
    pace = Pace(200, clock, clock.sleep)
    await pace.wait(20)
    clock.now += 60
    began = clock.now
    for _ in range(11):
        await pace.wait(20)
    assert clock.now - began == pytest.approx(1.0)


async def test_nobody_waits_without_a_rate() -> None:
    clock = Clock()
    for _ in range(9):
        await Pace(0, clock, clock.sleep).wait(CHUNK)
    assert clock.now == 100.0


@pytest.mark.parametrize(
    ("ends", "confirmed", "line"),
    [
        ("+++", 3, 12),
        ("++-", 2, 11),
        ("+-+", 2, 10),
        ("-++", 2, None),
        ("++?", 2, 11),
        ("", 0, None),
    ],
)
async def test_all_up_to_the_last_confirmed_line_is_confirmed(
    ends: str, confirmed: int, line: int | None
) -> None:
    messages = [Outgoing("browses", "c", b"", n) for n in (10, 11, 12)]
    sending: list[asyncio.Future[object]] = []
    for end in ends:
        future = asyncio.get_running_loop().create_future()
        if end == "+":
            future.set_result(None)
        elif end == "-":
            future.set_exception(OSError())
        sending.append(future)
    receipt = SendCounts()
    each = count_confirmed(messages, sending, receipt)
    assert each == [end == "+" for end in ends]
    assert (receipt.confirmed, receipt.last_confirmed_line) == (confirmed, line)
