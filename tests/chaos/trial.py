"""One seed: a shop on real servers, with its plan of faults, until everything is at rest."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.chaos.carrier import carried, notes
from tests.chaos.crew import Crew, Member
from tests.chaos.feeder import Feeder, Progress
from tests.chaos.judge import judge
from tests.chaos.machines import Broker, Store
from tests.chaos.schedule import Fault, Plan
from tests.chaos.shopfloor import Shopfloor
from tests.chaos.verdict import Verdict
from tests.support.servers import create_topics, settings_for
from tests.support.shop import Shop
from tests.support.waiting import eventually

#: Seconds that a worker may take from its start, or a rebalance, to new progress.
PATIENCE = 120.0
#: Seconds in which a worker comes to a step, mostly; else it is hit wherever it is.
REACH = 30.0
#: Workers that are left at least: where one alone is a zombie, nobody is there to take over.
FEWEST = 2
#: Seconds for which a server is paused.
PAUSE = 3.0

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Size:
    """How large a trial is: events of how many customers, seconds of a session."""

    events: int
    customers: int
    session: float = 6.0


@dataclass
class Result:
    """What a trial did and found."""

    plan: Plan
    size: Size
    seconds: float = 0.0
    messages: int = 0
    befell: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)


class Trial:
    """The servers, the crew and the feeder of one seed, and the faults that befall them."""

    def __init__(
        self, plan: Plan, size: Size, broker: Broker, store: Store, shop: Shop, crew: Crew,
        tell: Tell,
    ) -> None:  # fmt: skip
        self._plan, self._size = plan, size
        self._broker, self._store, self._shop, self._crew = broker, store, shop, crew
        self._tell = tell
        self._restarting = asyncio.Lock()
        self._faults: list[asyncio.Task[None]] = []
        self.injected: Counter[str] = Counter()
        self.progress = Progress(shop.settings)

    async def run(self, feeder: Feeder) -> None:
        """Feed, strike, and wait until everything is applied."""
        keeping = asyncio.create_task(self._keep())
        feeding = asyncio.create_task(feeder.run(self.progress, self._busy))
        try:
            for fault in self._plan.faults:
                await self._reach(fault.after, keeping, feeding)
                self._tell(f"{self.progress.committed:>7,} events: {fault.kind}")
                self._faults.append(asyncio.create_task(self._strike(fault)))
            await feeding
            await self._calm()
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

    async def _keep(self) -> None:
        """Supervise the crew, and read the progress, until cancelled."""
        while True:
            self._crew.keep()
            await self.progress.read()
            await asyncio.sleep(0.1)

    async def _reach(self, events: int, *tasks: asyncio.Task[None]) -> None:
        """Wait until so many are committed, as long as there is progress at all."""
        while self.progress.committed < events:
            before = self.progress.committed

            def moved(before: int = before) -> bool:
                for task in tasks:
                    if task.done():
                        task.result()  # one that has failed says so here
                return self.progress.committed > before

            await eventually(moved, PATIENCE, f"no progress beyond {before:,} events")

    async def _calm(self) -> None:
        """Let the faults that were begun end; an order nobody obeys is taken back."""
        if self._faults:
            seconds = REACH + 3 * self._size.session + PAUSE
            done, late = await asyncio.wait(self._faults, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*done)
        self._crew.pardon()

    async def _strike(self, fault: Fault) -> None:
        if fault.group in {"kill", "zombie"}:
            await self._strike_worker(fault)
        elif fault.group == "crew":
            await self._resize(fault)
        else:
            async with self._restarting:
                await self._strike_server(fault)
            self.injected[fault.kind] += 1

    async def _strike_worker(self, fault: Fault) -> None:
        """Hit a worker; another one if it ends by itself before, as a fenced one may."""
        while not (how := await self._hit(member := await self._somebody(fault), fault)):
            pass
        self.injected[f"{fault.group}:{how}"] += 1
        if fault.group == "zombie":
            await self._wake(member)

    async def _hit(self, member: Member, fault: Fault) -> str:
        """Kill or freeze a worker; after which step, or nothing if it was quicker."""
        number, how = {"kill": signal.SIGKILL, "zombie": signal.SIGSTOP}[fault.group], fault.how
        member.fate, member.zombie = fault.group, fault.group == "zombie"
        if how != "any":
            member.command(number, how, fault.nth)
            if not await self._within(REACH, lambda: not member.runs or member.frozen):
                member.order.unlink(missing_ok=True)
                how = "any"  # the step does not come, a signal does
        if how == "any":
            member.send(number)
            await self._within(PATIENCE, lambda: not member.runs or member.frozen)
        return how if member.frozen or member.process.returncode == -signal.SIGKILL else ""

    async def _somebody(self, fault: Fault) -> Member:
        """A worker that nothing has been done to; waits for one to be there."""
        found: list[Member] = []

        def there() -> bool:
            found.extend([member] if (member := self._crew.pick(fault.worker)) else [])
            return bool(found)

        await eventually(there, PATIENCE, f"no worker is left for {fault.kind}")
        return found[0]

    async def _wake(self, member: Member) -> None:
        """Let a zombie wake once others have taken its partitions and gone on with them."""
        owners = await self._owners()
        mine = member.struck
        lost = asyncio.get_running_loop().time() + self._size.session

        async def taken() -> bool:
            now = await self._owners()
            if mine >= 0:
                return bool(now) and now.get(mine) != owners.get(mine)
            return bool(now) and now != owners and asyncio.get_running_loop().time() > lost

        with suppress(AssertionError):  # nobody took them: it wakes all the same
            await eventually(taken, 5 * self._size.session)
        there = self.progress.committed
        await self._within(self._size.session, lambda: self.progress.committed > there)
        self._tell(f"{self.progress.committed:>7,} events: worker {member.number} wakes")
        member.send(signal.SIGCONT)
        await self._within(PATIENCE, lambda: not member.frozen)
        member.fate = ""

    async def _owners(self) -> dict[int, bytes]:
        """The claims, by partition; none at all while Redis is away."""
        keys = [f"{self._shop.settings.prefix}persona-owner:{p}" for p in range(8)]
        with suppress(RedisError, OSError):
            found = cast("list[bytes | None]", await self._shop.redis.mget(keys))
            return {p: token for p, token in enumerate(found) if token}
        return {}

    async def _resize(self, fault: Fault) -> None:
        if fault.how == "more":
            self._crew.wanted += 1
        elif self._crew.wanted > FEWEST:
            await self._somebody(fault)
            self._crew.wanted -= 1
            self._crew.dismiss(fault.worker)
        self.injected[fault.kind] += 1

    async def _strike_server(self, fault: Fault) -> None:
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

    async def _within(self, seconds: float, condition: Callable[[], bool]) -> bool:
        """Wait until the condition holds, for so long at most; whether it does."""
        with suppress(AssertionError):
            await eventually(condition, seconds)
        return condition()


@asynccontextmanager
async def servers(size: Size) -> AsyncIterator[tuple[Broker, Store, Shop]]:
    """A broker, a Redis, and a shop on them with its topics."""
    broker = Broker()
    try:
        store = Store()
        try:
            await asyncio.to_thread(broker.wait_until_ready)
            settings = settings_for(broker, store.url, session_timeout=size.session)
            await declare(settings)
            async with Redis.from_url(settings.redis_url) as redis:
                yield broker, store, Shop(settings, redis)
        finally:
            store.close()
    finally:
        broker.close()


def ahead(size: Size) -> int:
    """Messages that may be sent and not committed: each fault finds workers amid their work."""
    return min(12_000, size.events // 6)


async def declare(settings: Settings) -> None:
    """Make the topics; of the changes nothing may be compacted away before it was judged."""
    kept = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(86_400_000)}
    await create_topics(settings.brokers, [settings.topic_changes], settings.partitions, kept)
    await prepare(settings)


async def run(plan: Plan, size: Size, directory: Path, tell: Tell) -> Result:
    """One trial from start to verdict; logs of the workers are left in ``directory``."""
    result, began = Result(plan, size), time.monotonic()
    async with servers(size) as (broker, store, shop):
        messages = carried(
            Shopfloor(plan.seed, size.events, size.customers).messages(),
            plan.seed,
            shop.settings.partitions,
        )
        result.messages, result.befell = len(messages), notes(messages)
        crew = Crew(shop.settings, directory, plan.workers)
        trial = Trial(plan, size, broker, store, shop, crew, tell)
        try:
            await trial.run(Feeder(shop.settings, messages, ahead(size)))
            # Connections of a server that was restarted may be dead: judge over new ones.
            async with Redis.from_url(shop.settings.redis_url) as redis:
                result.verdict = await judge(Shop(shop.settings, redis), messages, tell)
        except AssertionError as error:
            result.verdict.add("trial", "", str(error))
        finally:
            crew.close()
            result.injected, result.ends = trial.injected, crew.ends
    result.seconds = time.monotonic() - began
    return result
