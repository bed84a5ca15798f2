"""Files of events, a JSON object on each line."""

import json
from collections.abc import Iterable
from pathlib import Path

from stream_persona.domain.events import Event, encode
from tests.support.events import kind_of
from tests.support.workers import worker_settings

SETTINGS = worker_settings(partitions=4)


def line(event: Event, **more: object) -> bytes:
    """An event as a line that says which topic it is of."""
    fields = json.loads(encode(event)) | {"topic": SETTINGS.input_topics[kind_of(event)]} | more
    return json.dumps(fields).encode() + b"\n"


def file_of(path: Path, happened: Iterable[Event]) -> Path:
    path.write_bytes(b"".join(map(line, happened)))
    return path
