"""Which files were replayed, by their content: ``files.identity`` says what is stored of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.store.entries import decode_texts
from stream_persona.store.tables import Keyspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_persona.settings import Settings
    from stream_persona.store.redis import RedisTables


async def load_entries(tables: RedisTables, settings: Settings) -> list[tuple[str, str]]:
    """Read the fields and values of all files that are known; what is no text is left out.

    Raises:
        UnavailableError: Redis stayed away.
    """
    key = Keyspace(settings.prefix).of("files")
    (found,) = await tables.ask(lambda store: store.run(("HGETALL", key)))
    texts = [decode_texts(entry, f"an entry of {key}") for entry in found.items()]
    return [(entry[0], entry[1]) for entry in texts if len(entry) == 2]  # noqa: PLR2004 - both


async def load_files(tables: RedisTables, settings: Settings) -> dict[str, str]:
    """Read the contents of files that were replayed, and the parts that they have.

    Raises:
        UnavailableError: Redis stayed away.
    """
    entries = await load_entries(tables, settings)
    return {content: parts for content, parts in entries if content.partition(":")[0].isdigit()}


async def add_files(tables: RedisTables, settings: Settings, contents: Mapping[str, str]) -> None:
    """Add contents of files that are replayed, and the parts that they have.

    Raises:
        UnavailableError: Redis stayed away.
    """
    key = Keyspace(settings.prefix).of("files")
    commands = [("HSET", key, content, parts) for content, parts in contents.items()]
    await tables.ask(lambda store: store.run(*commands))
