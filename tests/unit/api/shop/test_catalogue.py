"""What is found in a catalogue, and in which order."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from stream_persona.api.shop import builder
from stream_persona.api.shop.catalogue import Catalogue
from stream_persona.domain.text import split_words
from tests.support.catalogues import build, row, shop_rows

ROWS = [
    row(1, title="Dog food, 2 kg", category="Pets > Dog", brand="Rex", popularity=5),
    row(2, title="Food for cats", category="pets/cat", brand="Rex", popularity=9),
    row(3, title="Diapers", category="Baby/Diapers", brand="Tiny Dog", popularity=9),
    row(4, title="Doghouse", category="garden", popularity=0.5),
    row(5, title="狗粮", category="pets/dog"),
]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return build(ROWS)


def found(catalogue: Catalogue, query: str = "", category: str = "") -> list[str]:
    """The numbers of the products that a search finds, in its order."""
    positions = catalogue.search(query, category).tolist()
    return [catalogue.decode_item(each)["product_id"][2:] for each in positions]


def test_products_stand_by_popularity_and_equal_ones_as_in_the_file(catalogue: Catalogue) -> None:
    assert found(catalogue) == ["2", "3", "1", "4", "5"]
    assert catalogue.scores.tolist() == [9.0, 9.0, 5.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("dog", ["3", "1", "4", "5"]),  # in a brand, title or category, and where one begins so
        ("dog food", ["1"]), ("food dog", ["1"]), ("FOOD, DÖG", []), ("Food &amp; Dog", ["1"]),
        ("do", ["3", "1", "4", "5"]), ("do food", []), ("food do", ["1"]),  # the last one goes on
        ("d", ["3", "1", "4", "5"]), ("rex", ["2", "1"]), ("pets rex", ["2", "1"]),
        ("diap", ["3"]), ("狗", ["5"]), ("狗粮", ["5"]), ("nothing", []), ("?!", []),
        ("   ", ["2", "3", "1", "4", "5"]),
        ("\U0010ffff", []),
    ],
)  # fmt: skip
def test_a_search_finds_products_with_all_words(
    catalogue: Catalogue, query: str, expected: list[str]
) -> None:
    assert found(catalogue, query) == expected


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("pets", ["2", "1", "5"]), ("PETS/dog", ["1", "5"]), ("pets > dog", ["1", "5"]),
        ("dog", []), ("baby", ["3"]), ("pet", []), ("/", []),
    ],
)  # fmt: skip
def test_a_category_holds_those_below_it(
    catalogue: Catalogue, category: str, expected: list[str]
) -> None:
    assert found(catalogue, category=category) == expected


def test_words_and_a_category_hold_together(catalogue: Catalogue) -> None:
    assert found(catalogue, "rex", "pets/dog") == ["1"]


def test_the_index_finds_what_a_look_through_all_products_finds() -> None:
    rows = shop_rows(400)
    catalogue = build(rows)
    texts = {
        each["product_id"][2:]: split_words(
            " ".join(filter(None, (each["title"], each["category"], each["brand"])))
        )
        for each in rows
    }
    popularity = {each["product_id"][2:]: each["popularity"] for each in rows}
    rng = random.Random(2)
    asked = ["small", "thing 1", "tiny s", "large baby", "acme", "thing 39", "garden saws la"]
    for query in [*asked, *(f"thing {rng.randrange(400)}" for _ in range(20))]:
        *whole, last = split_words(query) or [query]
        expected = [
            number
            for number, own in texts.items()
            if set(whole) <= set(own) and any(word.startswith(last) for word in own)
        ]
        expected.sort(key=lambda number: (-popularity[number], int(number)))
        assert found(catalogue, query) == expected, query


def test_facts_count_products_top_levels_and_rows_left_out() -> None:
    rows = [*ROWS, row(1), row(9, price=-1), row(10, popularity=-1), row(11, popularity=-1)]
    facts = build(rows).facts
    assert facts.products == 5
    assert facts.categories == {"Pets": 3, "Baby": 1, "garden": 1}
    assert list(facts.categories) == ["Pets", "Baby", "garden"]
    assert facts.skipped == {"invalid_price": 1, "invalid_popularity": 2, "duplicate": 1}
    assert (facts.without_popularity, facts.unknown_partners) == (1, 0)


def test_the_first_of_two_rows_of_one_product_is_kept() -> None:
    catalogue = build([row(1, title="First"), row(1, title="Second"), row(2)])
    assert [catalogue.decode_item(each)["title"] for each in range(2)] == ["First", "Thing 2"]


def test_a_product_that_is_too_large_is_left_out() -> None:
    attributes = {str(n): "x" * 100 for n in range(60)}
    assert build([row(1, attributes=attributes), row(2)]).facts.skipped == {"too_large": 1}


def test_rows_beyond_the_bound_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "MOST_PRODUCTS", 2)
    facts = build([row(n) for n in range(5)]).facts
    assert (facts.products, facts.skipped) == (2, {"too_many": 3})


def test_products_without_any_popularity_have_the_scores_of_their_places() -> None:
    catalogue = build([row(n) for n in range(3)])
    assert catalogue.scores.tolist() == [1.0, 1 / 2, 1 / 3]
    assert catalogue.facts.without_popularity == 3


def test_an_encoded_item_is_its_fields_and_its_score(catalogue: Catalogue) -> None:
    assert json.loads(catalogue.encode_item(0)) == {
        "product_id": "P-2", "title": "Food for cats", "category": "pets/cat", "brand": "Rex",
        "price": None, "attributes": {}, "score": 9.0,
    }  # fmt: skip
    assert json.loads(catalogue.encode_item(0, 0.1 + 0.2))["score"] == 0.1 + 0.2


def together(rows: list[dict[str, Any]], *given: str) -> list[tuple[str, float]]:
    catalogue = build(rows)
    positions, scores = catalogue.find_together([catalogue.positions[each] for each in given])
    return [
        (catalogue.decode_item(position)["product_id"], round(score, 6))
        for position, score in zip(positions.tolist(), scores.tolist(), strict=True)
    ]


def test_what_is_bought_with_a_product_comes_in_the_order_of_the_file() -> None:
    rows = [row(1, bought_with=["P-4", "P-2", "P-3"]), *(row(n, popularity=n) for n in (2, 3, 4))]
    assert together(rows, "P-1") == [("P-4", 1.0), ("P-2", 0.5), ("P-3", 0.333333)]
    assert together(rows, "P-2") == []


def test_the_weights_of_several_products_add_up_and_these_are_left_out() -> None:
    rows = [
        row(1, bought_with=[["P-3", 2.0], ["P-2", 9.0]], popularity=9),
        row(2, bought_with=[["P-3", 1.5], ["P-4", 3.5]]),
        row(3, popularity=1), row(4, popularity=2),
    ]  # fmt: skip
    assert together(rows, "P-1", "P-2") == [("P-4", 3.5), ("P-3", 3.5)]  # the more popular first
    assert together(rows, "P-1", "P-1") == [("P-2", 9.0), ("P-3", 2.0)]
    assert together(rows) == []


def test_partners_that_are_unknown_itself_or_named_twice_count_once_or_not() -> None:
    rows = [row(1, bought_with=["P-1", "gone", "P-2", "P-2"]), row(2), row(3, price=-1)]
    assert together(rows, "P-1") == [("P-2", round(1 / 3, 6))]
    assert build(rows).facts.unknown_partners == 1
