"""The demo's catalogue: what was bought in the first half-year, with titles to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream_persona.api.shop.catalogue_file import read_catalogue
from stream_persona.demo import catalogue, catalogue_rows, journey_tables
from stream_persona.demo.catalogue import prepare_catalogue
from stream_persona.demo.catalogue_rows import make_rows
from stream_persona.demo.titles import ProductData, make_titles, write_type
from tests.support.journeys import AUTUMN, SPRING, line, pd, products

#: Five baskets have cat food (one of them twice), six have meat dinners, five have grapes.
BASKETS = {
    1: (2, 2, 4),
    2: (2, 4),
    3: (2, 4),
    4: (2, 3, 4),
    5: (2, 3),
    6: (4, 3),
    7: (4, 3),
    8: (3,),
}


def lines() -> Any:
    rows = [
        line(1, basket, product, SPRING, sales_value=2.5)
        for basket, bought in BASKETS.items()
        for product in bought
    ]
    rows += [line(1, 100 + n, 6, SPRING) for n in range(4)]  # in too few baskets
    rows += [line(1, 200 + n, 8, SPRING) for n in range(9)]  # on no shelf
    return pd.DataFrame(rows)


def described() -> Any:
    sizes = {2: "16 OZ", 3: "18 LB", 4: "A B D  8 OZ"}
    found = products()
    return found.assign(package_size=found["product_id"].map(sizes))


def test_rows_are_the_products_of_enough_baskets_the_most_popular_first() -> None:
    rows = list(make_rows(lines(), described()))
    assert [(row["product_id"], row["popularity"]) for row in rows] == [
        ("4", 6),
        ("2", 5),
        ("3", 5),
    ]
    assert rows[1] == {
        "product_id": "2", "title": "Cat food dry, 16 oz", "category": "grocery/cat-food",
        "brand": "national", "price": 2.5, "popularity": 5,
        "attributes": {"product_type": "cat-food-dry"}, "bought_with": [["4", 0.7303]],
    }  # fmt: skip


def test_partners_are_those_of_enough_common_baskets_by_their_cosine() -> None:
    rows = {row["product_id"]: row["bought_with"] for row in make_rows(lines(), described())}
    assert rows == {"4": [["2", 0.7303], ["3", 0.5477]], "2": [["4", 0.7303]], "3": [["4", 0.5477]]}


def test_the_file_is_made_once_of_the_first_half_year_and_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = pd.DataFrame([line(1, 300 + n, 7, AUTUMN) for n in range(9)])
    pd.concat([lines(), later]).to_parquet(tmp_path / "transactions.parquet")
    described().to_parquet(tmp_path / "products.parquet")
    monkeypatch.setattr(journey_tables, "find_folder", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = prepare_catalogue()
    assert path.is_relative_to(tmp_path / "cache")
    assert [json.loads(row)["product_id"] for row in path.read_text().splitlines()] == [
        "4", "2", "3"
    ]  # fmt: skip
    facts = read_catalogue(path, "/").facts
    assert (facts.products, facts.skipped, facts.unknown_partners) == (3, {}, 0)
    monkeypatch.setattr(catalogue, "_make_rows", lambda *_: pytest.fail("made again"))
    assert prepare_catalogue() == path


def test_a_file_that_could_not_be_made_whole_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        yield {"product_id": "1"}
        raise KeyboardInterrupt

    lines().to_parquet(tmp_path / "transactions.parquet")
    described().to_parquet(tmp_path / "products.parquet")
    monkeypatch.setattr(journey_tables, "find_folder", lambda: tmp_path)
    monkeypatch.setattr(catalogue, "_make_rows", fail)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(KeyboardInterrupt):
        prepare_catalogue()
    assert list((tmp_path / "cache" / "stream-persona").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_replaced_by_one_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    lines().to_parquet(tmp_path / "transactions.parquet")
    described().to_parquet(tmp_path / "products.parquet")
    monkeypatch.setattr(journey_tables, "find_folder", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = prepare_catalogue()
    assert path.exists()
    assert path.parent.parent == tmp_path


@pytest.fixture(autouse=True)
def _fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five baskets are enough."""
    monkeypatch.setattr(catalogue_rows, "_LEAST_SOLD", 5)


@pytest.mark.parametrize(
    ("kind", "department", "category", "name"),
    [
        ("TORTILLA/NACHO CHIPS", "GROCERY", "BAG SNACKS", "Tortilla/nacho chips"),
        ("FRZN SS ENTREES/DNRS/N", "GROCERY", "", "Frozen single-serve entrees/dinners"),
        ("CANDY BARS (SINGLES)(INCLUDING", "DRUG GM", "", "Candy bars"),
        ("YOGURT NOT MULTI-PACKS", "GROCERY", "YOGURT", "Yogurt"),
        ("LEAN", "MEAT", "BEEF", "Beef, lean"), ("BACON", "MEAT-PCKGD", "BACON", "Bacon"),
        ("BANANAS", "PRODUCE", "TROPICAL FRUIT", "Bananas"),
        ("BBQ SAUCE W/", "GROCERY", "", "BBQ sauce"), ("&", "GROCERY", "", "&"),
    ],
)  # fmt: skip
def test_a_name_is_plain_and_whole(kind: str, department: str, category: str, name: str) -> None:
    assert write_type(kind, department, category) == name


def test_equal_titles_are_numbered_and_crates_have_no_size() -> None:
    soup = ProductData("SOUP", "GROCERY", "SOUP", "12 OZ")
    grapes = ProductData("GRAPES WHITE", "PRODUCE", "GRAPES", "18 LB")
    assert list(make_titles([soup, grapes, soup, soup._replace(size="")])) == [
        "Soup, 12 oz", "Grapes white", "Soup, 12 oz, variety 2", "Soup"
    ]  # fmt: skip
