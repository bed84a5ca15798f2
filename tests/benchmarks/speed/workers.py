"""Two workers beside one: what an event costs the CPU when the partitions are shared.

All workers share one core, so that two of them have what one has and the servers the others: with a
core for each, what would be compared on a small machine is how many processes fight for it. They
stand ready and are stopped while the log is produced, since it is read in smaller pieces while
it grows. A run ends when their group has committed all of it; CPU is the workers' alone.
"""

import asyncio
import os
import re
import signal
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, cast

from rich.console import Console

from stream_persona.worker.startup import prepare
from tests.benchmarks.report import table
from tests.benchmarks.speed.job import Job, produce
from tests.benchmarks.speed.measure import Bench, Servers
from tests.benchmarks.speed.meter import resident, spent
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually

NUMBERS = (1, 2)
PATIENCE = 300.0

Turn = dict[int, dict[str, float]]


def measure(servers: Servers, job: Job, turns: int) -> dict[str, Any]:
    """Each number of workers ``turns`` times, in turns; ratios are within a turn."""
    found: list[Turn] = []
    for turn in range(turns):
        numbers = NUMBERS if turn % 2 == 0 else NUMBERS[::-1]
        found.append({number: one(servers, job, number) for number in numbers})
        Console(stderr=True).print(f"workers, turn {turn + 1}: {found[-1]}")
    figures: dict[str, Any] = {str(number): summary(number, found) for number in NUMBERS}
    one_worker, two = NUMBERS
    ratios = [
        turn[two]["cpu_seconds_per_million"] / turn[one_worker]["cpu_seconds_per_million"]
        for turn in found
    ]
    return {**figures, "cpu_ratio": median(ratios), "cpu_ratio_spread": [min(ratios), max(ratios)]}


def summary(number: int, turns: Sequence[Turn]) -> dict[str, float]:
    return {name: median(turn[number][name] for turn in turns) for name in turns[0][number]}


def one(servers: Servers, job: Job, number: int) -> dict[str, float]:
    with servers.bench(job) as bench:
        bench.redis.flushall()
        return asyncio.run(run(bench, number))


async def run(bench: Bench, number: int) -> dict[str, float]:
    settings = bench.settings
    await prepare(settings)
    logs = [bench.folder / f"worker-{i}.log" for i in range(number)]
    workers = [WorkerProcess(settings, log) for log in logs]
    for worker in workers:  # before it has threads, which inherit it
        os.sched_setaffinity(worker.process.pid, {min(os.sched_getaffinity(0))})
    share = settings.partitions // number

    def ready() -> bool:
        claimed = [set(re.findall(r"own partition (\d+)", log.read_text())) for log in logs]
        shared = all(len(own) >= share for own in claimed)
        return shared and len(set.union(*claimed)) == settings.partitions

    try:
        await eventually(ready, PATIENCE, "the partitions were not shared")
        for worker in workers:
            worker.process.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(produce, bench.job, settings)
        before, began = [spent(worker.process.pid) for worker in workers], time.monotonic()
        for worker in workers:
            worker.process.send_signal(signal.SIGCONT)
        await Shop(settings, cast("Any", bench.redis)).at_rest(PATIENCE)  # which asks Kafka alone
        took = time.monotonic() - began
        after = [spent(worker.process.pid) for worker in workers]
        memory = [resident("VmHWM", worker.process.pid) for worker in workers]
    finally:
        for worker in workers:
            worker.process.send_signal(signal.SIGCONT)
            worker.stop()
    cpu = sum(after) - sum(before)
    return {
        "events_per_second": bench.job.events / took,
        "cpu_seconds_per_million": 1e6 * cpu / bench.job.events,
        "least_share": min(b - a for a, b in zip(before, after, strict=True)) / cpu,
        "peak_rss_mb": max(memory),
    }


def show(found: dict[str, Any], console: Console) -> None:
    low, high = found["cpu_ratio_spread"]
    caption = f"two against one, CPU an event: {found['cpu_ratio']:.2f} ({low:.2f} - {high:.2f})"
    titles = ("events/s", "CPU-s/million", "least share of CPU", "MB each")
    made = table("Workers of one group, medians over the turns", "", *titles, caption=caption)
    for number in NUMBERS:
        row = found[str(number)]
        made.add_row(
            str(number), f"{row['events_per_second']:,.0f}",
            f"{row['cpu_seconds_per_million']:.1f}", f"{row['least_share']:.2f}",
            f"{row['peak_rss_mb']:,.0f}",
        )  # fmt: skip
    console.print(made)
