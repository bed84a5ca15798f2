"""Looks at what is stored before a process works on it: other programs' keys, another half-life.

Both would otherwise end a worker with the first event that meets them, or be believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream_persona.domain import record_codec
from stream_persona.errors import StreamPersonaError, TopologyError
from stream_persona.store.prefixes import refuse_overlaps
from stream_persona.store.redis_errors import make_foreign_key_error
from stream_persona.store.shards import read_shards
from stream_persona.store.tables import Keyspace

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings
    from stream_persona.store.redis import RedisTables
    from stream_persona.store.redis_port import Store

#: Keys looked at in one scan, scans that may find no record of ours, and records looked at.
_SCANNED: Final = 1_000
_SCANS: Final = 50
_RECORDS: Final = 20
_HASHES: Final = ("files", "names", "topics", "workers", "common-tastes")


async def check_store(settings: Settings, taxonomy: Taxonomy, tables: RedisTables) -> None:
    """Check that keys and records are of this deployment and its taxonomy.

    Raises:
        TopologyError: they are not; names what to set.
        UnavailableError: Redis stayed away.
    """
    await refuse_overlaps(settings.prefix, tables)
    await tables.ask(lambda store: _check_keys(store, settings, taxonomy))
    await tables.ask(lambda store: _check_old_names(store, settings))
    await _check_records(taxonomy, tables)
    stamps = await tables.load_stamps(range(settings.partitions))
    await read_shards(tables, stamps, {}, taxonomy)


async def _check_keys(store: Store, settings: Settings, taxonomy: Taxonomy) -> None:
    """Compare the types of all keys of ours but those of customers."""
    of = Keyspace(settings.prefix).of
    types = {of(kind): b"hash" for kind in _HASHES}
    types |= {of("shown-names"): b"string"}
    types |= {of("affinity", persona): b"hash" for persona in taxonomy.names}
    types |= {of("history"): b"stream", of("deployment"): b"string"}
    for partition in range(settings.partitions):
        types |= {of("model", partition): b"string", of("labelled", partition): b"set"}
        types |= {of("due", partition): b"zset", of("names", partition): b"hash"}
        types |= store.describe_owner_keys(partition)
    found = await store.run(*(("TYPE", key) for key in types))
    for key, expected, actual in zip(types, types.values(), found, strict=True):
        if actual not in {expected, b"none"}:
            raise make_foreign_key_error(f"{key} is of the type {actual.decode()}")


async def _check_old_names(store: Store, settings: Settings) -> None:
    """Refuse to remove another program's ``persona-names``: in ours, the values are slots."""
    key = Keyspace(settings.prefix).of("names")
    (found,) = await store.run(("HSCAN", key, 0, "COUNT", 10))
    slots = found[1].values()
    if slots and not any(slot.isdigit() for slot in slots):
        raise make_foreign_key_error(f"{key} holds something else than ours")


async def _check_records(taxonomy: Taxonomy, tables: RedisTables) -> None:
    """Check some records: all of a deployment have the same half-life.

    A single one may be damaged, which is none of our business here.
    """
    refused: list[TopologyError] = []
    for name, blob in (await _load_some(tables)).items():
        try:
            record_codec.decode_records({name: blob}, taxonomy.fingerprint)
        except TopologyError as error:
            refused.append(error)
        except StreamPersonaError:
            continue
        else:
            return
    if refused:
        raise refused[0]


async def _load_some(tables: RedisTables) -> dict[str, bytes]:
    """Load the first records that a scan meets; none where others' keys are all that it meets."""
    cursor = 0
    for _ in range(_SCANS):
        cursor, customers = await tables.scan(cursor, _SCANNED)
        if customers or not cursor:
            return await tables.load(customers[:_RECORDS])
    return {}
