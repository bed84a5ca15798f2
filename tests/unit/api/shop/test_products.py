"""The rows of a catalogue's file: what is read of one, and why one is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream_persona.api.rank import RankItem
from stream_persona.api.shop.products import (
    MOST_PARTNERS,
    MOST_TITLE,
    REASONS,
    RowError,
    read_product,
)
from tests.support.catalogues import row


def read(**fields: Any) -> Any:
    return read_product(json.dumps(row(**fields)).encode())


def reason_of(value: bytes) -> str:
    with pytest.raises(RowError) as caught:
        read_product(value)
    assert caught.value.reason in REASONS
    return caught.value.reason


def test_a_whole_row_is_read() -> None:
    found = read(
        title="  Dog\u00a0food\n 2 kg", category="pets/dog", brand="Rex", price=9, popularity=3,
        attributes={"size": "2 kg", "colour": None}, bought_with=["P-2", ["P-3", 4.5]], url="/x",
    )  # fmt: skip
    assert found == (
        "P-1", "Dog food 2 kg", "pets/dog", "Rex", 9.0, {"size": "2 kg"}, 3.0,
        (("P-2", 1.0), ("P-3", 4.5)),
    )  # fmt: skip


def test_an_item_is_what_a_ranking_takes() -> None:
    found = read(category="pets", price=0, attributes={"a": "b"})
    assert RankItem.model_validate({**found.item, "score": 1.0}).product_id == "P-1"
    assert RankItem.model_validate(read().item).category is None


def test_what_is_empty_is_left_out_of_a_product() -> None:
    found = read(category=" ", brand=None, price=None, popularity=None, attributes=None)
    assert found[2:7] == (None, None, None, {}, None)


def test_a_whole_number_is_an_id_as_the_text_that_events_have() -> None:
    found = read(product_id=1_082_185, bought_with=[7, [8, 2]])
    assert found.product_id == "1082185"
    assert found.bought_with == (("7", 1.0), ("8", 2.0))


def test_columns_are_attributes_beside_an_object_of_them() -> None:
    found = read(attributes={"a": "1"}, **{"attributes.b": "2", "attributes.c": None})
    assert found.attributes == {"a": "1", "b": "2"}


def test_pairs_of_parquet_are_objects() -> None:
    found = read(bought_with=[{"product_id": "P-2", "lift": 3.0}])
    assert found.bought_with == (("P-2", 3.0),)


def test_the_first_ones_of_many_partners_are_kept() -> None:
    found = read(bought_with=[f"P-{n}" for n in range(5_000)])
    assert len(found.bought_with) == MOST_PARTNERS
    assert found.bought_with[-1] == (f"P-{MOST_PARTNERS - 1}", 1 / MOST_PARTNERS)


@pytest.mark.parametrize(
    "title",
    ["Bébé 🍼", "خبز", "Zucker \u200d\u00ad", "x" * MOST_TITLE, "100 % <b>&amp;</b> 'quoted' \\n"],
)
def test_titles_of_any_language_are_taken(title: str) -> None:
    assert read(title=title).title == " ".join(title.split())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"product_id": None}, "invalid_id"), ({"product_id": ""}, "invalid_id"),
        ({"product_id": " P"}, "invalid_id"), ({"product_id": 1.5}, "invalid_id"),
        ({"product_id": True}, "invalid_id"), ({"product_id": "a\nb"}, "invalid_id"),
        ({"product_id": "é" * 129}, "invalid_id"), ({"product_id": ["P"]}, "invalid_id"),
        ({"title": None}, "invalid_title"), ({"title": ""}, "invalid_title"),
        ({"title": " \t "}, "invalid_title"), ({"title": "\u200d"}, "invalid_title"),
        ({"title": 3}, "invalid_title"), ({"title": "x" * (MOST_TITLE + 1)}, "invalid_title"),
        ({"title": "a\x00b"}, "invalid_title"), ({"title": "\x1b[31mred"}, "invalid_title"),
        ({"title": "gpj.\u202eexe"}, "invalid_title"), ({"title": "a\u2066b"}, "invalid_title"),
        ({"title": "a\x7f"}, "invalid_title"), ({"title": "a\x9bb"}, "invalid_title"),
        ({"category": 3}, "invalid_text"), ({"category": "x" * 1_025}, "invalid_text"),
        ({"category": ["a", "b"]}, "invalid_text"), ({"brand": "a\x07"}, "invalid_text"),
        ({"brand": {}}, "invalid_text"),
        ({"price": -0.01}, "invalid_price"), ({"price": "9.50"}, "invalid_price"),
        ({"price": 1e101}, "invalid_price"), ({"price": True}, "invalid_price"),
        ({"price": 10**400}, "invalid_price"),
        ({"popularity": -1}, "invalid_popularity"), ({"popularity": "7"}, "invalid_popularity"),
        ({"popularity": 1e300}, "invalid_popularity"), ({"popularity": []}, "invalid_popularity"),
        ({"attributes": "a"}, "invalid_attributes"),
        ({"attributes": {"a": 1}}, "invalid_attributes"),
        ({"attributes": {"": "a"}}, "invalid_attributes"),
        ({"attributes": {"a\x00": "a"}}, "invalid_attributes"),
        ({"attributes": {str(n): "a" for n in range(65)}}, "invalid_attributes"),
        ({"attributes.size": 4}, "invalid_attributes"),
        ({"bought_with": "P-2"}, "invalid_bought_with"),
        ({"bought_with": [None]}, "invalid_bought_with"),
        ({"bought_with": [["P-2"]]}, "invalid_bought_with"),
        ({"bought_with": [["P-2", 0]]}, "invalid_bought_with"),
        ({"bought_with": [["P-2", -1]]}, "invalid_bought_with"),
        ({"bought_with": [["P-2", 1e39]]}, "invalid_bought_with"),
        ({"bought_with": [["P-2", 1e-46]]}, "invalid_bought_with"),
        ({"bought_with": [["P-2", None]]}, "invalid_bought_with"),
        ({"bought_with": [[2.5, 1]]}, "invalid_bought_with"),
    ],
)  # fmt: skip
def test_a_row_that_lies_is_left_out_with_its_reason(fields: dict[str, Any], reason: str) -> None:
    assert reason_of(json.dumps(row(**fields)).encode()) == reason


@pytest.mark.parametrize(
    "value",
    [
        b"", b"{", b"[]", b"3", b"null", b'"a"', b"\xff", b'{"title": "\xff"}', b"NaN",
        b'{"product_id": "P", "title": "a", "popularity": NaN}', b"[" * 100_000,
        b'{"product_id": "P", "title": "a", "price": Infinity}',
        b'{"product_id": "P", "title": "\\ud800"}',
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_left_out(value: bytes) -> None:
    assert reason_of(value) == "not_json"
