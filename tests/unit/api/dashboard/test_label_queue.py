"""The shoppers to label next: those whose label would change the model most, of several kinds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.api.dashboard.label_queue import (
    ALIKE,
    CandidateQueue,
    LabelCandidate,
    compute_information,
)

shares = st.lists(st.floats(0.001, 1.0), min_size=2, max_size=8).map(
    lambda parts: [part / sum(parts) for part in parts]
)


def candidate(name: str, first: str = "a", second: str = "b", worth: float = 1.0) -> LabelCandidate:
    distribution = {"c": 0.1, "d": 0.05, second: 0.4, first: 0.45}
    return LabelCandidate(name, worth, 10.0, distribution, [first, second], "2025-11-24T16:00:00Z")


def best(queue: CandidateQueue, limit: int = 100) -> list[str]:
    return [each.customer_id for each in queue.list_best(limit)]


def test_information_is_the_expected_length_of_a_step_of_the_model() -> None:
    p = np.array([0.5, 0.3, 0.2])
    expected = sum(p[k] * np.linalg.norm(np.eye(3)[k] - p) for k in range(3))
    assert compute_information(p.tolist(), evidence=4.0) == pytest.approx(expected * math.log(5.0))


def test_a_label_of_a_certain_shopper_has_no_information() -> None:
    assert compute_information([1.0, 0.0, 0.0], evidence=100.0) == 0.0


def test_a_label_of_a_shopper_without_evidence_has_no_information() -> None:
    assert compute_information([0.5, 0.5], evidence=0.0) == 0.0


@given(shares, st.floats(0.1, 1_000.0))
def test_a_less_certain_shopper_has_more_information(p: list[float], evidence: float) -> None:
    even = [1 / len(p)] * len(p)
    assert compute_information(p, evidence) <= compute_information(even, evidence) + 1e-9


@given(shares, st.floats(0.1, 1_000.0))
def test_more_evidence_is_more_information(p: list[float], evidence: float) -> None:
    assert compute_information(p, evidence) < compute_information(p, 2 * evidence)


def test_the_most_informative_come_first_and_equals_by_name() -> None:
    queue = CandidateQueue()
    for name, first, worth in (("x", "a", 1.0), ("y", "c", 3.0), ("z", "d", 2.0), ("w", "d", 2.0)):
        queue.offer(candidate(name, first, "b", worth))
    assert best(queue) == ["y", "w", "z", "x"]
    assert best(queue, limit=2) == ["y", "w"]


def test_one_confusion_does_not_fill_the_queue() -> None:
    queue = CandidateQueue()
    for number in range(20):
        queue.offer(candidate(f"many-{number:02}", "a", "b", worth=5.0 + number))
    queue.offer(candidate("other", "c", "b", worth=1.0))
    assert best(queue) == ["many-19", "many-18", "many-17", "many-16", "other"]


def test_the_same_confusion_is_one_whichever_persona_leads() -> None:
    queue = CandidateQueue()
    for number in range(ALIKE):
        queue.offer(candidate(f"ab-{number}", "a", "b"))
        queue.offer(candidate(f"ba-{number}", "b", "a"))
    assert len(best(queue)) == ALIKE


def test_the_next_of_a_pair_takes_the_place_of_one_that_leaves() -> None:
    queue = CandidateQueue()
    for number in range(ALIKE + 2):
        queue.offer(candidate(f"c{number}", worth=10.0 - number))
    queue.drop("c1")
    queue.drop("never there")
    assert best(queue) == ["c0", "c2", "c3", "c4"]


def test_the_queue_has_no_room_for_what_it_would_not_keep() -> None:
    queue, kind = CandidateQueue(), frozenset("ab")
    assert queue.has_room_for(kind, 0.0)
    for number in range(20):
        queue.offer(candidate(f"c{number}", worth=float(number)))
    assert not queue.has_room_for(kind, 1.0)
    assert queue.has_room_for(kind, 21.0)
    assert queue.has_room_for(frozenset("ac"), 1.0)


def test_a_shopper_who_is_offered_twice_is_queued_once() -> None:
    queue = CandidateQueue()
    queue.offer(candidate("x", "a", "b"))
    queue.offer(candidate("x", "c", "d"))
    assert best(queue) == ["x"]
