"""A check of a server is shared by all who ask, and its result counts for a while."""

import asyncio

import pytest

from stream_persona.api.readiness import KEPT_SECONDS, SharedCheck
from tests.support.worker_runs import FakeClock


class Server:
    """A server that answers when a test lets it."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()
        self.well = True

    async def check(self) -> bool:
        self.asked += 1
        await self.answers.wait()
        return self.well


async def test_all_who_ask_at_a_time_share_one_check() -> None:
    server = Server()
    check = SharedCheck(server.check, FakeClock())
    asking = [asyncio.create_task(check.passes()) for _ in range(5)]
    await asyncio.sleep(0)
    server.answers.set()
    assert await asyncio.gather(*asking) == [True] * 5
    assert server.asked == 1


async def test_a_result_counts_for_a_while_from_when_it_came() -> None:
    server, clock = Server(), FakeClock()
    server.answers.set()
    check = SharedCheck(server.check, clock)
    clock.now = 100.0
    assert await check.passes()
    server.well = False
    clock.now += KEPT_SECONDS - 0.1
    assert await check.passes()
    clock.now += 0.1
    assert not await check.passes()
    assert server.asked == 2


async def test_a_caller_who_leaves_takes_the_check_from_nobody() -> None:
    server = Server()
    check = SharedCheck(server.check, FakeClock())
    first, second = (asyncio.create_task(check.passes()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    server.answers.set()
    assert await second
    assert server.asked == 1


async def test_closing_gives_up_a_check_that_is_under_way() -> None:
    server = Server()
    check = SharedCheck(server.check, FakeClock())
    asking = asyncio.create_task(check.passes())
    await asyncio.sleep(0)
    await check.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
