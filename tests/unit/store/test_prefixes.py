"""Which prefixes overlap: a law over all keys that two deployments can have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.store.prefixes import list_shorter_overlapping
from stream_persona.store.tables import Keyspace

#: Kinds of keys whose names others choose, and others.
OPEN = ("", "state", "deleted", "damaged", "affinity")
CLOSED = ("model", "labelled", "owner", "offsets", "pending", "due", "names")
ALONE = ("deployment", "files", "topics", "workers", "history", "suspects", "shown-names")

PIECES = st.lists(
    st.sampled_from(
        ["persona", ":", "-", "state", "-state:", "persona:", "a", "shop:", "{x}", "p"]
    ),
    max_size=5,
).map("".join)


def overlap(one: str, other: str) -> bool:
    return one in list_shorter_overlapping(other) or other in list_shorter_overlapping(one)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("", "persona:", True),
        ("", "persona-state:", True),
        ("", "persona-deleted:x", True),
        ("", "persona-affinity:", True),
        ("shop:", "shop:persona:", True),
        ("shop:", "shop:persona:eu:", True),
        ("{s}", "{s}persona-damaged:", True),
        ("", "", False),
        ("", "shop:", False),
        ("", "persona", False),
        ("", "persona-", False),
        ("", "my-persona:", False),
        ("a:", "b:persona:", False),
        ("persona:", "persona:x", False),
    ],
)
def test_a_prefix_overlaps_with_one_that_goes_on_as_its_keys_do(
    one: str, other: str, *, expected: bool
) -> None:
    assert overlap(one, other) is expected
    assert overlap(other, one) is expected


def test_all_shorter_prefixes_are_named() -> None:
    assert list(list_shorter_overlapping("a:persona:b:persona-state:")) == ["a:", "a:persona:b:"]


def can_share_a_key(one: str, other: str) -> bool:
    """Whether a key of ``other`` is one of ``one`` whose name somebody chose."""
    keys = [Keyspace(other).of(kind, "x") for kind in OPEN]
    keys += [Keyspace(other).of(kind, 3) for kind in CLOSED]
    keys += [Keyspace(other).of(kind) for kind in ALONE]
    starts = [Keyspace(one).of(kind, "") for kind in OPEN]
    return any(key.startswith(start) and key != start for key in keys for start in starts)


@given(PIECES, PIECES)
def test_prefixes_that_share_a_key_overlap(one: str, other: str) -> None:
    if one != other and (can_share_a_key(one, other) or can_share_a_key(other, one)):
        assert overlap(one, other)


@given(PIECES, st.sampled_from(["persona:", "persona-state:", "persona-affinity:"]), PIECES)
def test_prefixes_that_continue_a_key_share_one_and_overlap(
    one: str, start: str, rest: str
) -> None:
    other = f"{one}{start}{rest}"
    assert can_share_a_key(one, other)
    assert overlap(one, other)


@given(PIECES)
def test_a_prefix_does_not_overlap_with_itself(prefix: str) -> None:
    assert not overlap(prefix, prefix)
