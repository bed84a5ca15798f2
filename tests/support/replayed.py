"""Histories in files, replayed to tables in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from stream_persona.domain import record_codec
from stream_persona.domain.events import Event
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.files.formats import recognize
from stream_persona.files.identity import read_content
from stream_persona.pipeline import process
from stream_persona.pipeline.process import Delivery
from stream_persona.replay.files import Files, number_file_partition
from stream_persona.replay.fold import Replay
from stream_persona.replay.summary import ReplaySummary, Unreadable
from stream_persona.settings import Settings
from stream_persona.store.memory import MemoryTables
from tests.support.event_files import SETTINGS
from tests.support.events import (
    kind_of,
    labelled_shoppers,
    shop,
)
from tests.support.workers import InMemoryLog, RecordingPublisher

TAXONOMY = shop()
#: By tables, the files that were replayed into them.
KNOWN: WeakKeyDictionary[MemoryTables, dict[str, str]] = WeakKeyDictionary()
HISTORY = labelled_shoppers(TAXONOMY)


def deliveries(path: Path, happened: Sequence[Event]) -> list[Delivery]:
    """The lines of a file, as it was when it was replayed first, as they are applied."""
    content = read_content(recognize(path)).digest if path.exists() else str(path)
    partition = number_file_partition(content)
    return [Delivery.of(e, kind_of(e), partition, n) for n, e in enumerate(happened, 1)]


async def replayed(
    tables: MemoryTables,
    *paths: Path,
    outbox: RecordingPublisher | None = None,
    kind: int | None = None,
    publish: bool = True,
    settings: Settings = SETTINGS,
    letters: list[Unreadable] | None = None,
) -> ReplaySummary:
    replay = Replay(
        settings, TAXONOMY, tables, outbox or RecordingPublisher(), InMemoryLog(), publish=publish
    )
    note = (letters if letters is not None else []).append
    files, known = Files(paths, kind, settings, TAXONOMY), KNOWN.setdefault(tables, {})
    known |= files.identify(known)
    return await replay.run(files.read_chunks(), unreadable=note, earlier=files.earlier)


def folded(tables: MemoryTables) -> dict[str, bytes]:
    mark = TAXONOMY.fingerprint
    stored = record_codec.decode_records(tables.states, mark)
    return {name: record_codec.encode_folded(record, mark) for name, record in stored.items()}


def oracle(run: Sequence[Delivery]) -> dict[str, bytes]:
    """The fold of all in one go."""
    outcome = process.apply_events(run, {}, TAXONOMY, Tokenizer(TAXONOMY))
    mark = TAXONOMY.fingerprint
    return {
        name: record_codec.encode_folded(record, mark) for name, record in outcome.records.items()
    }


def changes(outbox: RecordingPublisher) -> list[dict[str, Any] | None]:
    values = outbox.values(SETTINGS.topic_changes)
    return [None if value is None else json.loads(value) for value in values]
