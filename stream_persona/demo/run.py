"""The demo: a whole system on this machine, and a half-year of real shoppers through it.

Broker and Redis server are embedded, worker and API are processes of their own. The study's
assignments are fed first; the held-back households are predicted and evaluated as events come.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import webbrowser
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from redis.asyncio import Redis
from rich.console import Console

from stream_persona.clocks import epoch_ms
from stream_persona.demo.catalogue import prepare_catalogue
from stream_persona.demo.children import ChildProcess, run_child
from stream_persona.demo.display import Display, choose_display
from stream_persona.demo.embedded import EmbeddedBroker, EmbeddedRedis
from stream_persona.demo.feeder import Feeder
from stream_persona.demo.interrupts import (
    DemoInterruptedError,
    catch_interrupts,
    fail_on_interrupt,
)
from stream_persona.demo.journey import Journey
from stream_persona.demo.journey import load as load_journey
from stream_persona.demo.playback import DAY, Playback
from stream_persona.demo.report import Report
from stream_persona.demo.session import Session
from stream_persona.demo.setup import (
    has_screen,
    load_demo_settings,
    make_dashboard_address,
    wait_for_api,
)
from stream_persona.demo.shifting import find_shift
from stream_persona.demo.simulator import Simulator
from stream_persona.domain.taxonomy import load as load_taxonomy
from stream_persona.errors import UnavailableError
from stream_persona.settings import Settings

_T = TypeVar("_T")

#: The demo's server keeps a file for as long as it runs, as a real one should for longer.
_REDIS_OPTIONS: Final = ("--appendonly", "yes", "--appendfsync", "no")
#: Uncommitted bytes of a partition at most: well below what the embedded broker keeps.
_LIMIT: Final = 1_500_000
#: Shares of a bounded demo's time in which the half-year is played: the usual and the least one.
_PLAYED: Final = 0.75
_LEAST_PLAYED: Final = 0.3
#: Seconds to get ready; to consume the rest at the end; to end the worker, and the API, politely.
_READY: Final = 60.0
_REST: Final = 60.0
_WORKER_END: Final = 8.0
_API_END: Final = 3.0


@dataclass(frozen=True)
class DemoOptions:
    """The options of the demo. ``started`` is when the command began, by ``clock``.

    ``for_seconds`` bounds the demo; ``speed`` is in days of event time per second: by default one,
    or what lets the half-year fit in a bounded demo. ``shoppers`` are the synthetic ones, and
    ``rate`` is how many events per second they produce together. ``now`` gives epoch milliseconds:
    the half-year is played as the one before it.
    """

    for_seconds: float | None = None
    speed: float | None = None
    browser: bool = True
    json: bool = False
    report: Path = Path("build/reports/demo.json")
    shoppers: int = 100
    rate: float = 40.0
    seed: int = 1
    started: float = field(default_factory=time.monotonic)
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], int] = epoch_ms


async def run(options: DemoOptions) -> Report | None:
    """Run the demo until its time is up or Ctrl-C; print, write and return its report.

    Returns None when it was interrupted before anything was fed.

    Raises:
        ConfigError: the packages of the ``demo`` extra are not installed, or a setting is wrong.
        UnavailableError: broker, Redis, worker or API did not start, or died.
    """
    console = Console(stderr=options.json)
    with (
        catch_interrupts() as interrupted,
        EmbeddedBroker() as broker,
        EmbeddedRedis(options=_REDIS_OPTIONS) as server,
    ):
        settings = load_demo_settings(broker.address, server.url)
        report = await _Demo(options, settings, choose_display(console), interrupted).run()
    if report is not None:
        report.write(options.report)
        console.print(report.as_table())
        if options.json:
            sys.stdout.buffer.write(report.as_json())
    return report


class _Demo:
    """One run: what it starts, and how all of that ends together."""

    def __init__(
        self, options: DemoOptions, settings: Settings, display: Display, interrupted: asyncio.Event
    ) -> None:
        self._options = options
        self._settings = settings
        self._display = display
        self._redis = Redis.from_url(settings.redis_address, socket_timeout=10.0)
        self._interrupted = interrupted
        self._watchers: set[asyncio.Task[None]] = set()

    async def run(self) -> Report | None:
        """Start everything, play, and end everything whatever happens."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._redis.aclose)
            await stack.enter_async_context(self._run_beside(fail_on_interrupt(self._interrupted)))
            try:
                journey = await self._start(stack)
            except DemoInterruptedError:
                return None
            clock, started = self._options.clock, self._options.started
            shift = find_shift(journey.end, self._options.now())
            feeder = Feeder(self._settings, limit=_LIMIT, shift=shift, clock=clock)
            await stack.enter_async_context(feeder)
            session = Session(
                self._settings, journey.study, feeder, self._make_playback(journey),
                started=started, clock=clock,
            )  # fmt: skip
            return await self._play_and_report(session, stack)

    async def _start(self, stack: AsyncExitStack) -> Journey:
        """Start worker and API, and read the data meanwhile."""
        display = self._display
        display.print_line("Starting a worker and the API, reading a year of shopping ...")
        worker = await self._run_child(stack, "worker", _WORKER_END)
        journey = await self._guard(self._wait_until_ready(stack, worker))
        address = make_dashboard_address(self._settings)
        display.print_line(f"Dashboard: {address}")
        if self._options.browser and has_screen():
            await asyncio.to_thread(webbrowser.open, address)
        return journey

    async def _wait_until_ready(self, stack: AsyncExitStack, worker: ChildProcess) -> Journey:
        reading = asyncio.to_thread(load_journey, seed=self._options.seed)
        children = [worker]
        try:
            async with asyncio.timeout(_READY):
                journey, *_ = await asyncio.gather(
                    reading, worker.wait_for_line("metrics on http"),
                    self._start_api(stack, children),
                )  # fmt: skip
        except TimeoutError:
            last = "\n".join(line for each in children for line in list(each.lines)[-5:])
            raise UnavailableError(f"not ready within {_READY:g} s; last lines:\n{last}") from None
        return journey

    async def _start_api(self, stack: AsyncExitStack, children: list[ChildProcess]) -> None:
        """Start the API on the demo's catalogue, which is made at the first run."""
        catalogue = await asyncio.to_thread(prepare_catalogue)
        self._settings = self._settings.model_copy(update={"catalogue": catalogue})
        children.append(await self._run_child(stack, "api", _API_END))
        await self._guard(wait_for_api(self._settings))

    async def _run_child(self, stack: AsyncExitStack, name: str, seconds: float) -> ChildProcess:
        """Run a child until the stack ends, and watch it."""
        child = await stack.enter_async_context(run_child(name, self._settings, seconds=seconds))
        await stack.enter_async_context(self._run_beside(child.fail_on_exit()))
        return child

    def _make_playback(self, journey: Journey) -> Playback:
        options, speed = self._options, self._options.speed
        if speed is None and options.for_seconds is not None:
            bound = options.for_seconds
            left = options.started + bound - options.clock() - 1.0
            window = max(min(_PLAYED * bound, left), _LEAST_PLAYED * bound)
            speed = (journey.end - journey.start) / DAY / window
        tastes = {name: {"category": best} for name, best in journey.categories.items()}
        simulator = Simulator(
            load_taxonomy(self._settings.taxonomy),
            shoppers=options.shoppers,
            seed=options.seed,
            tastes=tastes,
        )
        return Playback(
            journey, simulator, speed=speed or 1.0, rate=options.rate, clock=options.clock
        )

    async def _play_and_report(self, session: Session, stack: AsyncExitStack) -> Report:
        changes = await stack.enter_async_context(self._redis.pubsub())
        await changes.subscribe(f"{self._settings.prefix}persona-changes")
        try:
            with self._display:
                async with self._run_beside(session.listen(changes), session.update(self._display)):
                    await self._guard(self._play(session))
        except DemoInterruptedError:
            self._display.print_line("Ending the worker, the API, the server and the broker ...")
            return await session.report(self._redis, interrupted=True)
        return await session.report(self._redis, interrupted=False)

    async def _play(self, session: Session) -> None:
        """Assign, then play; a bounded demo ends in time even if the worker hangs."""
        bound = self._options.for_seconds
        until = None
        try:
            async with asyncio.timeout(_READY):
                await session.assign()
            if bound is not None:
                least = self._options.clock() + _LEAST_PLAYED * bound
                until = max(self._options.started + bound, least)
            async with asyncio.timeout(None if bound is None else bound + _REST):
                await session.play(until=until, endless=bound is None)
        except TimeoutError:
            raise UnavailableError(
                f"the worker fell behind: it had {_READY:g} s for the assignments, and"
                f" {_REST:g} s after the end for the rest"
            ) from None

    @contextlib.asynccontextmanager
    async def _run_beside(self, *work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Run coroutines within the block; each of them ends with an error or never."""
        tasks = {asyncio.create_task(each) for each in work}
        self._watchers |= tasks
        try:
            yield
        finally:
            self._watchers -= tasks
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _guard(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do the work, unless one of the watchers ends before: then raise its error."""
        task = asyncio.create_task(work)
        try:
            await asyncio.wait([task, *self._watchers], return_when=asyncio.FIRST_COMPLETED)
            for watcher in self._watchers:
                if watcher.done():
                    watcher.result()
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])
