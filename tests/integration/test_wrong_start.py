"""Processes that can't work end with 2 and one sentence, soon: no traceback, no silence.

``tests/unit/cli/test_wrong_settings.py`` has every setting; here are those ends that only a server,
or the start of a service, can tell.
"""

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.asyncio import Redis

from stream_persona.demo.embedded import EmbeddedRedis
from stream_persona.domain.record import Record
from stream_persona.domain.record_codec import encode_records
from stream_persona.settings import Settings
from tests.support.commands import Ended
from tests.support.events import quick_shop
from tests.support.faulty_deployment import Worker
from tests.support.servers import Kafka, client_of, settings_for
from tests.support.shop import environment
from tests.support.waiting import patience

#: Seconds that a process may take to end: it starts in some.
PATIENCE = 60.0
WRONG = "tests.support.wrong_classifiers"


@dataclass(frozen=True)
class Case:
    """Settings, or stored keys, that a command can't work with, and a part of its sentence."""

    sentence: str
    wrong: dict[str, object] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    database: int = 0


ANY = [
    Case("STREAM_PERSONA_MODEL: the model ", {"model": f"{WRONG}:Silent"}),
    Case("_BROWSES name the same topic", {"topic_browses": "a", "topic_purchases": "a"}),
    Case("STREAM_PERSONA_REDIS_URL: the server has no such database", database=99),
    Case(
        "another program uses keys of this deployment; set STREAM_PERSONA_PREFIX to a name of its",
        stored={"persona-names": b"theirs"},
    ),
    Case(
        "overlap: a customer's key in the one may be a key of the other",
        stored={"persona:persona-deployment": b"{}"},
    ),
    Case(
        "stored records were folded with another half-life or epoch origin than the taxonomy's",
        stored={"persona-state:c": encode_records({"c": Record()}, quick_shop().fingerprint)["c"]},
    ),
]
CASES = {
    "worker": [
        *ANY,
        Case("STREAM_PERSONA_CHALLENGERS: ", {"challengers": f"{WRONG}:Unlearning"}),
        Case("STREAM_PERSONA_METRICS_HOST: can't listen", {"metrics_host": "host.invalid"}),
        Case("STREAM_PERSONA_REPLICATION: 9 replicas take as many", {"replication": 9}),
    ],
    "api": [
        *ANY,
        Case(
            "STREAM_PERSONA_API_HOST: can't",
            {"api_host": "192.0.2.1", "api_keys": "a-key-of-16-bytes-or-more"},
        ),
        Case("STREAM_PERSONA_API_KEYS: set at least one key", {"api_host": "0.0.0.0"}),
    ],
}


async def store(redis_url: str, values: Mapping[str, bytes]) -> None:
    async with client_of(redis_url) as redis:
        for key, value in values.items():
            await redis.set(key, value)


def settings_of(case: Case, kafka: Kafka, redis_url: str) -> Settings:
    """Store what the case says, and return its settings."""
    settings = settings_for(kafka, redis_url)
    asyncio.run(
        store(redis_url, {settings.prefix + key: each for key, each in case.stored.items()})
    )
    url = f"{redis_url.rpartition('/')[0]}/{case.database}"
    return settings.model_copy(update={"redis_url": url, **case.wrong})


@pytest.fixture
def signals() -> Iterator[None]:
    """Give back the signals, which a service takes."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("command", "case"),
    [(command, case) for command, cases in CASES.items() for case in cases],
    ids=lambda given: given.sentence if isinstance(given, Case) else given,
)
def test_a_wrong_start_ends_with_2_and_one_sentence(
    command: str,
    case: Case,
    real_kafka: Kafka,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    signals: None,
) -> None:
    for name, value in environment(settings_of(case, real_kafka, settings.redis_url)).items():
        monkeypatch.setenv(name, value)
    ended = Ended(capsys, command)
    assert ended.code == 2, ended.err
    assert len(ended.err.splitlines()) == 1, ended.err
    assert case.sentence in ended.err


@pytest.mark.parametrize("command", CASES)
def test_a_process_that_cannot_start_ends_by_itself(
    real_kafka: Kafka, settings: Settings, command: str
) -> None:
    case = CASES[command][-1]
    ended = subprocess.run(
        [sys.executable, "-m", "stream_persona", command],
        env=environment(settings_of(case, real_kafka, settings.redis_url)),
        capture_output=True,
        text=True,
        check=False,
        timeout=patience(PATIENCE),
    )
    assert ended.returncode == 2, ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert case.sentence in ended.stderr


#: A worker that looks at Redis all the time, not each minute.
ATTENTIVE = """
from stream_persona.cli.main import main
from stream_persona.store import redis_health
redis_health.LOOK_SECONDS = 0.2
main(["worker"])
"""


@pytest.fixture
def own_server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(shutil.which("redis-server"), ["--appendonly", "yes"]) as server:
        yield server


@pytest.fixture
async def own_redis(own_server: EmbeddedRedis) -> AsyncIterator[Redis]:
    async with Redis.from_url(own_server.url) as redis:
        yield redis


@pytest.fixture
def start(
    kafka: Kafka, own_server: EmbeddedRedis, tmp_path: Path
) -> Iterator[Callable[[], Worker]]:
    started: list[Worker] = []

    def start() -> Worker:
        log = tmp_path / f"worker-{len(started)}.log"
        settings = settings_for(kafka, own_server.url)
        started.append(Worker(settings, log, program=("-c", ATTENTIVE)))
        return started[-1]

    yield start
    for worker in started:
        worker.stop(9)


@pytest.mark.faults
async def test_a_worker_refuses_a_redis_that_evicts_at_its_start_and_when_it_is_changed(
    start: Callable[[], Worker], own_redis: Redis
) -> None:
    await own_redis.config_set("maxmemory-policy", "allkeys-lru")
    await start().ends("may evict keys (its maxmemory-policy is allkeys-lru)", code=2, seconds=60)
    await own_redis.config_set("maxmemory-policy", "noeviction")
    worker = start()
    await worker.logs("metrics on http")
    await own_redis.config_set("appendonly", "no")
    await worker.logs("keeps nothing on disk")
    await own_redis.config_set("maxmemory-policy", "volatile-ttl")
    await worker.ends("may evict keys (its maxmemory-policy is volatile-ttl)", code=2, seconds=60)
