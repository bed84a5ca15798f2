"""What the topic of changes has published of a customer, taken over into a record that is older.

A Redis that came back older does not know the last changes it had made. Had the record its own way,
its next change would repeat a revision that consumers have seen, with other contents. So the last
change on the topic becomes the record's: the next one is compared with it, and counts on from it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from stream_persona.domain.events import milliseconds
from stream_persona.domain.record import MILLION, PublishedChange, PublishedPosterior, Record
from stream_persona.domain.record_codec import with_change
from stream_persona.pipeline.decision import CAUSES
from stream_persona.pipeline.messages import change_id


class _Posterior(Struct):
    persona: str | None
    confidence: float
    ambiguous: bool
    source: str
    distribution: dict[str, float]


class _Reason(Struct):
    feature: str
    value: str
    lift: float


class _Change(Struct):
    change_id: str
    revision: int
    occurred_at: datetime
    published_at: datetime
    cause: str
    previous: _Posterior | None
    current: _Posterior
    why: list[_Reason]
    model_version: str
    taxonomy_version: str


_decoder: Final = msgspec.json.Decoder(_Change)


def adopt_change(customer_id: str, record: Record | None, value: bytes) -> Record | None:
    """Return the record with a change that the topic has of its customer, if that is newer.

    It is if its revision is greater, and its id that of a change since the record's last deletion:
    what was published before a deletion, or after one that the record does not know, is not its.
    What no change says stays as it was, or begins with the change.
    """
    before = record or Record()
    published = _read_change(customer_id, before, value)
    last = before.published
    if published is None or (last is not None and last.revision >= published.revision):
        return None
    return with_change(before, published)


def is_of_same_life(customer_id: str, record: Record, value: bytes) -> bool:
    """Whether a change was published since the record's last deletion, and before any later one."""
    return _read_change(customer_id, record, value) is not None


def _read_change(customer_id: str, record: Record, value: bytes) -> PublishedChange | None:
    """Read a change, if its id is that of one since the record's last deletion."""
    try:
        change = _decoder.decode(value)
    except msgspec.DecodeError:
        return None
    published = _published_change(change, record.published)
    if published is None:
        return None
    own = change_id(customer_id, record.deleted_at, published)
    return published if own == change.change_id else None


def _published_change(change: _Change, last: PublishedChange | None) -> PublishedChange | None:
    if change.cause not in CAUSES:
        return None
    at, previous = milliseconds(change.occurred_at), change.previous
    personas = tuple(change.current.distribution)
    former = tuple(previous.distribution) if previous else personas
    renamed = last is None or last.current.persona != change.current.persona
    return PublishedChange(
        revision=change.revision,
        cause=CAUSES.index(change.cause),
        at=at,
        published_at=milliseconds(change.published_at),
        since=at if renamed or last is None else last.since,
        evidence=last.evidence if last else 0,
        candidate_floor=last.candidate_floor if last else 0,
        personas=personas,
        previous=_published_posterior(previous) if previous else None,
        current=_published_posterior(change.current),
        why=tuple((why.feature, why.value, _millionths(why.lift)) for why in change.why),
        model_version=change.model_version,
        taxonomy_version=change.taxonomy_version,
        previous_personas=former if former != personas else None,
    )


def _published_posterior(posterior: _Posterior) -> PublishedPosterior:
    return PublishedPosterior(
        posterior.persona,
        _millionths(posterior.confidence),
        posterior.ambiguous,
        posterior.source == "assigned",
        tuple(map(_millionths, posterior.distribution.values())),
    )


def _millionths(share: float) -> int:
    return round(share * MILLION)
