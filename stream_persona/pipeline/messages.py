"""The messages about a customer: changes, public records, copies for dashboards."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import orjson
from msgspec import Struct

from stream_persona.domain.events import encode, format_rfc3339
from stream_persona.domain.record import MILLION, PublishedChange, PublishedPosterior, Record
from stream_persona.pipeline.decision import CAUSES, find_candidates

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A customer and the value of a change; None is a tombstone.
ChangeMessage = tuple[str, bytes | None]


def encode_copy(customer_id: str, change: bytes | None) -> bytes:
    """Encode the pub/sub copy of a change; that of a tombstone names its customer."""
    return change if change is not None else encode({"customer_id": customer_id, "deleted": True})


def encode_last_copy(customer_id: str, record: Record) -> bytes | None:
    """Encode the copy of the last message about a customer; None where there was none."""
    if record.published is not None:
        return encode_change(customer_id, record)
    return encode_copy(customer_id, None) if record.deleted_at else None


class PublicRecord(Struct, frozen=True):
    """The public record of a customer, as far as it is read again."""

    customer_id: str
    persona: str | None
    confidence: float
    ambiguous: bool
    source: str
    distribution: dict[str, float]
    candidates: list[str]
    why: list[dict[str, str | float]]
    evidence: float
    revision: int
    updated_at: str
    model_version: str
    taxonomy_version: str


_public_decoder = msgspec.json.Decoder(PublicRecord)


def decode_public_record(customer_id: str, blob: bytes) -> PublicRecord | None:
    """Decode a customer's public record; None where it is none, or another customer's."""
    try:
        found = _public_decoder.decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if found.customer_id == customer_id else None


def make_change_id(customer_id: str, deleted_at: int, published: PublishedChange) -> str:
    """Derive a change's unique id: revisions begin again when a deleted customer comes back."""
    text = f"{customer_id}\0{deleted_at}\0{published.published_at}\0{published.revision}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def encode_messages(customer_id: str, record: Record) -> tuple[bytes, bytes]:
    """Encode the values of ``persona-changes`` and of ``persona:<customer_id>`` at once."""
    published = record.published
    if published is None:
        message = f"no change of {customer_id} was published yet"
        raise ValueError(message)
    shared = _Shared(
        _build_posterior_json(published.current, published.personas),
        _build_reasons_json(published),
        format_rfc3339(published.published_at),
    )
    return (
        _build_change_json(customer_id, record.deleted_at, published, shared),
        _build_public_json(customer_id, published, shared),
    )


def encode_change(customer_id: str, record: Record) -> bytes:
    """Encode a record's last change for ``persona-changes``: the same bytes every time."""
    return encode_messages(customer_id, record)[0]


def encode_public_record(customer_id: str, published: PublishedChange) -> bytes:
    """Encode the value of ``persona:<customer_id>``: the last change, for lookups."""
    return encode_messages(customer_id, Record(published=published))[1]


class _Shared(NamedTuple):
    """The fields that a change and the public record after it have in common."""

    current: dict[str, Any]
    why: list[dict[str, Any]]
    published_at: str


def _build_change_json(
    customer_id: str, deleted_at: int, published: PublishedChange, shared: _Shared
) -> bytes:
    previous, former = published.previous, published.previous_personas or published.personas
    return orjson.dumps({
        "change_id": make_change_id(customer_id, deleted_at, published),
        "customer_id": customer_id,
        "revision": published.revision,
        "occurred_at": format_rfc3339(published.at),
        "published_at": shared.published_at,
        "cause": CAUSES[published.cause],
        "previous": _build_posterior_json(previous, former) if previous else None,
        "current": shared.current,
        "why": shared.why,
        "model_version": published.model_version,
        "taxonomy_version": published.taxonomy_version,
    })  # fmt: skip


def _build_public_json(customer_id: str, published: PublishedChange, shared: _Shared) -> bytes:
    current = published.current
    possible = (
        [current.persona]
        if current.persona is not None
        else find_candidates(published.personas, current.distribution, published.candidate_floor)
    )
    return orjson.dumps({
        "customer_id": customer_id,
        **shared.current,
        "candidates": possible,
        "why": shared.why,
        "evidence": published.evidence / 1_000,
        "revision": published.revision,
        "updated_at": shared.published_at,
        "model_version": published.model_version,
        "taxonomy_version": published.taxonomy_version,
    })  # fmt: skip


def _build_posterior_json(posterior: PublishedPosterior, personas: Sequence[str]) -> dict[str, Any]:
    return {
        "persona": posterior.persona,
        "confidence": posterior.confidence / MILLION,
        "ambiguous": posterior.ambiguous,
        "source": "assigned" if posterior.assigned else "predicted",
        "distribution": dict(
            zip(personas, [p / MILLION for p in posterior.distribution], strict=True)
        ),
    }


def _build_reasons_json(published: PublishedChange) -> list[dict[str, Any]]:
    return [
        {"feature": feature, "value": value, "lift": lift / MILLION}
        for feature, value, lift in published.why
    ]
