"""The demo: a whole system on this machine, and a half-year of real shoppers through it.

Broker and Redis server are embedded, worker and API are processes of their own. The study's
assignments are fed first; the held-back households are predicted and judged as events come.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import sys
import time
import webbrowser
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from redis.asyncio import Redis
from rich.console import Console

from stream_persona.demo import journey as complete_journey
from stream_persona.demo.children import Child, child
from stream_persona.demo.embedded import PARTITIONS, EmbeddedBroker, EmbeddedRedis, free_port
from stream_persona.demo.feeder import Feeder
from stream_persona.demo.journey import Journey
from stream_persona.demo.playback import DAY, Playback
from stream_persona.demo.report import Report
from stream_persona.demo.show import Show
from stream_persona.demo.simulator import Simulator
from stream_persona.demo.view import View, view_on
from stream_persona.domain.taxonomy import load as load_taxonomy
from stream_persona.domain.taxonomy import shipped
from stream_persona.errors import UnavailableError
from stream_persona.settings import Settings, load_settings

_T = TypeVar("_T")

#: Bytes of a partition that may wait for the worker: well below what the embedded broker keeps.
_LIMIT: Final = 1_500_000
#: The bounded demo plays the half-year in this share of its time, and in no less than the other.
_PLAYED: Final = 0.75
_LEAST_PLAYED: Final = 0.3
#: Seconds to get ready; to consume the rest at the end; to end the worker, and the API, politely.
_READY: Final = 60.0
_REST: Final = 60.0
_WORKER_END: Final = 8.0
_API_END: Final = 3.0
#: Seconds between two questions whether the API is ready.
_POLL: Final = 0.1


@dataclass(frozen=True)
class Options:
    """What may be chosen. ``started`` is when the command began, of ``time.monotonic``.

    ``for_seconds`` bounds the demo; ``speed`` is in days of event time a second: by default one,
    or what lets the half-year fit in a bounded demo. ``shoppers`` are the synthetic ones, and
    ``rate`` is how many events a second they make together.
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


async def run(options: Options) -> Report | None:
    """Run the demo until its time is up or Ctrl-C; print its report and write it.

    Returns None when it was ended before anything was fed.

    Raises:
        ConfigError: the packages of the ``demo`` extra are not installed, or a setting is wrong.
        UnavailableError: broker, Redis, worker or API did not start, or died.
    """
    console = Console(stderr=options.json)
    with _interrupts() as interrupted, EmbeddedBroker() as broker, EmbeddedRedis() as server:
        settings = _settings(broker.address, server.url)
        report = await _Demo(options, settings, view_on(console), interrupted).run()
    if report is not None:
        report.write(options.report)
        console.print(report.as_table())
        if options.json:
            sys.stdout.buffer.write(report.as_json())
    return report


class _InterruptedError(Exception):
    """Ctrl-C, or a polite signal."""


class _Demo:
    """One run: its parts, and how they end together."""

    def __init__(
        self, options: Options, settings: Settings, view: View, interrupted: asyncio.Event
    ) -> None:
        self._options = options
        self._settings = settings
        self._view = view
        self._redis = Redis.from_url(settings.redis_url, socket_timeout=10.0)
        self._interrupted = interrupted
        self._watchers: set[asyncio.Task[None]] = set()

    async def run(self) -> Report | None:
        """Start everything, play, and end everything whatever happens."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._redis.aclose)
            await stack.enter_async_context(self._beside(_interruption(self._interrupted)))
            try:
                journey = await self._start(stack)
            except _InterruptedError:
                return None
            feeder = await stack.enter_async_context(Feeder(self._settings, limit=_LIMIT))
            playback = self._playback(journey)
            show = Show(self._settings, journey.study, feeder, playback, self._options.started)
            return await self._perform(show, stack)

    async def _start(self, stack: AsyncExitStack) -> Journey:
        """Worker, API and data, side by side."""
        view, settings = self._view, self._settings
        view.say("Starting a worker and the API, reading a year of shopping ...")
        worker = child("worker", settings, seconds=_WORKER_END)
        api = child("api", settings, seconds=_API_END)
        running = [await stack.enter_async_context(each) for each in (worker, api)]
        await stack.enter_async_context(self._beside(*(each.death() for each in running)))
        journey = await self._alive(self._ready(*running))
        key = f"?key={settings.keys[0]}" if settings.keys else ""
        address = f"http://{_host(settings)}:{settings.api_port}/{key}"
        view.say(f"Dashboard: {address}")
        if self._options.browser and _has_display():
            await asyncio.to_thread(webbrowser.open, address)
        return journey

    async def _ready(self, worker: Child, api: Child) -> Journey:
        reading = asyncio.to_thread(complete_journey.load, seed=self._options.seed)
        try:
            async with asyncio.timeout(_READY):
                journey, *_ = await asyncio.gather(
                    reading, worker.said("metrics on http"), _api_ready(self._settings)
                )
        except TimeoutError:
            last = "\n".join(line for each in (worker, api) for line in list(each.lines)[-5:])
            raise UnavailableError(f"not ready within {_READY:g} s; last heard:\n{last}") from None
        return journey

    def _playback(self, journey: Journey) -> Playback:
        options, speed = self._options, self._options.speed
        if speed is None and options.for_seconds is not None:
            bound = options.for_seconds
            left = options.started + bound - time.monotonic() - 1.0
            window = max(min(_PLAYED * bound, left), _LEAST_PLAYED * bound)
            speed = (journey.end - journey.start) / DAY / window
        tastes = {name: {"category": best} for name, best in journey.categories.items()}
        simulator = Simulator(
            load_taxonomy(self._settings.taxonomy),
            shoppers=options.shoppers,
            seed=options.seed,
            tastes=tastes,
        )
        return Playback(journey, simulator, speed=speed or 1.0, rate=options.rate)

    async def _perform(self, show: Show, stack: AsyncExitStack) -> Report:
        changes = await stack.enter_async_context(self._redis.pubsub())
        await changes.subscribe(f"{self._settings.prefix}persona-changes")
        try:
            with self._view:
                async with self._beside(show.listen(changes), show.paint(self._view)):
                    await self._alive(self._play(show))
        except _InterruptedError:
            self._view.say("Ending the worker, the API, the server and the broker ...")
            return await show.report(self._redis, interrupted=True)
        return await show.report(self._redis, interrupted=False)

    async def _play(self, show: Show) -> None:
        """Assign, then play; in the bounded form no longer than that, even if the worker hangs."""
        bound = self._options.for_seconds
        until = None
        try:
            async with asyncio.timeout(_READY):
                await show.assign()
            if bound is not None:
                least = time.monotonic() + _LEAST_PLAYED * bound
                until = max(self._options.started + bound, least)
            async with asyncio.timeout(None if bound is None else bound + _REST):
                await show.play(until=until, endless=bound is None)
        except TimeoutError:
            raise UnavailableError(
                f"the worker fell behind: it had {_READY:g} s to learn the assignments, and"
                f" {_REST:g} s after the end for the rest"
            ) from None

    @contextlib.asynccontextmanager
    async def _beside(self, *work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Let these run within the block; each of them ends with an error or never."""
        tasks = {asyncio.create_task(each) for each in work}
        self._watchers |= tasks
        try:
            yield
        finally:
            self._watchers -= tasks
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _alive(self, work: Coroutine[Any, Any, _T]) -> _T:
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


def _settings(brokers: str, redis_url: str) -> Settings:
    """As the environment says, but on the demo's own broker, server and taxonomy."""
    settings = load_settings(
        brokers=brokers,
        redis_url=redis_url,
        taxonomy=shipped("complete-journey"),
        partitions=PARTITIONS,
        declare_topics=False,  # the embedded broker makes a topic when it is first named
        metrics_port=0,
        commit_interval=0.25,  # what has been committed is what lets the feed go on
    )
    if settings.api_port and not _is_taken(settings):
        return settings
    return settings.model_copy(update={"api_port": free_port()})


def _is_taken(settings: Settings) -> bool:
    try:
        with socket.create_connection((_host(settings), settings.api_port), timeout=1.0):
            return True
    except OSError:
        return False


def _host(settings: Settings) -> str:
    """Where this machine reaches the API."""
    return "127.0.0.1" if settings.api_host in {"0.0.0.0", "::"} else settings.api_host  # noqa: S104


async def _api_ready(settings: Settings) -> None:
    while await asyncio.to_thread(_ask_ready, settings) != http.client.OK:  # noqa: ASYNC110
        await asyncio.sleep(_POLL)


def _ask_ready(settings: Settings) -> int | None:
    connection = http.client.HTTPConnection(_host(settings), settings.api_port, timeout=2.0)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


@contextlib.contextmanager
def _interrupts() -> Iterator[asyncio.Event]:
    """Signals that ask for an end set the event, instead of breaking off whatever runs."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, event.set)
    try:
        yield event
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _interruption(interrupted: asyncio.Event) -> None:
    await interrupted.wait()
    raise _InterruptedError


def _has_display() -> bool:
    if sys.platform in {"darwin", "win32"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
