"""Foreign documents as our events: each document by the first source that takes it.

Every failure is a ``DecodeError``. Nothing vanishes in silence: what is left out of a document is
counted by its reason (``domain.anomaly``), and of several events in one document those that are
wrong are ``faults`` beside the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import Event
from stream_persona.domain.identity import NOBODY_IDS
from stream_persona.domain.mapping.decoding import decode_document
from stream_persona.domain.mapping.drafts import (
    EventDraft,
    IdentityLink,
    LinkDraft,
    finish,
    finish_link,
)
from stream_persona.domain.mapping.readers import read_with
from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.mapping.drafts import Findings
    from stream_persona.domain.mapping.sources import Source

__all__ = ["IdentityLink", "MappedDocument", "decode_document", "map_document"]


class MappedDocument(NamedTuple):
    """What a document holds: events with their kinds (indices into ``events.KINDS``), in order.

    ``left_out`` counts what is no event, by ``Anomaly``. ``faults`` are events of the document that
    are wrong while others are right: it belongs into the dead letters too, once, with the first.
    """

    events: tuple[tuple[int, Event], ...]
    links: tuple[IdentityLink, ...]
    left_out: Mapping[str, int]
    faults: tuple[DecodeError, ...] = ()


def map_document(
    sources: Sequence[Source],
    document: object,
    nobody: NobodyIds = NOBODY_IDS,
    arrived_at: int | None = None,
) -> MappedDocument:
    """Map a decoded document by the first of its topic's sources that takes it.

    ``arrived_at`` (epoch milliseconds, where the broker sets it) dates documents of tools that may
    leave the time to whoever receives them, as GA4's Measurement Protocol does.

    Raises:
        DecodeError: something of the document is wrong, and no event or link of it is right.
    """
    for source in sources:
        if source.when is None or source.when.holds(document):
            try:
                return _collect(read_with(source, document, nobody, arrived_at), nobody)
            except RecursionError:
                raise DecodeError("too_deep", "nested deeper than can be read") from None
    return MappedDocument((), (), {Anomaly.UNMAPPED: 1})


def _collect(findings: Findings, nobody: NobodyIds) -> MappedDocument:
    events: list[tuple[int, Event]] = []
    links: list[IdentityLink] = []
    left_out: dict[str, int] = {}
    faults: list[DecodeError] = []
    for found in findings:
        try:
            if isinstance(found, EventDraft):
                events.append((found.kind, finish(found, nobody)))
            elif isinstance(found, LinkDraft):
                link = finish_link(found, nobody)
                reason = Anomaly.NOBODY if link is None else Anomaly.IDENTITY_LINK
                left_out[reason] = left_out.get(reason, 0) + 1
                links += [] if link is None else [link]
            elif isinstance(found, DecodeError):
                faults.append(found)
            else:
                left_out[found] = left_out.get(found, 0) + 1
        except DecodeError as error:
            faults.append(error)
    if not (events or left_out or faults):  # an empty batch
        left_out[Anomaly.NOT_OF_INTEREST] = 1
    if faults and not events and not links:
        raise faults[0]
    return MappedDocument(tuple(events), tuple(links), left_out, tuple(faults))
