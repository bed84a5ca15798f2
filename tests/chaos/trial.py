"""One seed: a shop on real servers, with its plan of faults, until everything is at rest."""

import asyncio
import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis

from tests.chaos.carrier import carry, count_notes
from tests.chaos.claims import Claims
from tests.chaos.feeder import Feeder, Progress
from tests.chaos.judge import Log, judge
from tests.chaos.machines import Broker, Store
from tests.chaos.schedule import Fault, Plan
from tests.chaos.shop_servers import Size, servers
from tests.chaos.shopfloor import Shopfloor
from tests.chaos.verdict import Verdict
from tests.chaos.worker_pool import PooledWorker, WorkerPool
from tests.support.shop import Shop
from tests.support.waiting import eventually

#: Seconds that a worker may take from its start, or a rebalance, to new progress.
PATIENCE = 120.0
#: Seconds in which a worker comes to a step, mostly; else another one is ordered to.
REACH = 30.0
#: So many workers in turn; the last one is hit wherever it is.
TRIES = 3
#: Workers that are left at least: another one must be there to take over from a zombie.
FEWEST = 2
#: The share of all events that a Redis loses when it comes back older, about.
LOST = 0.02
#: Seconds for which a server is paused.
PAUSE = 3.0


@dataclass
class Result:
    """What a trial did and found."""

    plan: Plan
    size: Size
    seconds: float = 0.0
    messages: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)


class Trial:
    """The servers, the workers and the feeder of one seed, and the faults injected into them."""

    def __init__(
        self, plan: Plan, size: Size, broker: Broker, store: Store, shop: Shop, pool: WorkerPool,
        log: Log,
    ) -> None:  # fmt: skip
        self._plan, self._size = plan, size
        self._broker, self._store, self._shop, self._pool = broker, store, shop, pool
        self._log = log
        self._claims = Claims(shop, PATIENCE)
        self._restarting = asyncio.Lock()
        self._faults: list[asyncio.Task[None]] = []
        self.injected: Counter[str] = Counter()
        self.progress = Progress(shop.settings)

    async def run(self, feeder: Feeder) -> None:
        """Feed, inject the faults, and wait until everything is applied."""
        keeping = asyncio.create_task(self._supervise())
        feeding = asyncio.create_task(feeder.run(self.progress, self._busy))
        try:
            for fault in self._plan.faults:
                await self._reach(fault.after, keeping, feeding)
                self._log(f"{self.progress.committed:>7,} events: {fault.kind}")
                self._faults.append(asyncio.create_task(self._inject(fault)))
            await feeding
            await self._finish_faults()
            await self._shop.at_rest(2 * PATIENCE)
        finally:
            for task in (keeping, feeding, *self._faults):
                task.cancel()
            await asyncio.gather(keeping, feeding, *self._faults, return_exceptions=True)
            await self.progress.close()

    def _busy(self) -> bool:
        """Whether a fault is still to come, or under way."""
        begun = len(self._faults)
        return begun < len(self._plan.faults) or not all(task.done() for task in self._faults)

    async def _supervise(self) -> None:
        """Replace workers that end, and read the progress, until cancelled."""
        while True:
            self._pool.replace_ended()
            await self.progress.read()
            await asyncio.sleep(0.1)

    async def _reach(self, events: int, *tasks: asyncio.Task[None]) -> None:
        """Wait until so many are committed, as long as there is progress at all."""
        while self.progress.committed < events:
            before = self.progress.committed

            def moved(before: int = before) -> bool:
                for task in tasks:
                    if task.done():
                        task.result()  # one that has failed raises here
                return self.progress.committed > before

            await eventually(moved, PATIENCE, f"no progress beyond {before:,} events")

    async def _finish_faults(self) -> None:
        """Let the faults that were begun end; withdraw orders that no worker obeys."""
        if self._faults:
            seconds = TRIES * REACH + 3 * self._size.session + PAUSE
            done, late = await asyncio.wait(self._faults, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*done)
        self._pool.withdraw_orders()

    async def _inject(self, fault: Fault) -> None:
        if fault.group in {"kill", "zombie"}:
            await self._inject_into_worker(fault)
        elif fault.group == "workers":
            await self._resize(fault)
        else:
            async with self._restarting:
                if fault.group == "older":
                    await self._let_come_back_older(fault)
                else:
                    await self._inject_into_server(fault)
            self.injected[fault.kind] += 1

    async def _inject_into_worker(self, fault: Fault) -> None:
        """Hit a worker, or another one if it ends by itself before, as a fenced one may."""
        tries = itertools.count(1)
        while not (
            how := await self._hit(
                worker := await self._pick_worker(fault), fault, is_last=next(tries) >= TRIES
            )
        ):
            pass
        self.injected[f"{fault.group}:{how}"] += 1
        if fault.group == "zombie":
            await self._resume(worker)

    async def _hit(self, worker: PooledWorker, fault: Fault, *, is_last: bool) -> str:
        """Kill or freeze a worker; return after which step, or nothing if another has to be hit.

        That is if it ended before, or did not come to the step. With ``is_last``, it is hit at no
        particular step then.
        """
        number, how = {"kill": signal.SIGKILL, "zombie": signal.SIGSTOP}[fault.group], fault.how
        worker.fate, worker.zombie = fault.group, fault.group == "zombie"
        if how != "any":
            worker.command(number, how, fault.nth)
            if not await self._within(REACH, lambda: not worker.runs or worker.frozen):
                worker.order.unlink(missing_ok=True)
                if not is_last and worker.runs and not worker.frozen:
                    worker.fate, worker.zombie = "", False
                    return ""
                how = "any"  # the step does not come, a signal does
        if how == "any":
            worker.send(number)
            await self._within(PATIENCE, lambda: not worker.runs or worker.frozen)
        return how if worker.frozen or worker.process.returncode == -signal.SIGKILL else ""

    async def _pick_worker(self, fault: Fault) -> PooledWorker:
        """Wait for a worker that nothing has been done to, and return it."""
        found: list[PooledWorker] = []

        def there() -> bool:
            at_a_step = fault.group in {"kill", "zombie"} and fault.how != "any"
            pick = self._pool.pick_working if at_a_step else self._pool.pick
            found.extend([worker] if (worker := pick(fault.worker)) else [])
            return bool(found)

        await eventually(there, PATIENCE, f"no worker is left for {fault.kind}")
        return found[0]

    async def _resume(self, worker: PooledWorker) -> None:
        """Resume a zombie once others have taken its partitions and gone on with them."""
        owners = await self._claims.read_owners()
        mine = worker.struck
        lost = asyncio.get_running_loop().time() + self._size.session

        async def taken() -> bool:
            now = await self._claims.read_owners()
            if mine >= 0:
                return bool(now) and now.get(mine) != owners.get(mine)
            return bool(now) and now != owners and asyncio.get_running_loop().time() > lost

        with suppress(AssertionError):  # they were not taken: it resumes all the same
            await eventually(taken, 5 * self._size.session)
        there = self.progress.committed
        await self._within(self._size.session, lambda: self.progress.committed > there)
        self._log(f"{self.progress.committed:>7,} events: worker {worker.number} resumes")
        worker.send(signal.SIGCONT)
        await self._within(PATIENCE, lambda: not worker.frozen)
        worker.fate = ""

    async def _resize(self, fault: Fault) -> None:
        if fault.how == "more":
            self._pool.wanted += 1
        elif self._pool.wanted > FEWEST:
            await self._pick_worker(fault)
            self._pool.wanted -= 1
            self._pool.dismiss(fault.worker)
        self.injected[fault.kind] += 1

    async def _inject_into_server(self, fault: Fault) -> None:
        server = self._broker if fault.group == "broker" else self._store
        match fault.kind:
            case "broker:kill" | "broker:term":
                number = signal.SIGKILL if fault.how == "kill" else signal.SIGTERM
                await asyncio.to_thread(self._broker.end, number)
            case "redis:kill" | "redis:shutdown":
                await asyncio.to_thread(self._store.end, politely=fault.how == "shutdown")
            case _:
                server.pause()
                await asyncio.sleep(PAUSE)  # the pause itself, nothing is waited for
                server.resume()
                return
        await asyncio.to_thread(server.start_again)

    async def _let_come_back_older(self, fault: Fault) -> None:
        """Let Redis lose what happened in a while; return once what lost of it is claimed anew."""
        if fault.how == "replica":
            await asyncio.to_thread(self._store.follow)
        copied = None if fault.how == "replica" else await asyncio.to_thread(self._store.copy)
        there = self.progress.committed + self._size.events * LOST
        await self._within(REACH, lambda: self.progress.committed > there)
        if fault.how == "stopped":
            self._pool.dismiss_all()
            await self._within(PATIENCE, lambda: not self._pool.workers)
        written, began = await self._claims.read_last_writes(), time.time_ns() // 1_000
        if copied is None:
            await asyncio.to_thread(self._store.promote)
        else:
            await asyncio.to_thread(self._store.end, politely=False)
            await asyncio.to_thread(self._store.put_back, copied)
        self._pool.rests = False

        await self._claims.wait_until_claimed_anew(written, began)

    async def _within(self, seconds: float, condition: Callable[[], bool]) -> bool:
        """Wait for the condition, for so long at most; return whether it holds."""
        with suppress(AssertionError):
            await eventually(condition, seconds)
        return condition()


def most_ahead(size: Size) -> int:
    """Return how many messages may be uncommitted, so that each fault finds workers amid work."""
    return min(12_000, size.events // 6)


async def run(plan: Plan, size: Size, directory: Path, log: Log) -> Result:
    """Run one trial from start to verdict; the workers' logs are left in ``directory``."""
    result, began = Result(plan, size), time.monotonic()
    async with servers(plan, size, directory) as (broker, store, shop):
        messages = carry(
            Shopfloor(plan.seed, size.events, size.customers).messages(),
            plan.seed,
            shop.settings.partitions,
        )
        result.messages, result.notes = len(messages), count_notes(messages)
        pool = WorkerPool(shop.settings, directory, plan.workers)
        trial = Trial(plan, size, broker, store, shop, pool, log)
        try:
            feeder = Feeder(shop.settings, messages, most_ahead(size), plan.seed)
            await trial.run(feeder)
            # Connections of a server that was restarted may be dead: judge over new ones.
            async with Redis.from_url(shop.settings.redis_url) as redis:
                result.verdict = await judge(Shop(shop.settings, redis), feeder, log)
        except AssertionError as error:
            result.verdict.add("trial", "", str(error))
        finally:
            pool.close()
            result.injected, result.ends = trial.injected, pool.ends
    result.seconds = time.monotonic() - began
    return result
