"""A worker on the batched transport that does nothing but note what it was handed.

``Worker`` runs it in a process of its own:

``python -m tests.support.batch_worker SETTINGS JOURNAL [BEHAVIOUR]``: settings as JSON; to the
journal goes a line for each record: topic, partition, offset, value, and how many came with it.
BEHAVIOUR is one of

- ``ack``: ack each batch (the default),
- ``slow``: take 20 ms for each batch,
- ``reverse``: ack the batches of every 50 ms, the last one first,
- ``hold``: never ack a batch that has the record ``hold`` in it,
- ``never``: ack nothing,
- ``wait``: take no other batch after a record ``wait`` before there is a file JOURNAL.go,
- ``fail``: raise at a record ``fail``, before the ack,
- ``crash``: raise in a background task at a record ``crash``.
"""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import faust
from faust.types import TP, EventT, StreamT

from stream_persona.kafka.faust_app import BatchApp, make_batch_topic, make_faust_options
from stream_persona.kafka.transport import Consumer
from stream_persona.settings import Settings
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]

#: Topic, partition, offset.
Position = tuple[str, int, int]


class Worker:
    """A subprocess that runs this module, and what it noted."""

    def __init__(self, settings: Settings, journal: Path, behaviour: str) -> None:
        self.journal = journal
        self.log = journal.with_suffix(".log")
        command = [sys.executable, "-m", "tests.support.batch_worker"]
        arguments = [settings.model_dump_json(), str(journal), behaviour]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *arguments], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )

    def lines(self) -> list[list[str]]:
        text = self.journal.read_text() if self.journal.exists() else ""
        return [line.split(" ") for line in text.splitlines()]

    def records(self) -> list[Position]:
        return [
            (line[0], int(line[1]), int(line[2]))
            for line in self.lines()
            if line[0] not in {"assigned", "revoked"}
        ]

    def assigned(self) -> set[str]:
        """The partitions of the last assignment."""
        owned = [set(line[1:]) for line in self.lines() if line[0] == "assigned"]
        return owned[-1] if owned else set()

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return bool(self.assigned())

    async def stop(self) -> int:
        """SIGTERM, as an operator would; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.exit_code()

    async def exit_code(self) -> int:
        await eventually(lambda: self.process.poll() is not None, 30, f"still runs, see {self.log}")
        return self.process.wait()


class Journal:
    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115  # open to the end

    def note(self, *fields: object) -> None:
        self._file.write(" ".join(map(str, fields)) + "\n")
        self._file.flush()


class Behaviour:
    """How the worker acks, and what goes wrong in it."""

    def __init__(self, name: str, go: Path) -> None:
        self._name = name
        self._go = go
        self._waiting: list[EventT[Any]] = []
        self.alarm = asyncio.Event()

    async def after(self, event: EventT[Any]) -> None:
        asked = any(record.value.decode() == self._name for record in event.value)
        if asked and self._name == "fail":
            raise RuntimeError("asked to fail")
        if asked and self._name == "crash":
            self.alarm.set()
        if asked and self._name == "wait":
            await eventually(self._go.exists, 60)
        if self._name == "never" or (asked and self._name == "hold"):
            return
        if self._name == "slow":
            await asyncio.sleep(0.02)
        if self._name != "reverse":
            event.ack()
            return
        if not self._waiting:
            asyncio.get_running_loop().call_later(0.05, self._ack_in_reverse)
        self._waiting.append(event)

    def _ack_in_reverse(self) -> None:
        while self._waiting:
            self._waiting.pop().ack()


def create_app(settings: Settings, journal: Journal, behaviour: Behaviour) -> faust.App:
    app = BatchApp(**make_faust_options(settings))

    @app.agent(make_batch_topic(app, *settings.input_topics))
    async def note_batches(stream: StreamT[Any]) -> None:
        async for event in stream.noack().events():
            for record in event.value:
                value = record.value.decode()
                at = record.topic, record.partition, record.offset
                journal.note(*at, value, len(event.value))
            await behaviour.after(event)
            cast("Consumer", app.consumer).request(event)

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
    own = Behaviour(behaviour, Path(journal + ".go"))
    app = create_app(Settings(_env_file=None, **options), Journal(journal), own)
    faust.Worker(app, loglevel="info").execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
