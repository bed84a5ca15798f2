"""Parses a customer's last change from its message, to restore a lost record. Pure.

A message holds all but three fields of a change: since when the name holds, the evidence, and the
floor of candidates. The public record has the last two, where it is of the same revision.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from stream_persona.domain.events import to_milliseconds
from stream_persona.domain.record import MILLION, PublishedChange, PublishedPosterior
from stream_persona.pipeline.decision import CAUSES
from stream_persona.pipeline.messages import decode_public_record, make_change_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.domain.record import Record

_ASSIGNED: Final = "assigned"


_Time = Annotated[datetime, Meta(tz=True)]


class _Posterior(Struct, frozen=True):
    persona: str | None
    confidence: float
    ambiguous: bool
    source: str
    distribution: dict[str, float]


class _Reason(Struct, frozen=True):
    feature: str
    value: str
    lift: float


class LoggedChange(Struct, frozen=True):
    """A message of ``persona-changes``."""

    change_id: str
    revision: int
    occurred_at: _Time
    published_at: _Time
    cause: str
    previous: _Posterior | None
    current: _Posterior
    why: list[_Reason]
    model_version: str
    taxonomy_version: str


_change_decoder = msgspec.json.Decoder(LoggedChange)


def parse_logged_change(value: bytes) -> LoggedChange | None:
    """Parse a message; None for what is no change."""
    try:
        change = _change_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return None
    return change if change.cause in CAUSES else None


def restore_published(
    customer_id: str,
    record: Record,
    logged: bytes | None,
    public: bytes | None,
    evidence: float,
    *,
    whole: bool,
) -> PublishedChange | None:
    """Decode the last change of a record that was folded again; None where there is none.

    ``logged`` is the customer's last message, ``public`` the public record, both as they were
    found; ``evidence`` stands in for that of a public record that cannot be read. A change from
    before the record's deletion is none of its own; where the record is not ``whole``, a deletion
    may be what it lacks, and revisions go on.
    """
    if record.is_marker:
        return None
    change = parse_logged_change(logged or b"")
    if change is None:
        return None
    found = decode_public_record(customer_id, public or b"")
    same = found if found is not None and found.revision == change.revision else None
    published = build_change(
        change,
        since=0 if change.current.persona is None else to_milliseconds(change.occurred_at),
        evidence=round(1_000 * (same.evidence if same else evidence)),
        candidate_floor=_find_lowest_share(
            change.current.distribution, same.candidates if same else ()
        ),
    )
    own = make_change_id(customer_id, record.deleted_at, published)
    return published if own == change.change_id or not whole else None


def build_change(
    change: LoggedChange, *, since: int, evidence: int, candidate_floor: int
) -> PublishedChange:
    """Build the change of a message; what no message holds is given, as in ``PublishedChange``."""
    personas = tuple(change.current.distribution)
    former = tuple(change.previous.distribution) if change.previous else personas
    return PublishedChange(
        revision=change.revision,
        cause=CAUSES.index(change.cause),
        at=to_milliseconds(change.occurred_at),
        published_at=to_milliseconds(change.published_at),
        since=since,
        evidence=evidence,
        candidate_floor=candidate_floor,
        personas=personas,
        previous=_build_posterior(change.previous) if change.previous else None,
        current=_build_posterior(change.current),
        why=tuple((each.feature, each.value, round(MILLION * each.lift)) for each in change.why),
        model_version=change.model_version,
        taxonomy_version=change.taxonomy_version,
        previous_personas=None if former == personas else former,
    )


def _find_lowest_share(shares: dict[str, float], candidates: Sequence[str]) -> int:
    """Find the floor above which exactly these are candidates; without any, the equal share."""
    known = [shares[name] for name in candidates if name in shares]
    return round(MILLION * (min(known) if known else 1 / max(1, len(shares))))


def _build_posterior(posterior: _Posterior) -> PublishedPosterior:
    return PublishedPosterior(
        posterior.persona,
        round(MILLION * posterior.confidence),
        posterior.ambiguous,
        posterior.source == _ASSIGNED,
        tuple(round(MILLION * share) for share in posterior.distribution.values()),
    )
