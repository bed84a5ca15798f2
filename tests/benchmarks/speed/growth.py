"""Growth: throughput and memory of ours as customers, tokens of an event and personas get more.

One of the three moves at a time, and the log has the same mix: as many assignments as the smallest
number of labelled customers. All customers of a case are in Redis with a history before the worker
starts, so that its records are of a usual size and its labelled customers are folded. The ceiling
reads the same log beside it: what its cost grows by, Redis and the machine's caches ask of anybody.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console

from tests.benchmarks.report import table
from tests.benchmarks.speed.job import EVERY, Job
from tests.benchmarks.speed.measure import SYSTEMS, Servers
from tests.benchmarks.speed.memory import used
from tests.benchmarks.speed.population import populate

CUSTOMERS = (1_000, 20_000, 200_000, 1_000_000)
TOKENS = (5, 10, 20, 50)
#: The fewest and the most that a taxonomy may have, and those that are advised.
PERSONAS = (2, 5, 12, 24)

Growth = dict[str, list[dict[str, Any]]]


def cases(job: Job, most: int) -> Iterator[tuple[str, Job]]:
    """What moves, and the job of each case; at most so many customers."""
    job = replace(job, assignments=CUSTOMERS[0] // EVERY)
    for customers in CUSTOMERS:
        if customers <= most:
            yield "customers", replace(job, customers=customers)
    for tokens in TOKENS:
        yield "tokens", replace(job, tokens=tokens)
    for personas in PERSONAS:
        yield "personas", replace(job, personas=personas)


def measure(servers: Servers, job: Job, seconds: float, most: int) -> Growth:
    found: Growth = {}
    for axis, case in cases(job, most):
        Console(stderr=True).print(f"growth: {getattr(case, axis):,} {axis} ...")
        found.setdefault(axis, []).append(one(servers, case, seconds, axis))
    return found


def one(servers: Servers, job: Job, seconds: float, axis: str) -> dict[str, Any]:
    with servers.bench(job) as bench:
        bench.load()
        bench.redis.flushall()
        populate(bench.redis, job, bench.settings.partitions)
        figures = bench.measured(bench.own(), SYSTEMS["ours"], job.events, seconds)
        memory = used(bench.redis)
        ceiling = bench.measured(bench.own(), SYSTEMS["ceiling"], job.events, seconds)
        bench.redis.flushall()
    return {
        axis: getattr(job, axis),
        "events": figures.events,
        "events_per_second": figures.rate,
        "cpu_seconds_per_million": figures.cpu,
        "ceiling_cpu_seconds_per_million": ceiling.cpu,
        "worker_peak_rss_mb": figures.peak_rss_mb,
        "redis_used_memory_mb": memory / 2**20,
        "redis_used_memory_bytes_per_customer": memory / job.customers,
        "model_bytes": figures.model_bytes,
    }


def show(growth: Mapping[str, list[dict[str, Any]]], console: Console) -> None:
    titles = ("events/s", "CPU", "ceiling's", "worker MB", "Redis MB", "bytes each", "model KB")
    caption = "CPU-seconds per million events, of the worker and of the ceiling on the same log"
    for axis, rows in growth.items():
        made = table(f"Growth: {axis}", axis, *titles, caption=caption)
        for row in rows:
            made.add_row(
                f"{row[axis]:,}", f"{row['events_per_second']:,.0f}",
                f"{row['cpu_seconds_per_million']:,.1f}",
                f"{row['ceiling_cpu_seconds_per_million']:,.1f}",
                f"{row['worker_peak_rss_mb']:,}",
                f"{row['redis_used_memory_mb']:,.0f}",
                f"{row['redis_used_memory_bytes_per_customer']:,.0f}",
                f"{row['model_bytes'] / 1_024:,.0f}",
            )  # fmt: skip
        console.print(made)
