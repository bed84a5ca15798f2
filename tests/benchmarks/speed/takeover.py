"""Start-up and takeover: how long until a worker publishes, with many labelled customers to fold.

All partitions have probes (assignments of unknown customers); a figure is the seconds until the
last of their changes is published. *start*: from the process's start. *handover*: from SIGTERM to
the only worker with a partition, with another one of the group standing beside it. *crash*: the
same with SIGKILL, which the group notices after its session timeout.
"""

import asyncio
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from rich.console import Console
from rich.table import Table

from stream_persona.worker.startup import prepare
from tests.benchmarks.speed.job import Job, producer
from tests.benchmarks.speed.latency import Seen, looking
from tests.benchmarks.speed.load import probe
from tests.benchmarks.speed.measure import Bench, Servers
from tests.benchmarks.speed.population import fill
from tests.support.shop import WorkerProcess
from tests.support.waiting import eventually

LABELLED = (10_000, 100_000)
#: Seconds; the worker's own default is 30.
SESSION_TIMEOUT = 10.0
#: As many that no partition is without one.
PROBES = 100
PATIENCE = 300.0


@dataclass
class Story:
    """One number of labelled customers, from the first worker's start to the crash."""

    bench: Bench
    seen: Seen
    numbers: Any

    def produce(self) -> set[str]:
        to, settings = producer(self.bench.settings, linger_ms=1), self.bench.settings
        names = set()
        for _ in range(PROBES):
            kind, name, value = probe(next(self.numbers), self.bench.job.personas)
            to.produce(settings.input_topics[kind], value, name)
            names.add(name)
        to.flush()
        return names

    async def answered(self, names: set[str], began: float) -> float:
        """Seconds until the last of these changes was published."""
        await eventually(lambda: names <= self.seen.changes.keys(), PATIENCE, "no change came")
        return max(self.seen.changes[name] for name in names) - began

    def worker(self, name: str) -> WorkerProcess:
        return WorkerProcess(self.bench.settings, self.bench.folder / f"{name}.log")

    async def shares(self, worker: WorkerProcess) -> None:
        """Wait until a worker that came later has partitions and publishes for them."""
        await eventually(lambda: "own partition" in worker.log.read_text(), PATIENCE, "not joined")
        await self.answered(self.produce(), time.monotonic())

    async def measure(self) -> dict[str, float]:
        names, began = self.produce(), time.monotonic()
        first = self.worker("first")
        others: list[WorkerProcess] = []
        try:
            start = await self.answered(names, began)
            handover = await self.after(first, others, signal.SIGTERM)
            crash = await self.after(others[0], others, signal.SIGKILL)
        finally:
            for worker in (first, *others):
                worker.stop(signal.SIGKILL)
        return {"start_seconds": start, "handover_seconds": handover, "crash_seconds": crash}

    async def after(
        self, worker: WorkerProcess, others: list[WorkerProcess], number: signal.Signals
    ) -> float:
        """Let another worker join, end this one, and see how long its partitions are silent."""
        others.append(self.worker(f"heir-{len(others)}"))
        await self.shares(others[-1])
        began = time.monotonic()
        worker.process.send_signal(number)
        return await self.answered(self.produce(), began)


async def story(bench: Bench, labelled: int) -> dict[str, float]:
    await prepare(bench.settings)
    async with looking(bench.settings) as seen:
        found = await Story(bench, seen, count(labelled)).measure()
    return {"labelled": labelled, "session_timeout_seconds": SESSION_TIMEOUT, **found}


def measure(servers: Servers, job: Job) -> list[dict[str, float]]:
    return [one(servers, job, labelled) for labelled in LABELLED]


def one(servers: Servers, job: Job, labelled: int) -> dict[str, float]:
    Console(stderr=True).print(f"takeover with {labelled:,} labelled customers ...")
    with servers.bench(job, session_timeout=SESSION_TIMEOUT, prefix="") as bench:
        bench.redis.flushall()
        names = [f"C{number:07d}" for number in range(labelled)]
        fill(bench.redis, names, job, bench.settings.partitions, labelled=True)
        return asyncio.run(story(bench, labelled))


def show(rows: list[Mapping[str, float]], console: Console) -> None:
    table = Table(
        title="Seconds until every partition publishes",
        caption=f"a crash is noticed after the session timeout of {SESSION_TIMEOUT:g} s",
    )
    for title in ("labelled", "start", "handover", "crash"):
        table.add_column(title, justify="right")
    for row in rows:
        figures = (row[f"{name}_seconds"] for name in ("start", "handover", "crash"))
        table.add_row(f"{row['labelled']:,}", *(f"{figure:.1f}" for figure in figures))
    console.print(table)
