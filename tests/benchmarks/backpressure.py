"""``make bench-backpressure``: a worker's memory and pace before a Redis or a broker that is slow.

The events are in the topics before a worker starts, so nothing but its own limits keeps it from
reading all of them at once. Each case runs a real worker process, as a group of its own, with a
proxy before one of the servers: every reply comes late for ``--window`` seconds, or nothing passes
for ``--silence`` seconds in the middle of the work; then the server is well again and the worker
reads to the end. Every case must end in the records that one process folds from the topics.
"""

import argparse
import asyncio
import itertools
import json
import logging
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from stream_persona.demo.simulator import Simulator
from stream_persona.domain import record_codec, taxonomy
from stream_persona.domain.events import Assignment, encode
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.support.kafka_node import RealKafka
from tests.support.servers import settings_for, start_redis
from tests.support.shop import Shop, WorkerProcess
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import eventually

REPORT = Path("build/reports/bench-backpressure.json")
TAXONOMY = taxonomy.load(None)
BEGAN = 1_764_000_000_000
SAMPLE = 0.25
#: Seconds in which a worker must have read everything once its servers are well.
DEADLINE = 600.0


@dataclass(frozen=True)
class Case:
    """Which server is slow, by how many seconds a reply, or for how many it is silent."""

    server: str
    delay: float = 0.0
    silence: float = 0.0

    def __str__(self) -> str:
        if self.silence:
            return f"{self.server} silent for {self.silence:g} s"
        return f"{self.server} +{1_000 * self.delay:g} ms" if self.delay else "no delay"


@dataclass
class Meter:
    """What a worker was seen to do: seconds, megabytes of resident memory, events committed."""

    process: int
    consumer: AIOKafkaConsumer
    tps: list[TopicPartition]
    total: int
    began: float = field(default_factory=time.perf_counter)
    samples: list[tuple[float, float, int]] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.samples[-1][2] if self.samples else 0

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            found = await asyncio.gather(*(self.consumer.committed(tp) for tp in self.tps))
            at = time.perf_counter() - self.began
            self.samples.append((at, memory(self.process, "VmRSS"), sum(n or 0 for n in found)))
            await asyncio.sleep(SAMPLE)

    async def reads(self, events: int, seconds: float = DEADLINE) -> None:
        await eventually(lambda: self.done >= events, seconds, f"stuck after {self.done} events")

    def pace(self, start: float, end: float) -> float:
        """Events a second between two times."""
        seen = [(at, done) for at, _, done in self.samples if start <= at <= end]
        if len(seen) < 2:
            return 0.0
        return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])

    def now(self) -> float:
        return time.perf_counter() - self.began


def memory(process: int, what: str) -> float:
    """Megabytes: ``VmRSS`` is what a process holds now, ``VmHWM`` the most it has held."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1_024
    return 0.0


def messages(number: int, shoppers: int, padding: int) -> Iterator[tuple[int, str, bytes]]:
    """Kind, customer and value; ``padding`` bytes are in a field that is not read."""
    rng = random.Random(1)
    more = b',"padding":"' + b"x" * padding + b'"}' if padding else b"}"
    simulator = Simulator(TAXONOMY, shoppers=shoppers, seed=1)
    for count in range(shoppers // 10):
        name = f"SIM-{rng.randrange(shoppers) + 1:05d}"
        given = Assignment(f"a{count}", name, BEGAN + count, rng.choice(TAXONOMY.names))
        yield 3, name, encode(given)
    times = (BEGAN + i * 1_000 for i in itertools.count())
    for kind, event in itertools.islice(simulator.generate_events(times), number - shoppers // 10):
        yield kind, event.customer_id, encode(event)[:-1] + more


async def fill(shop: Shop, options: argparse.Namespace) -> None:
    made = messages(options.events, options.shoppers, options.padding)
    while chunk := list(itertools.islice(made, 10_000)):
        topics = shop.settings.input_topics
        await shop.produce_raw([(topics[kind], name, value) for kind, name, value in chunk])


def own(settings: Settings, number: int, **changed: object) -> Settings:
    """The same input topics, and everything else of a case's own."""
    names = ("topic_changes", "topic_dead_letters", "topic_reroutes")
    apart = {name: f"{getattr(settings, name)}-{number}" for name in names}
    kept = {"group": f"{settings.group}-{number}", "prefix": f"{settings.prefix}{number}:"}
    return Settings(_env_file=None, **{**settings.model_dump(), **apart, **kept, **changed})


@asynccontextmanager
async def metered(worker: WorkerProcess, settings: Settings) -> AsyncIterator[Meter]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.brokers, group_id=settings.group, enable_auto_commit=False
    )
    topics = settings.input_topics
    tps = [TopicPartition(t, p) for t in topics for p in range(settings.partitions)]
    await consumer.start()
    consumer.assign(tps)
    total = sum((await consumer.end_offsets(tps)).values())
    meter = Meter(worker.process.pid, consumer, tps, total)
    looking = asyncio.create_task(meter.run())
    try:
        yield meter
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        await consumer.stop()


async def troubled(
    case: Case, meter: Meter, proxy: SlowProxy, window: float
) -> tuple[float, float]:
    """Let the worker work while its server is not well; from when to when that was."""
    if case.silence:
        await meter.reads(meter.total // 4)
        proxy.freeze()
        start = meter.now()
        await asyncio.sleep(case.silence)
        proxy.unfreeze()
    else:
        await meter.reads(1)
        start = meter.now()
        with suppress(AssertionError):
            await meter.reads(meter.total, window)
        proxy.delay = 0.0
    return start, meter.now()


async def measured(
    case: Case, settings: Settings, slow: Settings, proxy: SlowProxy, window: float
) -> tuple[Meter, dict[str, Any]]:
    """One worker with the settings ``slow`` from the first event to the last."""
    await prepare(settings)
    proxy.delay = case.delay
    with TemporaryDirectory() as folder:
        worker = WorkerProcess(slow, Path(folder, "worker.log"))
        try:
            async with metered(worker, settings) as meter:
                start, end = await troubled(case, meter, proxy, window)
                left = meter.total - meter.done
                await meter.reads(meter.total)
                peak = memory(worker.process.pid, "VmHWM")
        except Exception:
            print((Path(folder, "worker.log")).read_text()[-3_000:])
            raise
        finally:
            worker.stop(signal.SIGKILL)
    read = meter.samples[-1][0]
    return meter, {
        "peak_rss_mb": round(peak, 1),
        "events_per_second": round(meter.pace(start, end)),
        "lag_at_the_end_of_it": left,
        "events_per_second_afterwards": round(meter.pace(end, read)),
        "seconds": round(read, 1),
        "the_worker_never_ended": worker.process.returncode == -signal.SIGKILL,
    }


async def compare(options: argparse.Namespace, kafka: RealKafka, url: str) -> dict[str, Any]:
    base = settings_for(kafka, url)
    await prepare(base)
    redis_port = urlsplit(url).port or 6379
    cases = [Case("redis"), *(Case("redis", delay) for delay in options.delays)]
    cases += [Case("redis", silence=options.silence), Case("kafka", silence=options.silence)]
    cases += [Case("kafka", delay) for delay in options.delays]
    report: dict[str, Any] = {}
    async with (
        Redis.from_url(url) as redis,
        SlowProxy("127.0.0.1", redis_port) as before_redis,
        SlowProxy.of_kafka(kafka) as before_kafka,
    ):
        await fill(Shop(base, redis), options)
        mark = TAXONOMY.fingerprint
        oracle = await Shop(base, redis).oracle()
        expected = {
            name: record_codec.encode_folded(record, mark) for name, record in oracle.items()
        }
        for number, case in enumerate(cases):
            settings = own(base, number)
            before = before_redis if case.server == "redis" else before_kafka
            slow = {"redis_url": f"redis://{before.address}/0"}
            if case.server == "kafka":
                slow = {"brokers": before.address}
            Console(stderr=True).print(f"{case} ...")
            meter, row = await measured(
                case, settings, own(base, number, **slow), before, options.window
            )
            found = await Shop(settings, redis).folded()
            row["records_as_folded_in_one_process"] = found == expected
            row["samples"] = [(round(at, 2), round(mb), done) for at, mb, done in meter.samples]
            report[str(case)] = row
    return report


def show(report: dict[str, Any]) -> None:
    table = Table(title="A worker before slow servers")
    titles = ("", "MB", "ratio", "events/s", "lag", "after", "same")
    for title in titles:
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    first = next(iter(report.values()))["peak_rss_mb"]
    for name, row in report.items():
        row["peak_rss_to_no_delay"] = round(row["peak_rss_mb"] / first, 3)
        table.add_row(
            name, f"{row['peak_rss_mb']:,.0f}", f"{row['peak_rss_to_no_delay']:.2f}",
            f"{row['events_per_second']:,}", f"{row['lag_at_the_end_of_it']:,}",
            f"{row['events_per_second_afterwards']:,}",
            "yes" if row["records_as_folded_in_one_process"] else "NO",
        )  # fmt: skip
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--shoppers", type=int, default=20_000)
    parser.add_argument("--padding", type=int, default=0, help="more bytes of each event")
    parser.add_argument("--delays", type=float, nargs="*", default=[0.02, 0.2], help="seconds")
    parser.add_argument("--window", type=float, default=20.0, help="seconds of being slow")
    parser.add_argument("--silence", type=float, default=15.0, help="seconds of silence")
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # topics that were made just now
    kafka, redis = RealKafka(), start_redis()
    try:
        kafka.wait_until_ready()
        report = asyncio.run(compare(options, kafka, redis.url))
    finally:
        redis.close()
        kafka.close()
    show(report)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    written = {"options": vars(options), "cases": report}
    REPORT.write_text(json.dumps(written, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
