"""The messages about a customer: changes, public records, copies for dashboards."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from stream_persona.domain.events import encode, rfc3339
from stream_persona.domain.record import MILLION, Posterior, PublishedChange, Record
from stream_persona.pipeline.decision import CAUSES, candidates

if TYPE_CHECKING:
    from collections.abc import Sequence


def copy_of(customer_id: str, change: bytes | None) -> bytes:
    """The pub/sub copy of a change; that of a tombstone says whom it is for."""
    return change if change is not None else encode({"customer_id": customer_id, "deleted": True})


def change_id(customer_id: str, deleted_at: int, published: PublishedChange) -> str:
    """Unique for a change: revisions begin again when a forgotten customer comes back."""
    text = f"{customer_id}\0{deleted_at}\0{published.published_at}\0{published.revision}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def messages(customer_id: str, record: Record) -> tuple[bytes, bytes]:
    """The values of ``persona-changes`` and of ``persona:<customer_id>``, in one go."""
    published = record.published
    if published is None:
        message = f"nothing was said of {customer_id} yet"
        raise ValueError(message)
    words = _Words(
        _plain(published.current, published.personas),
        _why(published),
        rfc3339(published.published_at),
    )
    return _change(customer_id, record.deleted_at, published, words), _public(
        customer_id, published, words
    )


def change_message(customer_id: str, record: Record) -> bytes:
    """The value of ``persona-changes`` for what the record says; the same bytes every time."""
    return messages(customer_id, record)[0]


def public_record(customer_id: str, published: PublishedChange) -> bytes:
    """The value of ``persona:<customer_id>``: what was said, for anybody to look up."""
    return messages(customer_id, Record(published=published))[1]


class _Words(NamedTuple):
    """What a change and the public record after it have in common."""

    current: dict[str, Any]
    why: list[dict[str, Any]]
    published_at: str


def _change(customer_id: str, deleted_at: int, published: PublishedChange, words: _Words) -> bytes:
    return orjson.dumps({
        "change_id": change_id(customer_id, deleted_at, published),
        "customer_id": customer_id,
        "revision": published.revision,
        "occurred_at": rfc3339(published.at),
        "published_at": words.published_at,
        "cause": CAUSES[published.cause],
        "previous": _plain(published.previous, published.personas) if published.previous else None,
        "current": words.current,
        "why": words.why,
        "model_version": published.model_version,
        "taxonomy_version": published.taxonomy_version,
    })  # fmt: skip


def _public(customer_id: str, published: PublishedChange, words: _Words) -> bytes:
    current = published.current
    possible = (
        [current.persona]
        if current.persona is not None
        else candidates(published.personas, current.distribution, published.candidate_floor)
    )
    return orjson.dumps({
        "customer_id": customer_id,
        **words.current,
        "candidates": possible,
        "why": words.why,
        "evidence": published.evidence / 1_000,
        "revision": published.revision,
        "updated_at": words.published_at,
        "model_version": published.model_version,
        "taxonomy_version": published.taxonomy_version,
    })  # fmt: skip


def _plain(posterior: Posterior, personas: Sequence[str]) -> dict[str, Any]:
    return {
        "persona": posterior.persona,
        "confidence": posterior.confidence / MILLION,
        "ambiguous": posterior.ambiguous,
        "source": "assigned" if posterior.assigned else "predicted",
        "distribution": dict(
            zip(personas, [p / MILLION for p in posterior.distribution], strict=True)
        ),
    }


def _why(published: PublishedChange) -> list[dict[str, Any]]:
    return [
        {"feature": feature, "value": value, "lift": lift / MILLION}
        for feature, value, lift in published.why
    ]


#: A customer and the value of a change; None is a tombstone.
Change = tuple[str, bytes | None]
