"""What clients remember: changes that were seen already, shoppers that have not changed since."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream_persona.client.cache import Recent
from stream_persona.client.changes import Changes
from stream_persona.client.models import UNREACHABLE, Change, Shopper


def message(customer: str, revision: int, change_id: str | None = None) -> bytes:
    said = {"persona": "parent", "confidence": 0.8, "ambiguous": False, "source": "predicted"}
    told: dict[str, Any] = {
        "change_id": change_id or f"{customer}-{revision}", "customer_id": customer,
        "revision": revision, "occurred_at": "t", "published_at": "t", "cause": "behaviour",
        "previous": None, "current": {**said, "distribution": {"parent": 0.8}}, "why": [],
    }  # fmt: skip
    return json.dumps(told).encode()


def test_a_change_that_comes_again_is_told_once() -> None:
    changes = Changes()
    first = changes.read(b"c", message("c", 1))
    assert isinstance(first, Change)
    assert (first.customer_id, first.revision, first.persona, first.previous) == (
        "c", 1, "parent", None,
    )  # fmt: skip
    assert changes.read(b"c", message("c", 1)) is None
    assert changes.read(b"c", message("c", 2)) is not None
    assert changes.read(b"c", message("c", 1)) is None
    assert changes.read(b"d", message("d", 1)) is not None


def test_a_deletion_is_told_and_lets_revisions_begin_again() -> None:
    changes = Changes()
    changes.read(b"c", message("c", 7))
    assert changes.read(b"c", None) == Change("c", deleted=True)
    back = changes.read(b"c", message("c", 1, "new"))
    assert back is not None
    assert back.revision == 1


def test_what_is_no_change_is_left_out() -> None:
    changes = Changes()
    for value in (b"", b"{", b"[]", b'{"revision": 1}', b"null"):
        assert changes.read(b"c", value) is None


def test_watching_remembers_a_bounded_number_of_customers() -> None:
    changes = Changes(remembered=2)
    for name in "abc":
        assert changes.read(name.encode(), message(name, 1)) is not None
    assert changes.read(b"c", message("c", 1)) is None
    assert changes.read(b"a", message("a", 1)) is not None


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "answer", "change", "lost", "heard"]), st.sampled_from("ab")),
    max_size=60,
)


@given(STEPS)
def test_what_is_kept_is_never_older_than_the_last_change(steps: list[tuple[str, str]]) -> None:
    """A server's truth moves between asking, answering and hearing of it, in any order."""
    recent, truth = Recent(10), {"a": 0, "b": 0}
    asked: dict[str, list[tuple[int, int]]] = {"a": [], "b": []}
    recent.begin(fresh=True)
    for step, name in steps:
        if step == "ask":
            asked[name].append((recent.asking(name), truth[name]))
        elif step == "answer" and asked[name]:
            mark, found = asked[name].pop(0)
            recent.keep(mark, Shopper(name, revision=found))
        elif step == "change":
            truth[name] += 1
            recent.forget(name)
        elif step == "lost":
            truth[name] += 1  # and nobody tells
            recent.begin(fresh=False)
        elif step == "heard":
            recent.begin(fresh=True)
        for each, newest in truth.items():
            kept = recent.get(each)
            assert kept is None or kept.revision == newest


def test_what_could_not_be_answered_is_asked_again() -> None:
    recent = Recent(10)
    recent.begin(fresh=True)
    recent.keep(recent.asking("a"), Shopper("a", fallback=UNREACHABLE))
    assert recent.get("a") is None
