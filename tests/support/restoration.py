"""A shop whose stored values are damaged, and a worker that restores them."""

import json
from collections.abc import Sequence
from typing import Any

from stream_persona.domain.events import Event
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.kafka.router import MessageRouter
from stream_persona.worker.metrics import Metrics, read_by_label
from stream_persona.worker.sweep import THOROUGH_SECONDS
from tests.support.constants import DAY, NOW
from tests.support.events import purchase
from tests.support.faulty_tables import FaultyTables
from tests.support.worker_runs import (
    CHANGES,
    SHOP,
    FakeClock,
)
from tests.support.workers import (
    InMemoryLog,
    PatientWorker,
    RecordingPublisher,
    fetch,
    settle,
    worker_settings,
)

#: Of the story: labelled, with a withdrawn label, and deleted.
LABELLED, WITHDRAWN, DELETED = "gamer-0", "parent-0", "parent-1"
LATER = [purchase(f"later-{name}", NOW + 50 * DAY, name) for name in (LABELLED, WITHDRAWN, DELETED)]


class Scene:
    """One worker on tables in memory, and the log of everything that it was sent."""

    def __init__(self, taxonomy: Taxonomy = SHOP) -> None:
        self.tables, self.outbox, self.log = FaultyTables(), RecordingPublisher(), InMemoryLog()
        self.metrics, self.clock, self._taxonomy = Metrics(), FakeClock(), taxonomy
        self._sent = 0
        self.working = self._make_worker()

    def _make_worker(self) -> PatientWorker:
        return PatientWorker(
            worker_settings(), self._taxonomy, self.tables, self.outbox, self.log, self.metrics,
            self.clock.clocks,
        )  # fmt: skip

    async def begin(self, *happened: Event) -> None:
        """Let the worker process what has happened until now."""
        await self.working.assign([0])
        await self.send(*happened)
        await self.rest()

    async def rest(self) -> None:
        """Let the worker publish everything: a shard that has moved is due at the next refresh."""
        await settle(self.working)
        await self.working.refresh()

    async def restart(self) -> None:
        """Let another worker take the partition: nothing is in its memory."""
        self.working = self._make_worker()
        await self.working.assign([0])

    async def send(self, *happened: Event) -> None:
        batch = fetch(*happened, first=self._sent)
        self.log.deliveries += MessageRouter(worker_settings(), SHOP).route(batch).deliveries
        self._sent += 10_000
        self.log.changes = self._last_changes()
        await self.working.process(batch)

    def damage(self, *names: str) -> None:
        for name in names:
            if name in self.tables.states:
                self.tables.states[name] = broken(self.tables.states[name])
            else:
                ends, marker = self.tables._markers[name]
                self.tables._markers[name] = ends, broken(marker)
        self.log.changes = self._last_changes()

    def _last_changes(self) -> dict[str, bytes]:
        last = {
            m.key.decode(): m.value for m in self.outbox.messages if m.topic == CHANGES and m.key
        }
        return {name: change for name, change in last.items() if change is not None}

    async def sweep(self) -> None:
        """Sweep thoroughly."""
        self.clock.now += THOROUGH_SECONDS
        while await self.working.sweep() or self.working.sweeping:
            pass

    @property
    def damaged(self) -> dict[str, int]:
        """What was found damaged."""
        return read_by_label(self.metrics.damaged)


def broken(blob: bytes) -> bytes:
    return bytes([*blob[:20], blob[20] ^ 16, *blob[21:]])


async def never_damaged(*batches: Sequence[Event]) -> Scene:
    """What would be without any damage."""
    scene = Scene()
    await scene.begin(*batches[0])
    for batch in batches[1:]:
        await scene.send(*batch)
    await scene.rest()
    return scene


def forget_cache(working: PatientWorker) -> None:
    for owned in working.partitions.held.values():
        owned.cache._known.clear()


def assert_public_records_are_the_last_changes(scene: Scene) -> None:
    last: dict[str, Any] = {}
    for message in scene.outbox.messages:
        if message.topic == CHANGES:
            last[(message.key or b"").decode()] = message.value
    for name, change in last.items():
        public = scene.tables.public_records.get(name)
        assert (public is None) == (change is None)
        if public is not None and change is not None:
            shown, told = json.loads(public), json.loads(change)
            assert {key: shown[key] for key in told["current"]} == told["current"]
            assert (shown["revision"], shown["why"]) == (told["revision"], told["why"])
