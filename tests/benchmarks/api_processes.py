"""What ``make bench-api`` measures, as processes: the API, and a bare app beside it."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream_persona.settings import Settings
from tests.support.shop import environment
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
START_SECONDS = 180.0


@dataclass(frozen=True)
class Served:
    """Where a process listens, and which one it is."""

    host: str
    port: int
    process: int

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextmanager
def api(settings: Settings, log: Path) -> Iterator[Served]:
    """``stream-persona api`` as an operator runs it; port 0 is any free one."""
    with _serving(["stream_persona", "api"], settings, log) as served:
        yield served


@contextmanager
def bare(settings: Settings, log: Path) -> Iterator[Served]:
    """One route that does one GET, on the same Redis and the same server of HTTP."""
    with _serving(["tests.benchmarks.api_bare"], settings, log) as served:
        yield served


@contextmanager
def _serving(module: Sequence[str], settings: Settings, log: Path) -> Iterator[Served]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            env=environment(settings), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        pattern = r"listening on http://([\d.]+):(\d+)"
        wait_until(
            lambda: re.search(pattern, log.read_text()) or process.poll() is not None,
            START_SECONDS, "nothing listens",
        )  # fmt: skip
        found = re.search(pattern, log.read_text())
        if not found:
            raise RuntimeError(f"it did not start:\n{log.read_text()[-3_000:]}")
        yield Served(found[1], int(found[2]), process.pid)
    finally:
        process.kill()
        process.wait()
