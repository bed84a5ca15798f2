"""What the topic of changes has published of a customer, taken over into a record that is older.

A Redis that came back older does not know the last changes it had made. Had the record its own way,
its next change would repeat a revision that consumers have seen, with other contents. So the last
change on the topic becomes the record's: the next one is compared with it, and counts on from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.domain.events import to_milliseconds
from stream_persona.domain.record import PublishedChange, Record
from stream_persona.domain.record_codec import with_change
from stream_persona.pipeline.logged_change import build_change, parse_logged_change
from stream_persona.pipeline.messages import make_change_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def adopt_change(customer_id: str, record: Record | None, value: bytes) -> Record | None:
    """Return the record with a change that the topic has of its customer, if that is newer.

    It is if its revision is greater, and its id that of a change since the record's last deletion:
    what was published before a deletion, or after one that the record does not know, is not its.
    Fields that no change holds stay as they were, or begin with the change.
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


def adopt_changes(
    names: Iterable[str], stored: Mapping[str, Record], published: Mapping[str, bytes | None]
) -> Iterator[tuple[str, Record]]:
    """Yield the customers whose records lacked what was published, with their new records."""
    for name in names:
        value = published.get(name)
        record = adopt_change(name, stored.get(name), value) if value is not None else None
        if record is not None:
            yield name, record


def find_suspects(
    names: Iterable[str], stored: Mapping[str, Record], published: Mapping[str, bytes | None]
) -> Iterator[str]:
    """Find the customers whose last message on the topic may be of a deletion that is lost."""
    for name in (each for each in names if each in published):
        record, value = stored.get(name), published[name]
        if value is None:
            if record is None or record.published is not None:
                yield name
        elif not is_of_same_life(name, record or Record(), value):
            yield name


def _read_change(customer_id: str, record: Record, value: bytes) -> PublishedChange | None:
    """Read a change, if its id is that of one since the record's last deletion."""
    change, last = parse_logged_change(value), record.published
    if change is None:
        return None
    stays = last is not None and last.current.persona == change.current.persona
    published = build_change(
        change,
        since=last.since if last and stays else to_milliseconds(change.occurred_at),
        evidence=last.evidence if last else 0,
        candidate_floor=last.candidate_floor if last else 0,
    )
    own = make_change_id(customer_id, record.deleted_at, published)
    return published if own == change.change_id else None
