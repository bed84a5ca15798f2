"""An API to call: in this process or in its own, behind a worker that tests feed by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
from aiokafka import ConsumerRecord

from stream_persona.api import create_api
from stream_persona.domain import taxonomy as taxonomies
from stream_persona.domain.events import KINDS, Event, Item, Purchase, encode, get_event_time
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.settings import Settings
from stream_persona.store.redis import RedisTables
from stream_persona.worker.metrics import Metrics
from tests.support.constants import RECENT
from tests.support.servers import eventually, wait_until
from tests.support.shop import environment
from tests.support.workers import InMemoryLog, PatientWorker, RecordingPublisher, settle

NOW = RECENT
#: A category that the seeds of each of these personas name.
CATEGORIES = {"parent_of_young_kids": "baby/diapers", "pet_owner": "pets/dog", "student": "books"}


class ManualWorker:
    """A worker on real tables that processes what it is fed, without Kafka."""

    def __init__(self, settings: Settings, tables: RedisTables) -> None:
        self.taxonomy = taxonomies.load(settings.taxonomy)
        self.worker = PatientWorker(
            settings, self.taxonomy, tables, RecordingPublisher(), InMemoryLog(), Metrics()
        )
        self._settings = settings
        self._offset = 0

    async def feed(self, *events: Event) -> None:
        """Process the events, one batch for each partition; publish the model."""
        batches: dict[int, list[ConsumerRecord[bytes, bytes]]] = {}
        for event in events:
            partition = find_home_partition(event.customer_id, self._settings.partitions)
            batches.setdefault(partition, []).append(self._record(event, partition))
        for batch in batches.values():
            await self.worker.process(batch)
        await settle(self.worker)

    def _record(self, event: Event, partition: int) -> ConsumerRecord[bytes, bytes]:
        self._offset += 1
        topic = self._settings.input_topics[KINDS.index(type(event))]
        key, value = event.customer_id.encode(), encode(event)
        at = get_event_time(event)
        return ConsumerRecord(
            topic, partition, self._offset, at, 0, key, value, None, len(key), len(value), ()
        )


def basket(name: str, customer: str, *categories: str, at: int = NOW) -> Purchase:
    """A purchase of an item of each category."""
    items = tuple(Item(f"p-{category}", category, price=4.0) for category in categories)
    return Purchase(name, customer, at, items)


@asynccontextmanager
async def running_worker(settings: Settings) -> AsyncIterator[ManualWorker]:
    """A worker that owns all partitions."""
    tables = RedisTables.connect(settings.redis_url, settings.prefix)
    manual = ManualWorker(settings, tables)
    await manual.worker.assign(range(settings.partitions))
    yield manual
    await tables.close()


@asynccontextmanager
async def calling(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API in this process, started but perhaps not ready."""
    api = create_api(settings, taxonomies.load(settings.taxonomy))
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with (
        api.router.lifespan_context(api),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client


async def becomes_ready(client: httpx.AsyncClient) -> None:
    """Wait until the API answers ``/readyz`` with 200."""

    async def ready() -> bool:
        return (await client.get("/readyz")).status_code == 200

    await eventually(ready, 30, "the API does not become ready")


def limiting(open_files: int | None) -> list[str]:
    """The beginning of a command that may open only so many files."""
    return [] if open_files is None else ["sh", "-c", f'ulimit -n {open_files} && exec "$@"', "sh"]


async def has_model(client: httpx.AsyncClient, version: str) -> None:
    """Wait until the API uses this version of the model."""

    async def same() -> bool:
        found: bool = (await client.get("/v1/personas")).json()["model_version"] == version
        return found

    await eventually(same, 15, "the API does not follow the model")


@contextmanager
def api_process(
    settings: Settings, log: Path, open_files: int | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """``stream-persona api`` as an operator runs it, and the address that it logs.

    It may have so many ``open_files``; as many as this process where none are given.
    """
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [*limiting(open_files), sys.executable, "-m", "stream_persona", "api"],
            env=environment(settings), cwd=log.parent, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        pattern = r"listening on (http://\S+)"
        wait_until(lambda: re.search(pattern, log.read_text()) or popen.poll() is not None, 60)
        found = re.search(pattern, log.read_text())
        assert found, log.read_text()
        yield popen, found[1]
    finally:
        popen.kill()
        popen.wait()
