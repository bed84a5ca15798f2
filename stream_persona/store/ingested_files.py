"""Which files were sent to the topics, and how far: beside those that were replayed.

An entry's field is ``ingested:<kind>:<content>`` (``files.identity``), where the kind is that of
all rows, or ``any``. It is written anew each time that the broker has confirmed more rows, so that
a run that was killed goes on where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stream_persona.store.replayed_files import load_entries
from stream_persona.store.tables import Keyspace

if TYPE_CHECKING:
    from stream_persona.settings import Settings
    from stream_persona.store.redis import RedisTables

_MARK: Final = "ingested"


class Ingested(msgspec.Struct, frozen=True):
    """How far a file was sent: all up to the row of a number, of which some could not be read.

    ``at`` is when that was noted, in epoch milliseconds.
    """

    last: int
    events: int
    unreadable: int
    nobody: int
    at: int


async def load_ingested(tables: RedisTables, settings: Settings) -> dict[tuple[str, str], Ingested]:
    """Read which files were sent: by kind and content.

    Raises:
        UnavailableError: Redis stayed away.
    """
    entries: dict[tuple[str, str], Ingested] = {}
    for field, value in await load_entries(tables, settings):
        mark, _, rest = field.partition(":")
        kind, _, content = rest.partition(":")
        if mark != _MARK or not content.partition(":")[0].isdigit():
            continue
        try:
            entries[kind, content] = msgspec.json.decode(value, type=Ingested)
        except msgspec.DecodeError:
            continue  # not ours: such a file is sent as if it were a new one
    return entries


async def note_ingested(
    tables: RedisTables, settings: Settings, kind: str, content: str, how_far: Ingested
) -> None:
    """Note how far a file was sent.

    Raises:
        UnavailableError: Redis stayed away.
    """
    key = Keyspace(settings.prefix).of("files")
    field, value = f"{_MARK}:{kind}:{content}", msgspec.json.encode(how_far)
    await tables.ask(lambda store: store.run(("HSET", key, field, value)))
