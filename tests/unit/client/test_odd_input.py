"""Nothing that a caller may hand to a client fails a request, whatever it is."""

import asyncio
from collections import UserDict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson
import pytest

from stream_persona.client import UNKNOWN, UNREADABLE, AsyncPersonaClient, PersonaClient, Shopper
from stream_persona.client.changes import ChangeReader
from stream_persona.testing.client import StubAsyncPersonaClient, StubPersonaClient
from tests.support.clients import ITEMS, encode_change

NOBODY: list[Any] = [
    None, "", " ", "undefined", "null", "None", "NaN", "GUEST", "(not set)", "[object Object]", "0",
    "-1", "00000000-0000-0000-0000-000000000000", "\uff4e\uff55\uff4c\uff4c", " C1", "C1 ", "a\nb",
    "\ud800", "a\udfff", "\0", "x" * 257, "é" * 129, 0, 5, -1, 1.5, float("nan"), True, b"C1", b"",
    ("a",), object(), Decimal(1), int,
]  # fmt: skip
UNHASHABLE: list[Any] = [[], {}, {"a"}, bytearray(b"a")]
ODD_ITEMS: list[Any] = [
    None, 5, 1.5, True, "item", "\ud800", b"item", [], {}, (), {"a"}, object(), dict, Ellipsis,
    {"score": None}, {"score": "x"}, {"score": float("nan")}, {"score": 10**400}, {"score": []},
    {"price": 10**400}, {"price": -1}, {"price": float("inf")}, {"price": float("nan")},
    {"price": "3"}, {"price": True}, {"price": Decimal(3)}, {"category": 5}, {"category": "/"},
    {"category": ["a"]}, {"category": "\ud800"}, {"brand": []}, {"product_id": None},
    {"attributes": []}, {"attributes": {1: 2}}, {"attributes": {"a": 10**5_000}},
    {"attributes": {"a": None, None: "a", "\ud800": "\udfff"}}, {None: None}, {5: 5},
    {"attributes": {str(i): "x" for i in range(1_000)}}, UserDict({"category": "games"}),
]  # fmt: skip


class AskedForNobody(StubPersonaClient):
    """Fails a test that asks Redis for anything."""

    def _read_records(self, customer_ids: Sequence[str]) -> Sequence[bytes | None]:
        raise AssertionError(customer_ids)


class AskedForNobodyAsync(StubAsyncPersonaClient):
    """The same."""

    async def _read_records(self, customer_ids: Sequence[str]) -> Sequence[bytes | None]:
        raise AssertionError(customer_ids)


@pytest.mark.parametrize("given", NOBODY + UNHASHABLE)
def test_whatever_stands_for_nobody_is_unknown_without_a_lookup(given: Any) -> None:
    async def ask() -> list[Any]:
        client = AskedForNobodyAsync(holdout=1.0)
        return [await client.get(given), await client.rank(ITEMS, given)]

    client = AskedForNobody(holdout=1.0)
    found = [client.get(given), client.rank(ITEMS, given), *asyncio.run(ask())]
    assert [each.fallback for each in found] == [UNKNOWN] * 4
    assert client.rank(ITEMS, given).order == ITEMS
    assert client.fallbacks == {UNKNOWN: 3}


def test_many_odd_ids_are_unknown_and_the_others_are_looked_up() -> None:
    client = StubPersonaClient()
    client.set("C-1", "gamer")
    found = client.get_many([*NOBODY, *UNHASHABLE, "C-1"])
    assert found.pop("C-1").persona == "gamer"
    assert {shopper.fallback for shopper in found.values()} == {UNKNOWN}
    assert None in found
    assert client.get_many(None) == {}  # type: ignore[arg-type]
    assert client.get_many(5) == {}  # type: ignore[arg-type]


def test_a_client_with_a_cache_is_not_asked_for_nobody_either() -> None:
    client = PersonaClient("redis://127.0.0.1:1/0", cache=10)
    client._listener = object()  # type: ignore[assignment]
    assert [client.get(given).fallback for given in NOBODY] == [UNKNOWN] * len(NOBODY)
    assert {each.fallback for each in client.get_many(NOBODY).values()} == {UNKNOWN}


def test_other_ids_may_stand_for_nobody() -> None:
    client = StubPersonaClient(nobody_ids=["Kiosk-7"])
    for customer in ("kiosk-7", "guest"):
        client.set(customer, "gamer")
    assert client.get("KIOSK-7") == Shopper("KIOSK-7")
    assert client.get("guest").persona == "gamer"


@pytest.mark.parametrize("item", ODD_ITEMS)
def test_an_odd_item_has_its_place_in_a_ranking(item: Any) -> None:
    client = StubPersonaClient()
    client.set("C-1", "gamer")
    client.set_affinities("gamer", {
        "category:games": 5.0, **{f"attributes.{i}:x": 20.0 for i in range(1_000)},
    })  # fmt: skip
    for strength in (0.0, 1.0, 10.0):
        for customer in ("C-1", "nobody"):
            ranking = client.rank([ITEMS[1], item], customer, strength=strength)
            assert sorted(each.position for each in ranking.items) == [0, 1]
            assert any(each is item for each in ranking.order)


@pytest.mark.parametrize("items", [None, 5, [], (), "ab", {"a": 1}, iter([None])])
def test_items_that_are_no_list_can_be_ranked(items: Any) -> None:
    client = StubPersonaClient()
    assert isinstance(client.rank(items, "C-1").order, list)


def test_an_item_below_zero_of_the_least_affinity_has_a_score() -> None:
    client = StubPersonaClient()
    client.set("C-1", "gamer", distribution={"gamer": 1.0})
    client.set_affinities("gamer", {f"attributes.{i}:x": 0.0 for i in range(64)})
    item = {"score": -1e308, "attributes": {str(i): "x" for i in range(64)}}
    assert client.rank([item], "C-1", strength=10.0).order == [item]


@pytest.mark.parametrize(
    "damage",
    [
        {"persona": 5}, {"persona": ["gamer"]}, {"persona": {}}, {"distribution": []},
        {"distribution": {"gamer": "1"}}, {"distribution": {"gamer": None}}, {"candidates": 5},
        {"why": 5}, {"why": [5]}, {"customer_id": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_record_is_unreadable_to_a_ranking(damage: dict[str, Any]) -> None:
    client = StubPersonaClient()
    client.set("C-1", "gamer")
    client.set_affinities("gamer", {"category:games": 5.0})
    client.records["C-1"] = orjson.dumps(orjson.loads(client.records["C-1"]) | damage)
    ranking = client.rank(ITEMS, "C-1")
    assert (ranking.fallback, ranking.order) == (UNREADABLE, ITEMS)


@pytest.mark.parametrize("record", [b"", b"5", b"null", b"[]", b'"x"', b"{}", b"\xff"])
def test_a_value_that_is_no_record_is_unreadable(record: bytes) -> None:
    client = StubPersonaClient()
    client.records["C-1"] = record
    assert client.get("C-1").fallback == UNREADABLE
    assert client.rank([None], "C-1").fallback == UNREADABLE  # type: ignore[list-item]


@pytest.mark.parametrize("strength", [-1, 11, float("nan"), "2", []], ids=ascii)
def test_a_strength_that_is_none_is_a_value_error(strength: Any) -> None:
    with pytest.raises(ValueError, match="strength: expected 0 to 10"):
        StubPersonaClient().rank(ITEMS, "C-1", strength=strength)


def test_an_empty_separator_is_refused_at_the_start() -> None:
    for kind in (PersonaClient, AsyncPersonaClient):
        with pytest.raises(ValueError, match="category_separator"):
            kind(category_separator="")


@pytest.mark.parametrize("revision", ["x", None, [], {}], ids=ascii)
def test_a_change_whose_revision_is_no_number_is_none(revision: object) -> None:
    value = orjson.dumps(orjson.loads(encode_change("C-1", 1)) | {"revision": revision})
    assert ChangeReader().read(b"C-1", value) is None


def test_changes_of_nobody_are_left_out_and_their_ends_are_not() -> None:
    reader = ChangeReader()
    assert reader.read(b"undefined", encode_change("undefined", 1)) is None
    found = reader.read(b"undefined", None)
    assert found is not None
    assert found.deleted
