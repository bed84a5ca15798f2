"""Checks each customer's changes on the topic, in their order.

A tombstone ends a customer's *life*: revisions begin again at 1 after it. Within a life they count
up by one. A change may come twice, if it is the same to the byte and no newer one came in
between; so may a tombstone, together with the first change of the life that it made room for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import orjson
from aiokafka import ConsumerRecord

#: Fields that a change and a public record share.
CURRENT = ("persona", "confidence", "ambiguous", "source", "distribution")
ALIKE = ("revision", "why", "model_version", "taxonomy_version")


class Collector(Protocol):
    """Takes mismatches and figures."""

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
        content = orjson.loads(raw.value)
        assert content["customer_id"] == customer
        return cls(customer, raw.value, content["change_id"], content["revision"])


@dataclass
class _Sequence:
    """One customer's changes until now: those of this life, of the last, and of all."""

    contents: dict[str, bytes] = field(default_factory=dict)
    life: list[Change] = field(default_factory=list)
    before: list[Change] = field(default_factory=list)
    tombstones: int = 0
    again: int = 0

    def add(self, change: Change) -> str:
        """Add the next message; return what is wrong with it, or nothing."""
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
        ids = {earlier.change_id for earlier in self.before}
        return self.tombstones > 1 and ids == {change.change_id}

    def _next(self, change: Change) -> str:
        last = self.life[-1] if self.life else None
        if last and change.change_id == last.change_id:
            self.again += 1
            return ""
        revision = last.revision if last else 0
        if any(change.change_id == earlier.change_id for earlier in (*self.life, *self.before)):
            return f"revision {change.revision} came again after revision {revision}"
        self.life.append(change)
        if change.revision != revision + 1:
            return f"revision {change.revision} follows revision {revision}"
        return ""


def check_changes(
    changes: Sequence[Change], public: Mapping[str, bytes], gone: Iterable[str], verdict: Collector
) -> None:
    """Check every customer's changes, and the last one against the public record."""
    sequences: dict[str, _Sequence] = {}
    for change in changes:
        if wrong := sequences.setdefault(change.customer, _Sequence()).add(change):
            verdict.add("change", change.customer, wrong)
    for customer in sorted(public.keys() | sequences.keys()):
        sequence = sequences.get(customer, _Sequence())
        if wrong := _compare_last(sequence.life, public.get(customer)):
            verdict.add("last change", customer, wrong)
    for customer in gone:
        if customer not in sequences or sequences[customer].life:
            verdict.add("deleted", customer, "the last message on the topic is no tombstone")
    verdict.figures["changes"] += len(changes)
    verdict.figures["tombstones"] += sum(each.tombstones for each in sequences.values())
    verdict.figures["redelivered"] += sum(each.again for each in sequences.values())


def _compare_last(life: Sequence[Change], public: bytes | None) -> str:
    """Return what differs between the last change and the public record."""
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
