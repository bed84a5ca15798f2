"""What fails for now is tried again with backoff: until a deadline, or until it succeeds."""

import asyncio
import itertools
import random
from collections.abc import Sequence

import pytest

from stream_persona.retrying import retry_endlessly, retry_until
from tests.support.waiting import eventually, patience


class Flaky:
    """Fails with these errors, one a call; after the last of them it answers."""

    def __init__(self, *errors: BaseException, seconds: float = 0.0) -> None:
        self._errors = list(errors)
        self._seconds = seconds
        self.calls: list[float] = []

    async def __call__(self) -> str:
        self.calls.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._seconds)
        if self._errors:
            raise self._errors.pop(0)
        return "answer"


def within(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def gaps(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


async def test_a_call_that_succeeds_is_made_once() -> None:
    call = Flaky()
    assert await retry_until(within(0), call, on=OSError) == "answer"
    assert len(call.calls) == 1


async def test_a_call_that_fails_is_made_again_at_once_and_then_after_growing_waits() -> None:
    call = Flaky(*(OSError(n) for n in range(4)))
    assert await retry_until(within(10), call, on=OSError, first_wait=0.01) == "answer"
    first, second, third, fourth = gaps(call.calls)
    assert first < 0.01 <= second < 0.5
    assert third >= 0.02
    assert fourth >= 0.04


async def test_the_last_error_is_raised_once_no_other_try_fits_before_the_deadline() -> None:
    errors = [LookupError(n) for n in range(100)]
    call, deadline = Flaky(*errors), within(0.5)
    with pytest.raises(LookupError) as raised:
        await retry_until(deadline, call, on=LookupError, first_wait=0.05)
    assert raised.value is errors[len(call.calls) - 1]
    assert len(call.calls) > 2
    assert max(call.calls) < deadline


async def test_a_call_that_outlasts_the_deadline_is_not_cut_short_nor_made_again() -> None:
    call = Flaky(OSError("late"), seconds=0.05)
    with pytest.raises(OSError, match="late"):
        await retry_until(within(0.01), call, on=OSError)
    assert len(call.calls) == 1


async def test_an_error_of_another_type_is_raised_at_once_whenever_it_comes() -> None:
    for errors in ([KeyError("no")], [OSError(), KeyError("no")], [OSError()] * 2 + [KeyError()]):
        call = Flaky(*errors)
        with pytest.raises(KeyError):
            await retry_until(within(10), call, on=(OSError, TimeoutError), first_wait=0.01)
        assert len(call.calls) == len(errors)


@pytest.mark.parametrize("failures", range(3))
async def test_a_cancellation_ends_the_call_and_the_wait(failures: int) -> None:
    call = Flaky(*[OSError()] * (failures or 100), seconds=0.02)
    task = asyncio.create_task(retry_until(within(60), call, on=OSError, first_wait=0.01))
    await eventually(lambda: len(call.calls) > failures, 5, "it was not called")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_outer_timeout_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(patience(0.05)):
            await retry_until(within(60), Flaky(*[OSError()] * 1_000), on=OSError)


class Waits:
    """Sleeps for no time, and notes for how long it was to be; ``chance`` is of every wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, chance: float) -> None:
        self.seconds: list[float] = []
        self._sleep = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", self)
        monkeypatch.setattr(random, "uniform", lambda least, most: least + chance * (most - least))

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await self._sleep(0)


async def test_endless_tries_go_on_until_one_succeeds_and_each_error_is_noted() -> None:
    errors = [OSError(n) for n in range(5)]
    noted: list[Exception] = []
    call = Flaky(*errors)
    assert await retry_endlessly(call, OSError, noted.append, first_wait=0.001) == "answer"
    assert noted == errors


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.5), (1.0, 1.0)])
async def test_waits_between_endless_tries_grow_to_a_bound_and_all_of_them_are_spread(
    monkeypatch: pytest.MonkeyPatch, chance: float, share: float
) -> None:
    waits = Waits(monkeypatch, chance)

    await retry_endlessly(Flaky(*[OSError()] * 2_000), OSError, lambda _: None)
    shares = [seconds / share for seconds in waits.seconds if seconds]
    assert shares[:8] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])
    assert set(shares[8:]) == {5.0}
    assert len(shares) == 2_000


async def test_waits_between_endless_tries_begin_anew_after_a_call_that_held_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits = Waits(monkeypatch, chance=1.0)
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    lasting = iter([0.0, 0.0, 0.0, 6.0, 0.0])

    async def hold() -> str:
        nonlocal now
        if (seconds := next(lasting, None)) is None:
            return "answer"
        now += seconds
        raise OSError

    await retry_endlessly(hold, OSError, lambda _: None)
    assert waits.seconds == pytest.approx([0.1, 0.2, 0.4, 0.1, 0.2])


async def test_an_error_of_another_type_ends_endless_tries_and_is_not_noted() -> None:
    noted: list[Exception] = []
    with pytest.raises(KeyError):
        await retry_endlessly(Flaky(OSError(), KeyError()), OSError, noted.append, 0.001)
    assert [type(error) for error in noted] == [OSError]


async def test_a_cancellation_ends_endless_tries() -> None:
    call = Flaky(*[OSError()] * 1_000)
    task = asyncio.create_task(retry_endlessly(call, OSError, lambda _: None, 0.001))
    await eventually(lambda: len(call.calls) > 2, 5, "it was not called")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
