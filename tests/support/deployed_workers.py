"""Workers that make a deployment, or end because of one."""

import asyncio
from collections.abc import Callable

from stream_persona.domain.events import Item, Purchase
from stream_persona.store import deployment as deployments
from stream_persona.store.deployment import Deployment
from tests.support.constants import RECENT as NOW
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually

Start = Callable[..., WorkerProcess]


KEY = "persona-deployment"


def purchases(number: int, start: int = 0) -> list[Purchase]:
    item = Item("p", "pets/dog", price=4.0)
    return [Purchase(f"e{n}", f"c{n}", NOW + n, (item,)) for n in range(start, start + number)]


async def stored(shop: Shop) -> Deployment | None:
    blob = await shop.redis.get(f"{shop.settings.prefix}{KEY}")
    return None if blob is None else deployments.decode_deployment(blob)


async def stopped(worker: WorkerProcess) -> None:
    """Stop a worker as an operator does."""
    assert await asyncio.to_thread(worker.stop) == 0


async def ends(worker: WorkerProcess, *words: str) -> None:
    """Wait until it ends by itself, with 2 and a last line that has these words."""
    await eventually(
        lambda: worker.process.poll() is not None, 60, lambda: worker.log.read_text()[-2_000:]
    )
    log = worker.log.read_text()
    assert worker.process.returncode == 2, log[-2_000:]
    last = log.splitlines()[-1]
    assert all(word in last for word in words), log[-2_000:]
    assert "Traceback" not in log


async def work(shop: Shop, start: Start) -> Deployment:
    """Let a worker fold some events and stop; return the deployment that it has made."""
    worker = start()
    await shop.produce(*purchases(20))
    await shop.at_rest()
    await stopped(worker)
    made = await stored(shop)
    assert made is not None
    return made
