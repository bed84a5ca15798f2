"""The servers that every process of one run of pytest shares.

With pytest-xdist the tests run in worker processes. Each of them requests the servers that the
collected tests need; the process that pytest was started as starts these, before any test runs,
and ends them. They find each other through a folder that only this run has.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from tests.support.kafka_node import START_SECONDS, answers
from tests.support.servers import Kafka, Redis, start_kafka, start_redis
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class SharedKafka:
    """Where the run's broker is; only one test at a time may use its ``proxied`` listener."""

    kind: Literal["kafka", "named", "embedded"]
    brokers: str
    description: str
    proxied: int | None = None
    proxy: int | None = None
    log: str | None = None

    @classmethod
    def of(cls, server: Kafka) -> "SharedKafka":
        found = [getattr(server, name, None) for name in ("proxied", "proxy", "log")]
        log = found.pop()
        return cls(server.kind, server.brokers, server.description, *found, log and str(log))

    def wait_until_ready(self) -> None:
        try:
            wait_until(lambda: answers(self.brokers), START_SECONDS)
        except AssertionError:
            log = Path(self.log).read_text(errors="replace")[-2_000:] if self.log else ""
            raise RuntimeError(f"No Kafka answers at {self.brokers}\n{log}") from None

    def close(self) -> None:
        """The process that started it ends it."""


@dataclass(frozen=True)
class SharedRedis:
    """Where the run's Redis is."""

    kind: Literal["redis", "cluster", "named", "embedded"]
    url: str
    description: str

    @classmethod
    def of(cls, server: Redis) -> "SharedRedis":
        return cls(server.kind, server.url, server.description)

    def close(self) -> None:
        """The process that started it ends it."""


#: For each fixture that is a server: how it is started.
STARTS: Final[dict[str, Callable[[], Kafka | Redis]]] = {
    "kafka": start_kafka,
    "redis_server": start_redis,
}


class SharedServers:
    """Starts the servers that were requested, and finds them from every process of the run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: dict[str, Kafka | Redis] = {}

    def request(self, fixtures: Iterable[str]) -> None:
        """Request the servers among the names of these fixtures."""
        for name in STARTS.keys() & set(fixtures):
            (self.folder / f"{name}.requested").touch()

    def start(self) -> None:
        """Start what was requested and does not run yet; a Kafka may still be starting."""
        for name, start in STARTS.items():
            if name not in self._started and (self.folder / f"{name}.requested").exists():
                self._started[name] = server = start()
                shared = SharedKafka.of(server) if name == "kafka" else SharedRedis.of(server)
                (self.folder / f"{name}.json").write_text(json.dumps(asdict(shared)))

    def kafka(self) -> SharedKafka:
        """Return the broker, ready."""
        server = SharedKafka(**json.loads((self.folder / "kafka.json").read_text()))
        server.wait_until_ready()
        return server

    def redis(self) -> SharedRedis:
        """Return the Redis server, ready."""
        return SharedRedis(**json.loads((self.folder / "redis_server.json").read_text()))

    def descriptions(self) -> list[str]:
        """Describe each server that this process has started, in a line."""
        titles = {"kafka": "Kafka", "redis_server": "Redis"}
        return [f"{titles[name]}: {server.description}" for name, server in self._started.items()]

    def close(self) -> None:
        """End what this process has started."""
        for server in self._started.values():
            server.close()
