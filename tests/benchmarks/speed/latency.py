"""Latency: from when an event was due to be produced to ``persona-changes``, and to Redis.

All customers are in Redis with a history, a twentieth of them labelled. ``load`` produces at 10,
50 and 80 % of what the worker was measured to do. Its probes are assignments of customers that
without a record: each leads to exactly one change and one public record. A consumer of
``persona-changes`` sees the one, a subscriber of Redis's keyspace notifications the other. What a
load leaves unread is waited for before the next one. Producer, worker, Kafka, Redis and the two
readers share the machine. The ceiling, which publishes each assignment as it comes, is measured
in the same way and at the same rates: it shows what of a latency is the machine's.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer
from redis.asyncio import Redis
from rich.console import Console

from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.benchmarks.report import table
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.measure import ROOT, Bench, Servers
from tests.benchmarks.speed.population import populate
from tests.support.shop import WorkerProcess, environment
from tests.support.waiting import eventually

SHARES = (0.1, 0.5, 0.8)
#: Probes a second; 1,000 and more make the last of the percentiles one of several.
PROBES = 20.0
#: Seconds of load before probes count (until the broker's JVM has compiled what it does most), and
#: how long a straggler is waited for.
WARM, PATIENCE = 30.0, 300.0
PERCENTILES = {"p50": 50.0, "p99": 99.0, "p99_9": 99.9}
#: What is measured, and how it is run; ours last, so that its broker is the warmer one.
PROGRAMS = {
    "ceiling": ("-m", "tests.benchmarks.speed.ceiling", "--answer", "--events", "1000000000",
                "--seconds", "1000000"),
    "ours": ("-m", "stream_persona", "worker"),
}  # fmt: skip
#: Warm-up's and each share's probes have numbers of their own.
_APART = 1_000_000


@dataclass
class Seen:
    """When the probes' changes and public records were seen, in seconds, by customer."""

    changes: dict[str, float] = field(default_factory=dict)
    records: dict[str, float] = field(default_factory=dict)

    async def read_changes(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            for batch in (await consumer.getmany(timeout_ms=1_000)).values():
                at = time.monotonic()
                for raw in batch:
                    if raw.key.startswith(b"P"):
                        self.changes.setdefault(raw.key.decode(), at)

    async def read_records(self, redis: Redis) -> None:
        async with redis.pubsub() as listener:
            await listener.psubscribe("__keyspace@*__:persona:P*")
            async for message in listener.listen():
                if message["type"] == "pmessage":
                    name = message["channel"].decode().rpartition(":")[2]
                    self.records.setdefault(name, time.monotonic())


@asynccontextmanager
async def looking(settings: Settings) -> AsyncIterator[Seen]:
    seen = Seen()
    async with Redis.from_url(settings.redis_url) as redis:
        await redis.config_set("notify-keyspace-events", "K$")
        consumer = AIOKafkaConsumer(settings.topic_changes, bootstrap_servers=settings.brokers)
        await consumer.start()
        tasks = [
            asyncio.create_task(seen.read_changes(consumer)),
            asyncio.create_task(seen.read_records(redis)),
        ]
        try:
            yield seen
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await consumer.stop()
            await redis.config_set("notify-keyspace-events", "")


async def load(settings: Settings, job: Job, rate: float, seconds: float, first: int) -> Any:
    """Run the producer; when each probe was due."""
    options = {"rate": rate, "seconds": seconds, "probes": PROBES, "first": first,
               "customers": job.customers, "personas": job.personas}  # fmt: skip
    command = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.speed.load", *command,
        cwd=ROOT, env=environment(settings), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await process.communicate()
    return json.loads(printed)


async def probed(
    bench: Bench, capacity: float, seconds: float, program: Sequence[str]
) -> dict[str, Any]:
    own = bench.settings
    await prepare(own)
    worker = WorkerProcess(own, bench.folder / "worker.log", program)
    try:
        async with looking(own) as seen:
            warm = await load(own, bench.job, SHARES[0] * capacity, WARM, _APART)
            await arrived(seen, warm)
            found = {}
            for number, share in enumerate(SHARES, 2):
                Console(stderr=True).print(f"latency at {share:.0%} of {capacity:,.0f} a second")
                due = await load(own, bench.job, share * capacity, seconds, number * _APART)
                await arrived(seen, due)
                found[f"{share:.0%}"] = row(share * capacity, due, seen)
    finally:
        worker.stop()
    return found


async def arrived(seen: Seen, due: Mapping[str, float]) -> None:
    """Wait for all probes; a few that never come are counted as missing."""
    with suppress(AssertionError):
        await eventually(lambda: due.keys() <= seen.changes.keys() & seen.records.keys(), PATIENCE)


def row(rate: float, due: Mapping[str, float], seen: Seen) -> dict[str, Any]:
    return {
        "events_per_second": rate,
        "probes": len(due),
        "persona_changes": percentiles(due, seen.changes),
        "redis_record": percentiles(due, seen.records),
    }


def percentiles(due: Mapping[str, float], seen: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds."""
    times = [1_000 * (seen[name] - at) for name, at in due.items() if name in seen]
    figures = {name: float(np.percentile(times, of)) for name, of in PERCENTILES.items()}
    return {**figures, "missing": len(due) - len(times)}


def measure(servers: Servers, job: Job, capacity: float, seconds: float) -> dict[str, Any]:
    """Latencies in milliseconds at shares of ``capacity``, which is in events a second."""
    found = {}
    for name, program in PROGRAMS.items():
        with servers.bench(job, prefix="") as bench:
            bench.redis.flushall()
            populate(bench.redis, job, bench.settings.partitions)
            found[name] = asyncio.run(probed(bench, capacity, seconds, program))
    return {
        share: {**row, "ceiling": found["ceiling"][share]} for share, row in found["ours"].items()
    }


def show(latency: Mapping[str, Any], console: Console) -> None:
    title = "Latency in milliseconds, at shares of one worker's capacity"
    made = table(title, "", "events/s", "to", "of", "p50", "p99", "p99.9", "probes", "missing")
    for share, found in latency.items():
        for name in ("persona_changes", "redis_record"):
            for system, own in (("ours", found), ("the ceiling", found["ceiling"])):
                made.add_row(
                    share, f"{own['events_per_second']:,.0f}", name.replace("_", "-"), system,
                    *(f"{own[name][of]:,.1f}" for of in PERCENTILES),
                    f"{own['probes']:,}", f"{own[name]['missing']:,}",
                )  # fmt: skip
    console.print(made)
