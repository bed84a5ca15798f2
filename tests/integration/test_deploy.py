"""The very commands of docker-compose.yml, run as processes against the test's own servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from stream_persona.demo.embedded import find_free_port
from stream_persona.settings import Settings
from tests.support.servers import Kafka, Redis, declare_topics, topics_of, wait_until
from tests.support.waiting import patience

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
START_SECONDS = 60.0
STOP_SECONDS = 30.0


class Process:
    """A running command, with what it has printed so far."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self._log = log

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, look: Callable[[], str | None]) -> str:
        """Call ``look`` until it finds something or the process has ended; return what it found."""
        found: list[str] = []

        def looked() -> bool:
            found.extend(filter(None, [look()]))
            return bool(found) or self._popen.poll() is not None

        wait_until(looked, START_SECONDS, "not healthy in time")
        assert found, f"it ended with code {self._popen.returncode}"
        return found[0]

    def exit_code_after_sigterm(self) -> int:
        self._popen.terminate()
        return self._popen.wait(patience(STOP_SECONDS))


@contextmanager
def running(service: str, folder: Path, own: Mapping[str, str]) -> Iterator[Process]:
    """The command of a service with its environment, in which ``own`` replaces what differs."""
    environment = {
        **os.environ,
        **SERVICES[service]["environment"],
        **{f"STREAM_PERSONA_{name.upper()}": value for name, value in own.items()},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    log = folder / f"{service}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            SERVICES[service]["command"],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Process(popen, log)
        finally:
            popen.kill()
            popen.wait()
            print(log.read_text(errors="replace"))


def answer(url: str) -> str | None:
    """Return the body of a good answer; None while there is none."""
    try:
        response = httpx.get(url, timeout=patience(5))
    except httpx.TransportError:
        return None
    return response.text if response.is_success else None


@pytest.fixture
async def own(settings: Settings, kafka: Kafka, redis_server: Redis) -> dict[str, str]:
    """The test's own servers and names, and the taxonomy that is mounted by default."""
    if not settings.declare_topics:
        await declare_topics(kafka, topics_of(settings), settings.partitions)
    mounted = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", SERVICES["worker"]["volumes"][0]).split(":")[0]
    unique = settings.model_dump(mode="json", exclude={"taxonomy"}, exclude_none=True)
    return {name: str(value) for name, value in unique.items()} | {
        "brokers": kafka.brokers,
        "redis_url": redis_server.url,
        "taxonomy": str(ROOT / mounted),
    }


def test_the_workers_command_serves_its_metrics_and_leaves_on_sigterm(
    tmp_path: Path, own: dict[str, str]
) -> None:
    with running("worker", tmp_path, own | {"metrics_port": "0"}) as worker:

        def address() -> str | None:
            logged = re.search(r"metrics on (http://127\.0\.0\.1:\d+/metrics)", worker.output)
            return logged and logged[1]

        url = worker.wait_for(address)
        assert "stream_persona_" in worker.wait_for(lambda: answer(url))
        assert worker.exit_code_after_sigterm() == 0


def test_the_apis_command_becomes_ready_and_leaves_on_sigterm(
    tmp_path: Path, own: dict[str, str]
) -> None:
    port = find_free_port()
    with running("api", tmp_path, own | {"api_host": "127.0.0.1", "api_port": str(port)}) as api:
        api.wait_for(lambda: answer(f"http://127.0.0.1:{port}/readyz"))
        assert api.exit_code_after_sigterm() == 0
