"""Runs a system as a process of its own on the job's log, from nothing, and measures it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis

from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.benchmarks.speed.job import Job, produce
from tests.support.servers import settings_for, start_kafka, start_redis
from tests.support.shop import environment

ROOT = Path(__file__).parents[3]
#: The interpreter of the environment that the peers are installed in.
PEERS_PYTHON = ROOT / "build/bench-venv/bin/python"
#: Seconds beyond the measured ones that starting and ending a process may take.
PATIENCE = 120.0


@dataclass(frozen=True)
class System:
    """A module of this package; ``apart`` ones run in the peers' environment."""

    module: str
    apart: bool = False
    more: tuple[str, ...] = ()


SYSTEMS = {
    "ceiling": System("ceiling"),
    "ours": System("ours"),
    "plain_faust": System("plain_faust"),
    "quix": System("quix", apart=True),
    "bytewax": System("bytewax", apart=True),
}


@dataclass
class Figures:
    """Of one run: events, seconds of wall and CPU (also of the Redis server), megabytes, keys."""

    events: int
    seconds: float
    cpu_seconds: float
    start_rss_mb: int
    peak_rss_mb: int
    redis_cpu_seconds: float = 0.0
    customers: int = 0
    model_bytes: int = 0

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def cpu(self) -> float:
        """CPU-seconds per million events."""
        return 1e6 * self.cpu_seconds / self.events

    def report(self) -> dict[str, Any]:
        return {**asdict(self), "events_per_second": self.rate, "cpu_seconds_per_million": self.cpu}


@dataclass
class Bench:
    """Servers, and a job's log in the input topics of ``settings``."""

    settings: Settings
    redis: Redis
    job: Job
    folder: Path
    description: dict[str, str]
    peers_python: Path = PEERS_PYTHON
    runs: int = 0
    log_bytes: int = field(default=0)

    def load(self) -> None:
        """Produce the log."""
        asyncio.run(prepare(self.settings))
        self.log_bytes = produce(self.job, self.settings)

    def own(self, **changed: object) -> Settings:
        """The same input topics, and everything else of the next run's own."""
        self.runs += 1
        names = ("topic_changes", "topic_dead_letters", "topic_reroutes")
        apart = {name: f"{getattr(self.settings, name)}-{self.runs}" for name in names}
        group = f"{self.settings.group}-{self.runs}"
        values = {**self.settings.model_dump(), **apart, "group": group, "prefix": "", **changed}
        return Settings(_env_file=None, **values)

    def run(self, system: str, seconds: float, events: int | None = None) -> Figures:
        """One run from an empty Redis until the log or ``seconds`` are over."""
        self.redis.flushall()
        return self.measured(self.own(), SYSTEMS[system], events or self.job.events, seconds)

    def measured(self, own: Settings, system: System, events: int, seconds: float) -> Figures:
        asyncio.run(prepare(own))
        spent = self.redis_cpu()
        found = Figures(**self._process(own, system, events, seconds))
        found.redis_cpu_seconds = self.redis_cpu() - spent
        found.customers = sum(1 for _ in self.redis.scan_iter("persona:*", count=5_000))
        return found

    def _process(self, own: Settings, system: System, events: int, seconds: float) -> Any:
        python = self.peers_python if system.apart else Path(sys.executable)
        log = self.folder / f"{system.module}.log"
        command = [str(python), "-m", f"tests.benchmarks.speed.{system.module}"]
        command += ["--events", str(events), "--seconds", str(seconds), *system.more]
        with log.open("wb") as errors:
            ended = subprocess.run(
                command, env=environment(own), cwd=ROOT, stdout=subprocess.PIPE, stderr=errors,
                timeout=seconds + PATIENCE, check=False,
            )  # fmt: skip
        lines = ended.stdout.decode().splitlines()
        if ended.returncode or not lines:
            raise RuntimeError(f"{system.module} ended with {ended.returncode}:\n{tail(log)}")
        return json.loads(lines[-1])

    def redis_cpu(self) -> float:
        """CPU-seconds of the server until now."""
        info = self.redis.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3_000:]


@dataclass
class Servers:
    """A Kafka and a Redis that are there until the benchmark ends."""

    kafka: Any
    redis: Any

    @contextmanager
    def bench(self, job: Job, **changed: object) -> Iterator[Bench]:
        """A bench with a job's log on topics of its own."""
        changed = {"commit_interval": 1.0, "session_timeout": 30.0, **changed}
        with TemporaryDirectory() as folder, Redis.from_url(self.redis.url) as redis:
            path = job.write_taxonomy(Path(folder))
            settings = settings_for(self.kafka, self.redis.url, taxonomy=path, **changed)
            yield Bench(settings, redis, job, Path(folder), self.description)

    @property
    def description(self) -> dict[str, str]:
        return {"kafka": self.kafka.description, "redis": self.redis.description}


@contextmanager
def servers() -> Iterator[Servers]:
    kafka, redis = start_kafka(), start_redis()
    try:
        kafka.wait_until_ready()
        yield Servers(kafka, redis)
    finally:
        redis.close()
        kafka.close()
