"""A deployment for a browser to look at: topics, a worker, and an API that may be restarted."""

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from stream_persona.domain.events import Assignment, Event
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.support.servers import client_of
from tests.support.shop import Shop, WorkerProcess, environment
from tests.support.waiting import eventually, patience

#: Seconds that a process may take to start, and a change to come through.
START_SECONDS = 40.0
PATIENCE = 15.0


class ApiProcess:
    """``stream-persona api`` as an operator runs it; started again, it has the port it had."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.url = ""
        self._settings, self._log = settings, log
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it; it listens when this returns, but may not be ready."""
        self._launch()
        await eventually(self._has_logged_its_address, START_SECONDS, "the API does not start")
        assert self.url, self._log.read_text()
        port = int(self.url.rpartition(":")[2])
        self._settings = self._settings.model_copy(update={"api_port": port})

    async def stop(self) -> None:
        """End it as an operator does."""
        if self._process is not None:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait, 30)

    def _launch(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream_persona", "api"],
                env=environment(self._settings),
                cwd=self._log.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _has_logged_its_address(self) -> bool:
        found = re.search(r"listening on (http://\S+)", self._log.read_text())
        self.url = found[1] if found else ""
        return bool(found) or self._process is None or self._process.poll() is not None


@asynccontextmanager
async def api_of(settings: Settings, folder: Path) -> AsyncIterator[ApiProcess]:
    """An API that listens, on a port of its own; its log is in the folder."""
    api = ApiProcess(settings, folder / "api.log")
    try:
        await api.start()
        yield api
    finally:
        await api.stop()


@dataclass
class Deployment:
    """One shop with its processes; ``http`` is a caller of the API."""

    shop: Shop
    worker: WorkerProcess
    api: ApiProcess
    http: httpx.AsyncClient

    @property
    def settings(self) -> Settings:
        return self.shop.settings

    @property
    def url(self) -> str:
        return self.api.url

    async def becomes_ready(self) -> None:
        await eventually(self._is_ready, START_SECONDS, "the API does not become ready")

    async def _is_ready(self) -> bool:
        try:
            return (await self.http.get(f"{self.url}/readyz")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    async def get(self, path: str) -> dict[str, Any]:
        """Return the answer to a GET that must succeed."""
        answer = await self.http.get(f"{self.url}{path}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def knows(self, customer: str) -> None:
        """Wait until lookups know a customer."""

        async def known() -> bool:
            return await self.shop.public(customer) is not None

        await eventually(known, PATIENCE, f"{customer} does not come through")

    async def assign(self, customer: str, persona: str, *happened: Event) -> None:
        """Let a customer do something, then pin the persona; done when lookups say so."""
        given = Assignment(f"a-{time.time_ns()}", customer, time.time_ns() // 1_000_000, persona)
        await self.shop.produce(*happened)
        await self.knows(customer)
        await self.shop.produce(given)

        async def pinned() -> bool:
            return (await self.shop.public(customer) or {}).get("source") == "assigned"

        await eventually(pinned, PATIENCE, "the assignment does not come through")

    async def learned(self, customers: int) -> None:
        """Wait until the API's model has learned from so many labelled customers."""

        async def known() -> bool:
            return (await self.get("/v1/personas"))["labelled"] == customers

        await eventually(known, START_SECONDS, "the API does not follow the model")


@asynccontextmanager
async def deployed(settings: Settings, folder: Path) -> AsyncIterator[Deployment]:
    """A deployment that is ready; its files are in the folder."""
    await prepare(settings)
    worker = WorkerProcess(settings, folder / "worker.log")
    api = ApiProcess(settings, folder / "api.log")
    redis, http = client_of(settings.redis_url), httpx.AsyncClient(timeout=patience(20))
    try:
        await api.start()
        made = Deployment(Shop(settings, redis), worker, api, http)
        await made.becomes_ready()
        await eventually(lambda: works(worker), START_SECONDS, "the worker does not start")
        yield made
    finally:
        await api.stop()
        await asyncio.to_thread(worker.stop, signal.SIGKILL)
        await http.aclose()
        await redis.aclose()


def works(worker: WorkerProcess) -> bool:
    assert worker.process.poll() is None, worker.log.read_text()
    return "metrics on http" in worker.log.read_text()
