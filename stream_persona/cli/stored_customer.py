"""What is stored of one customer, as facts for a terminal or a program."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from stream_persona.cli.agreement import check_agreement, open_tables
from stream_persona.domain import record_codec
from stream_persona.domain.due import advance
from stream_persona.domain.events import (
    check_id,
    format_rfc3339,
)
from stream_persona.domain.features import compute_profiles
from stream_persona.domain.identity import NobodyIds
from stream_persona.domain.inputs import describe_source, is_of_file, is_of_source
from stream_persona.domain.mapping.configured import load_sources
from stream_persona.domain.slots import EVENTS
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import DamagedRecordError
from stream_persona.pipeline.messages import decode_public_record
from stream_persona.store.names import ListingReader
from stream_persona.store.redis import RedisTables

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

#: Seconds to wait for a Redis that does not answer: a person waits at a terminal.
_PATIENCE: Final = 10.0


@dataclass(frozen=True)
class StoredCustomer:
    """The public record of a customer as it is stored, and the private one as facts.

    ``public`` is None where there is none that can be read.
    """

    customer_id: str
    public: dict[str, Any] | None
    private: dict[str, Any]


async def load(
    settings: Settings,
    taxonomy: Taxonomy,
    customer_id: str,
    tokens: int,
    clock: Callable[[], int] = time.time_ns,
) -> StoredCustomer | None:
    """Load what is stored of a customer, with the ``tokens`` heaviest tokens; None if unknown.

    A customer who was deleted is unknown, too, and so are ids that stand for nobody. What has ended
    by ``clock`` (epoch nanoseconds) is shown as ended, also where no worker has looked yet.

    Raises:
        DecodeError: the id is malformed.
        DamagedRecordError: the stored record is damaged.
        TopologyError: the workers are set otherwise.
        UnavailableError: Redis does not answer.
    """
    if customer_id in NobodyIds(settings.nobody):
        return None
    check_id(customer_id)
    tokenizer = Tokenizer(taxonomy)
    public, blob, record = await _load_stored(settings, taxonomy, customer_id, tokenizer)
    if blob is None or record is None or record.is_marker:
        return None
    intact = public is not None and decode_public_record(customer_id, public) is not None
    published = msgspec.json.decode(public) if public and intact else None
    record = advance(record, clock() // 1_000_000, taxonomy)
    facts = _describe_record(record, settings, taxonomy)
    facts |= {"bytes": len(blob), **_describe_behaviour(record, taxonomy, tokenizer, tokens)}
    return StoredCustomer(customer_id, published, facts)


async def _load_stored(
    settings: Settings, taxonomy: Taxonomy, customer_id: str, tokenizer: Tokenizer
) -> tuple[bytes | None, bytes | None, Record | None]:
    """Load the public record, the private one and its bytes; name the tokens that may be shown."""
    async with open_tables(settings, _PATIENCE) as tables:
        await check_agreement(settings, taxonomy, tables)
        public = await tables.load_public(customer_id)
        blob = (await tables.load([customer_id])).get(customer_id)
        listing = await ListingReader(tables).read() if blob else None
        if listing is not None:
            tokenizer.show_names(listing)
        record = await _decode(tables, customer_id, blob, taxonomy) if blob else None
    return public, blob, record


async def _decode(tables: RedisTables, customer_id: str, blob: bytes, taxonomy: Taxonomy) -> Record:
    """Decode a record; one that is damaged is reported, so that a worker restores it."""
    try:
        return record_codec.decode_records({customer_id: blob}, taxonomy.fingerprint)[customer_id]
    except DamagedRecordError:
        await tables.report_suspects([customer_id])
        raise


def _describe_record(record: Record, settings: Settings, taxonomy: Taxonomy) -> dict[str, Any]:
    return {
        "clock": _format_time(record.counts.clock),
        "label": msgspec.structs.asdict(record.label) if record.label else None,
        "active_label": taxonomy.resolve(record.find_active_label()),
        "faded_at": _format_time(record.faded_at),
        "revision": record.published.revision if record.published else 0,
        "deleted_at": _format_time(record.deleted_at),
        "positions": {
            _describe_source(key, settings): at for key, at in sorted(record.positions.items())
        },
    }


def _describe_behaviour(
    record: Record, taxonomy: Taxonomy, tokenizer: Tokenizer, count: int
) -> dict[str, Any]:
    """Return the evidence and the heaviest tokens, decayed to the record's own clock."""
    profile = compute_profiles([record.counts], taxonomy.features)
    (evidence,) = profile.events.tolist()
    weights = profile.shares * evidence
    heaviest = np.argsort(-weights, kind="stable").tolist()
    named = [i for i in heaviest if profile.slots[i] != EVENTS][:count]
    return {
        "evidence": round(evidence, 3),
        "tokens": len(record.counts),
        "heaviest_tokens": {
            tokenizer.names.name_slot(int(profile.slots[i])): round(float(weights[i]), 3)
            for i in named
        },
    }


def _describe_source(key: int, settings: Settings) -> str:
    """Name an input: ``purchases/3``, or ``purchases/file-...`` for a replayed file.

    One of a source has the name of its topic: ``purchases of shop-events/3``.
    """
    topic, partition = settings.input_topics[key >> 16 & 7], key & 0xFFFF
    if is_of_source(key):
        sources = load_sources(settings.sources)
        return f"{topic} of {describe_source(key, sources.topics if sources else ())}"
    if is_of_file(key):
        return f"{topic}/file-{key >> 19:011x}"
    return f"{topic}/{partition}"


def _format_time(at: int) -> str | None:
    return format_rfc3339(at) if at else None
