"""The harness itself: a seed means the same every time, and the judge finds what is wrong."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from tests.chaos import schedule
from tests.chaos.carrier import carry, count_notes
from tests.chaos.changes import Change, check_changes
from tests.chaos.schedule import SHORT, plan
from tests.chaos.shopfloor import Shopfloor


@dataclass
class Collector:
    found: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)

    def add(self, check: str, customer: str, what: str) -> None:
        self.found.append(f"{check}: {what}")


def change(revision: int, life: str = "a", confidence: float = 0.5) -> Change:
    content = {
        "revision": revision, "why": [], "model_version": "m", "taxonomy_version": "t",
        "published_at": f"at {revision}", "current": current(confidence),
    }  # fmt: skip
    return Change("c1", orjson.dumps(content), f"{life}{revision}", revision)


def current(confidence: float) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "persona": None,
        "ambiguous": True,
        "source": "predicted",
        "distribution": {},
    }
    return {**fields, "confidence": confidence}


def public(revision: int) -> dict[str, bytes]:
    record = {
        "revision": revision, "why": [], "model_version": "m", "taxonomy_version": "t",
        "updated_at": f"at {revision}", **current(0.5),
    }  # fmt: skip
    return {"c1": orjson.dumps(record)}


TOMBSTONE = Change("c1", None)


def mismatches(changes: list[Change], last: int | None) -> list[str]:
    verdict = Collector()
    check_changes(changes, public(last) if last else {}, [] if last else ["c1"], verdict)
    return verdict.found


def test_a_seed_gives_the_same_shop_to_the_byte() -> None:
    first, again = (carry(Shopfloor(3, 2_000, 100).messages(), 3, partitions=8) for _ in range(2))
    assert first == again
    assert first != carry(Shopfloor(4, 2_000, 100).messages(), 4, partitions=8)


def test_a_shop_has_everything_that_can_go_wrong_with_a_message() -> None:
    notes = count_notes(carry(Shopfloor(3, 20_000, 400).messages(), 3, partitions=8))
    kinds = ("duplicate", "elsewhere", "unreadable", "delayed", "out_of_order")
    assert all(notes[kind] > 0 for kind in kinds)


def test_a_seed_gives_the_same_faults_and_all_kinds_when_there_is_room() -> None:
    assert plan(1, 200_000, 44) == plan(1, 200_000, 44)
    kinds = {fault.kind for fault in plan(1, 200_000, 44).faults}
    assert kinds == {kind for group in schedule.SHARES for kind in group}
    assert {fault.kind for fault in plan(1, 15_000, len(SHORT)).faults} == set(SHORT)


def test_a_plan_halves_until_nothing_is_left() -> None:
    whole = plan(1, 1_000, 3)
    sizes = [len(half.faults) for half in whole.halves()]
    assert sizes == [1, 2]
    assert [len(half.faults) for half in whole.only([2]).halves()] == [0]


def test_right_changes_are_no_mismatch() -> None:
    assert mismatches([change(1), change(2), change(2), change(3)], last=3) == []
    assert mismatches([change(1), TOMBSTONE, TOMBSTONE], last=None) == []
    assert (
        mismatches([change(1), TOMBSTONE, change(1, "b"), TOMBSTONE, change(1, "b")], last=1) == []
    )


@pytest.mark.parametrize(
    ("changes", "last", "wrong"),
    [
        ([change(1), change(3)], 3, "change: revision 3 follows revision 1"),
        ([change(2)], 2, "change: revision 2 follows revision 0"),
        ([change(1), change(2), change(1), change(2)], 2, "change: revision 1 came again after"),
        ([change(1), change(1, confidence=0.6)], 1, "change: two different changes have the id a1"),
        ([change(1), change(2)], 1, "last change: revision 2 on the topic, 1 in Redis"),
        ([change(1)], None, "last change: a change, but no record"),
        ([change(1), change(2), TOMBSTONE, change(2)], 2, "change: revision 2 came again after"),
        ([change(1), TOMBSTONE, change(2, "b")], 2, "change: revision 2 follows revision 0"),
        ([TOMBSTONE, change(1)], None, "deleted: the last message on the topic is no tombstone"),
    ],
)
def test_wrong_changes_are_named(changes: list[Change], last: int | None, wrong: str) -> None:
    assert any(line.startswith(wrong) for line in mismatches(changes, last))
