"""A shop on real servers: with worker processes, or with a worker that a test feeds by hand."""

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_persona.api.dashboard import lag, workers
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.support.api import ManualWorker, becomes_ready, calling, running_worker
from tests.support.servers import client_of
from tests.support.shop import Shop, WorkerProcess


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    """A deployment whose topics exist, without a worker."""
    await prepare(settings)
    async with client_of(settings.redis_url) as redis:
        yield Shop(settings, redis)


@pytest.fixture
def start_worker(shop: Shop, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers of the shop, which end with the test."""
    started: list[WorkerProcess] = []

    def start(**how: Any) -> WorkerProcess:
        log = tmp_path / f"worker-{len(started)}.log"
        started.append(WorkerProcess(shop.settings, log, **how))
        return started[-1]

    yield start
    for worker in started:
        worker.stop(signal.SIGKILL)


@pytest.fixture
async def manual_worker(settings: Settings) -> AsyncIterator[ManualWorker]:
    async with running_worker(settings) as manual:
        yield manual


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that is ready; topics it may lack."""
    async with calling(settings) as client:
        await becomes_ready(client)
        yield client


@pytest.fixture
def quick_refreshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh every half second, a pass every second: tests need their results, not the pace."""
    monkeypatch.setattr("stream_persona.api.dashboard.service.PERIOD", 1.0)
    monkeypatch.setattr("stream_persona.api.dashboard.service.INTERVAL", 0.5)
    monkeypatch.setattr("stream_persona.api.dashboard.workers.INTERVAL", 0.5)


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream stands still after three seconds, and a worker is gone after eight."""
    assert (lag.STALLED, workers.ALIVE) == (10.0, 15.0)
    monkeypatch.setattr(lag, "STALLED", 3.0)
    for module in ("workers", "health"):
        monkeypatch.setattr(f"stream_persona.api.dashboard.{module}.ALIVE", 8.0)
