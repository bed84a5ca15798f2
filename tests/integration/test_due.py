"""An assignment that ends while nothing comes, on real servers: published on time, and once."""

import signal
import time
from collections.abc import Callable
from datetime import datetime

import orjson
import pytest

from stream_persona.domain.events import Assignment, Item, Purchase, to_milliseconds
from tests.support.constants import GENERIC_PERSONAS
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import PATIENCE, eventually

PERSONA = GENERIC_PERSONAS[0]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def assign_for(shop: Shop, seconds: float, *customers: str) -> int:
    """Assign a persona for some seconds from now; return when that ends (epoch ms)."""
    now, items = now_ms(), (Item("p1", "books"),)
    ends = now + round(1_000 * PATIENCE * seconds)
    bought = [Purchase(f"p-{name}", name, now, items) for name in customers]
    given = [Assignment(f"a-{name}", name, now, PERSONA, "test", ends) for name in customers]
    await shop.produce(*bought, *given)
    return ends


async def is_said(shop: Shop, customer: str, source: str) -> bool:
    found = await shop.public(customer)
    return found is not None and found["source"] == source


async def published(shop: Shop) -> list[dict[str, str]]:
    """The distinct changes, each customer's in order."""
    found = [raw.value for raw in await shop.read(shop.settings.topic_changes)]
    changes = [orjson.loads(value) for value in found if value is not None]
    return list({change["change_id"]: change for change in changes}.values())


def milliseconds_of(text: str) -> int:
    return to_milliseconds(datetime.fromisoformat(text))


@pytest.mark.on_cluster_too(with_faults=True)
async def test_an_assignment_that_ends_is_published_within_two_seconds_and_once(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    start_worker()
    await assign_for(shop, 600, "warm")
    await eventually(lambda: is_said(shop, "warm", "assigned"), 40, "the worker does nothing")
    ends = await assign_for(shop, 2, "c")
    await eventually(lambda: is_said(shop, "c", "assigned"), 10, "it was not assigned")
    await eventually(lambda: is_said(shop, "c", "predicted"), 20, "it has not ended")
    await eventually(lambda: now_ms() > ends + 2_000, 10)
    changes = [each for each in await published(shop) if each["customer_id"] == "c"]
    (change,) = [each for each in changes if each["cause"] == "expiry"]
    assert 0 <= milliseconds_of(change["published_at"]) - ends < 2_000 * PATIENCE
    assert milliseconds_of(change["occurred_at"]) == ends
    sets = [await shop.redis.smembers(key) for key in await shop.keys("persona-labelled:*")]
    assert set().union(*sets) == {b"warm"}


@pytest.mark.faults
async def test_an_assignment_ends_once_whoever_dies_at_that_moment(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    shop.halve_session_timeout()
    first = start_worker()
    names = [f"c{n}" for n in range(20)]
    await assign_for(shop, 600, "warm")
    await eventually(lambda: is_said(shop, "warm", "assigned"), 40, "the worker does nothing")
    ends = await assign_for(shop, 6, *names)
    for name in names:
        await eventually(lambda name=name: is_said(shop, name, "assigned"), 10)
    await eventually(lambda: now_ms() >= ends, 10)
    first.stop(signal.SIGKILL)
    start_worker()
    for name in names:
        await eventually(lambda name=name: is_said(shop, name, "predicted"), 60)
    changes = await published(shop)
    for name in names:
        own = [change["cause"] for change in changes if change["customer_id"] == name]
        assert (own.count("assignment"), own.count("expiry")) == (1, 1)
