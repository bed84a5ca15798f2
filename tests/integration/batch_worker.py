"""A worker on the batched transport that does nothing but note what it was handed.

``python -m tests.integration.batch_worker SETTINGS JOURNAL [BEHAVIOUR]``: settings as JSON; to the
journal goes a line for each record: topic, partition, offset, value. BEHAVIOUR is one of

- ``ack``: ack each batch (the default),
- ``slow``: take 20 ms for each batch,
- ``swap``: ack batches in pairs, the later one first,
- ``hold``: never ack a batch that has the record ``hold`` in it,
- ``never``: ack nothing,
- ``fail``: raise at a record ``fail``, before the ack,
- ``crash``: raise in a background task at a record ``crash``.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import faust
from faust.types import TP, EventT, StreamT

from stream_persona.settings import Settings
from stream_persona.transport import batch_topic, faust_options


class Journal:
    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115  # open to the end

    def note(self, *fields: object) -> None:
        self._file.write(" ".join(map(str, fields)) + "\n")
        self._file.flush()


class Behaviour:
    """How the worker acks, and what goes wrong in it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: list[EventT[Any]] = []
        self.alarm = asyncio.Event()

    async def after(self, event: EventT[Any]) -> None:
        asked = any(record.value.decode() == self._name for record in event.value)
        if asked and self._name == "fail":
            raise RuntimeError("asked to fail")
        if asked and self._name == "crash":
            self.alarm.set()
        if self._name == "never" or (asked and self._name == "hold"):
            return
        if self._name == "slow":
            await asyncio.sleep(0.02)
        self._waiting.append(event)
        if self._name != "swap" or len(self._waiting) > 1:
            while self._waiting:
                self._waiting.pop().ack()


def create_app(settings: Settings, journal: Journal, behaviour: Behaviour) -> faust.App:
    app = faust.App(**faust_options(settings))

    @app.agent(batch_topic(app, *settings.input_topics))
    async def note_batches(stream: StreamT[Any]) -> None:
        async for event in stream.noack().events():
            for record in event.value:
                journal.note(record.topic, record.partition, record.offset, record.value.decode())
            await behaviour.after(event)

    @app.task
    async def watch() -> None:
        await behaviour.alarm.wait()
        raise RuntimeError("asked to crash")

    @app.on_partitions_assigned.connect
    async def assigned(_: faust.App, partitions: set[TP], **__: object) -> None:
        journal.note("assigned", *sorted(f"{tp.topic}/{tp.partition}" for tp in partitions))

    @app.on_partitions_revoked.connect
    async def revoked(_: faust.App, partitions: set[TP], **__: object) -> None:
        journal.note("revoked", *sorted(f"{tp.topic}/{tp.partition}" for tp in partitions))

    return app


def main(settings: str, journal: str, behaviour: str = "ack") -> None:
    options = json.loads(settings)
    app = create_app(Settings(_env_file=None, **options), Journal(journal), Behaviour(behaviour))
    faust.Worker(app, loglevel="info").execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
