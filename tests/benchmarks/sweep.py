"""``make bench-sweep``: how long a million idle shoppers take to follow the model.

A real Redis holds the private and public records of ``--shoppers`` shoppers that send nothing. The
model moves, and one worker's sweep scores all of them again, at the default rate and unbounded.
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

from redis.asyncio import Redis
from rich.console import Console
from rich.progress import track
from rich.table import Table

from stream_persona.demo.simulator import Simulator
from stream_persona.domain import taxonomy
from stream_persona.domain.record import Record
from stream_persona.domain.record_seal import seal
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.estimator import derive
from stream_persona.pipeline import process
from stream_persona.pipeline.messages import encode_public_record
from stream_persona.settings import Settings
from stream_persona.store.blas import limit_blas_threads
from stream_persona.store.redis import RedisTables
from stream_persona.worker.metrics import Metrics
from stream_persona.worker.worker import Worker
from tests.support.processing import record_content
from tests.support.servers import start_redis
from tests.support.workers import InMemoryLog, RecordingPublisher

REPORT = Path("build/reports/bench-sweep.json")
TAXONOMY = taxonomy.load(None)
KINDS_OF_SHOPPER = 500
EVENTS = 20
WRITE = 2_000


def shoppers() -> list[Record]:
    """Records of different shoppers after some events, as a worker has left them."""
    tokenizer = Tokenizer(TAXONOMY)
    simulator = Simulator(TAXONOMY, shoppers=KINDS_OF_SHOPPER, seed=1)
    times = (1_764_000_000_000 + i * 60_000 for i in range(KINDS_OF_SHOPPER * EVENTS))
    events = [
        process.Delivery.of(event, kind, 0, offset)
        for offset, (kind, event) in enumerate(simulator.generate_events(times))
    ]
    weights = derive(PersonaClassifier(), TAXONOMY.names)
    outcome = process.process_batch(events, {}, weights, TAXONOMY, tokenizer, 0)
    return list(outcome.records.values())


def rows(number: int) -> Iterator[dict[str, bytes]]:
    """Keys and values of ``number`` shoppers, some thousand at a time."""
    known = shoppers()
    contents = [record_content(record, TAXONOMY.fingerprint) for record in known]
    for start in range(0, number, WRITE):
        found = {}
        for n in range(start, min(start + WRITE, number)):
            kind, name = n % len(known), f"C{n:07d}"
            found[f"persona-state:{name}"] = seal(name, contents[kind])
            published = known[kind].published
            if published is not None:
                found[f"persona:{name}"] = encode_public_record(name, published)
        yield found


async def fill(redis: Redis, number: int) -> None:
    steps = track(rows(number), "storing", total=number // WRITE, console=Console(stderr=True))
    for found in steps:
        await redis.mset(found)


async def swept(worker: Worker, *, paced: bool) -> dict[str, float]:
    """One whole pass, with the pauses that a worker makes or as fast as it goes."""
    began, cpu, scored, oldest = time.perf_counter(), time.process_time(), 0, 0.0
    while True:
        number = await worker.sweep()
        if not worker.sweeping:
            break
        scored += number
        oldest = max(oldest, worker.age)
        if paced:
            await asyncio.sleep(worker.sweep_pause)
    seconds = time.perf_counter() - began
    return {
        "shoppers": scored,
        "seconds": seconds,
        "shoppers_per_second": scored / seconds,
        "cpu_us_per_shopper": 1e6 * (time.process_time() - cpu) / max(scored, 1),
        "oldest_record_seconds": oldest,
    }


async def measure(number: int, url: str) -> dict[str, dict[str, float]]:
    limit_blas_threads()
    settings = Settings(_env_file=None, redis_url=url)
    tables = RedisTables.connect(url)
    worker = Worker(settings, TAXONOMY, tables, RecordingPublisher(), InMemoryLog(), Metrics())
    async with Redis.from_url(url) as redis:
        await fill(redis, number)
    await worker.assign(range(settings.partitions))
    report = {}
    for name, paced in (("as fast as it goes", False), ("at the default rate", True)):
        await move(worker)
        report[name] = await swept(worker, paced=paced)
    await tables.close()
    return report


async def move(worker: Worker) -> None:
    """A few more labelled customers: the model is another one."""
    rng = random.Random(worker.weights.customers)
    sums = next(iter(worker.partitions.held.values())).shard.sums
    for _ in range(3):
        name = rng.choice(TAXONOMY.names)
        sums.learn_one({"events": 5.0, f"category:{rng.random()}": 2.0}, name)
    for owned in worker.partitions.held.values():
        owned.moved = owned.unsaved = True
    await worker.refresh()


def show(report: dict[str, dict[str, float]]) -> None:
    table = Table(title="One worker's sweep over idle shoppers")
    for column in ("", *next(iter(report.values()))):
        table.add_column(column.replace("_", " "), justify="right" if column else "left")
    for name, row in report.items():
        table.add_row(name, *(f"{value:,.0f}" for value in row.values()))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shoppers", type=int, default=1_000_000)
    options = parser.parse_args()
    server = start_redis()
    try:
        report = asyncio.run(measure(options.shoppers, server.url))
    finally:
        server.close()
    show(report)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
