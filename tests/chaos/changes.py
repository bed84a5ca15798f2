"""What was said of each customer on the topic of changes, in the order in which it was said.

A tombstone ends a customer's *life*: revisions begin again at 1 after it. Within a life they count
up by one. A change may come twice, if it is the same to the byte and nothing newer was said in
between; so may a tombstone, together with the first change of the life that it made room for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import orjson
from aiokafka import ConsumerRecord

#: What a change and a public record both tell.
CURRENT = ("persona", "confidence", "ambiguous", "source", "distribution")
ALIKE = ("revision", "why", "model_version", "taxonomy_version")


class Court(Protocol):
    """What takes mismatches and figures."""

    figures: Any

    def add(self, check: str, customer: str, what: str) -> None: ...


@dataclass(frozen=True)
class Change:
    """A message of the topic; ``content`` None is a tombstone."""

    customer: str
    content: bytes | None
    change_id: str = ""
    revision: int = 0

    @classmethod
    def read(cls, raw: ConsumerRecord) -> Self:
        customer = raw.key.decode()
        if raw.value is None:
            return cls(customer, None)
        said = orjson.loads(raw.value)
        assert said["customer_id"] == customer
        return cls(customer, raw.value, said["change_id"], said["revision"])


@dataclass
class _Story:
    """One customer's changes until now: those of this life, of the last, and of all."""

    contents: dict[str, bytes] = field(default_factory=dict)
    life: list[Change] = field(default_factory=list)
    before: list[Change] = field(default_factory=list)
    tombstones: int = 0
    again: int = 0

    def hear(self, change: Change) -> str:
        """Take in the next message; what is wrong with it, if anything."""
        if change.content is None:
            self.tombstones += 1
            self.before, self.life = self.life or self.before, []
            return ""
        known = self.contents.setdefault(change.change_id, change.content)
        if known != change.content:
            return f"two different changes have the id {change.change_id}"
        if not self.life and self._is_opening(change):
            self.life, self.again = self.before, self.again + 1
            return ""
        return self._next(change)

    def _is_opening(self, change: Change) -> bool:
        """Whether a tombstone came twice, together with the one change that follows it."""
        ids = {said.change_id for said in self.before}
        return self.tombstones > 1 and ids == {change.change_id}

    def _next(self, change: Change) -> str:
        last = self.life[-1] if self.life else None
        if last and change.change_id == last.change_id:
            self.again += 1
            return ""
        revision = last.revision if last else 0
        if any(change.change_id == said.change_id for said in (*self.life, *self.before)):
            return f"revision {change.revision} was said again after revision {revision}"
        self.life.append(change)
        if change.revision != revision + 1:
            return f"revision {change.revision} follows revision {revision}"
        return ""


def lives(
    changes: Sequence[Change], public: Mapping[str, bytes], gone: Iterable[str], court: Court
) -> None:
    """Hold every customer's changes against the rules, and the last against the public record."""
    stories: dict[str, _Story] = {}
    for change in changes:
        if wrong := stories.setdefault(change.customer, _Story()).hear(change):
            court.add("change", change.customer, wrong)
    for customer in sorted(public.keys() | stories.keys()):
        story = stories.get(customer, _Story())
        if wrong := _last(story.life, public.get(customer)):
            court.add("last change", customer, wrong)
    for customer in gone:
        if customer not in stories or stories[customer].life:
            court.add("deleted", customer, "the last message on the topic is no tombstone")
    court.figures["changes"] += len(changes)
    court.figures["tombstones"] += sum(story.tombstones for story in stories.values())
    court.figures["redelivered"] += sum(story.again for story in stories.values())


def _last(life: Sequence[Change], public: bytes | None) -> str:
    """In what the last change and the public record differ."""
    if not life or public is None:
        if not life and public is None:
            return ""
        return "a public record without a change" if life == [] else "a change, but no record"
    assert life[-1].content
    change, record = orjson.loads(life[-1].content), orjson.loads(public)
    wrong = [name for name in CURRENT if change["current"][name] != record[name]]
    wrong += [name for name in ALIKE if change[name] != record[name]]
    if change["published_at"] != record["updated_at"]:
        wrong.append("updated_at")
    if not wrong:
        return ""
    return f"revision {change['revision']} on the topic, {record['revision']} in Redis: {wrong}"
