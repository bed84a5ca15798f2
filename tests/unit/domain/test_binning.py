# ruff: noqa: RUF001 - spellings are the subject

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.binning import (
    BANDS,
    canonicalize_token,
    find_price_band,
    find_quantity_band,
    find_size_band,
    list_levels,
    split_shown_levels,
)


@pytest.mark.parametrize(
    ("price", "band"),
    [(0, "<0.25"), (0.25, "0.25..0.5"), (3, "2..4"), (4, "4..8"), (1023.9, "512..1024"),
     (1024, "1024..2048"), (1920, "1024..2048"), (128_000, "65536..131072"),
     (1e12, "549755813888..1099511627776"), (1e308, "2^1023..2^1024"),
     (10**400, "2^1328..2^1329"), (5e-324, "<0.25")],
)  # fmt: skip
def test_prices_are_banded_by_powers_of_two(price: float, band: str) -> None:
    assert find_price_band(price) == band


@pytest.mark.parametrize(
    ("quantity", "band"),
    [(1e-9, "1"), (0.5, "1"), (1, "1"), (1.9, "1"), (2.9, "2-3"), (4, "4-7"), (5, "4-7"),
     (1e3, "512-1023"), (1e308, "2^1023-2^1024")],
)  # fmt: skip
def test_quantities_are_banded(quantity: float, band: str) -> None:
    assert find_quantity_band(quantity) == band


@pytest.mark.parametrize(
    ("items", "band"),
    [(1, "1"), (2, "2-3"), (3, "2-3"), (4, "4-7"), (63, "32-63"), (1000, "512-1023")],
)
def test_baskets_are_banded_by_size(items: int, band: str) -> None:
    assert find_size_band(items) == band


@given(st.sampled_from(sorted(BANDS)), st.floats(0, 1e308))
def test_a_band_is_its_own_and_that_of_its_least_number(field: str, number: float) -> None:
    band = BANDS[field](number)
    assert canonicalize_token(f"{field}:{band}") == f"{field}:{band}"
    assert len(band) <= 40


@pytest.mark.parametrize(
    ("former", "band"),
    [("quantity:5+", "4-7"), ("quantity:3", "2-3"), ("price:1024+", "1024..2048"),
     ("price: 3.5 ", "2..4"), ("price:0.3", "0.25..0.5"),
     (f"price:{10**399}.5", "2^1325..2^1326"),
     ("basket_size:64+", "64-127"), ("price:cheap", "cheap")],
)  # fmt: skip
def test_the_text_of_a_number_means_its_band(former: str, band: str) -> None:
    assert canonicalize_token(former).partition(":")[2] == band


def test_levels_are_at_most_six_the_widest_first() -> None:
    assert list_levels("a/b/c", "/") == ["a", "a/b", "a/b/c"]
    assert list_levels("a/b/c/d/e/f/g", "/")[-1] == "a/b/c/d/e/f"


@pytest.mark.parametrize(
    "spelling",
    ["Élevage/Pâtée", unicodedata.normalize("NFD", "Élevage/Pâtée"), "élevage/pâtée",
     "/Élevage/Pâtée", "Élevage > Pâtée", " Élevage/Pâtée ", "Élevage//Pâtée/", "ÉLEVAGE / PÂTÉE",
     "Élevage &gt; Pâtée", "&Eacute;levage &amp;gt; P&acirc;t&eacute;e", "> Élevage > > Pâtée >",
     "Élevage／Pâtée", "Élevage\N{NO-BREAK SPACE}>\N{NO-BREAK SPACE}Pâtée",
     "Éle\N{SOFT HYPHEN}vage/\N{ZERO WIDTH SPACE}Pâtée"],
)  # fmt: skip
def test_a_category_has_the_same_levels_in_any_spelling(spelling: str) -> None:
    assert list_levels(spelling, "/") == ["élevage", "élevage/pâtée"]
    assert list_levels(spelling, "|") == ["élevage", "élevage|pâtée"]
    for shown in split_shown_levels(spelling, "/"):
        assert canonicalize_token(f"category:{shown}") in {
            "category:élevage", "category:élevage/pâtée"
        }  # fmt: skip


@pytest.mark.parametrize(
    ("category", "separator", "shown"),
    [("Élevage > Pâtée", "/", ["Élevage", "Élevage/Pâtée"]),
     (" Food &amp; Treats ", "/", ["Food &amp; Treats"]),
     ("A.B/c", ".", ["A", "A.B", "A.B.c"]),
     ("A->B", "->", ["A", "A->B"]),
     ("TVs >50 inch", "/", ["TVs >50 inch"]),
     ("/ > /", "/", []), ("  ", "/", []), ("", "/", [])],
)  # fmt: skip
def test_levels_are_shown_as_they_came(category: str, separator: str, shown: list[str]) -> None:
    assert split_shown_levels(category, separator) == shown


CATEGORIES = st.lists(st.sampled_from(["a", "É", "&gt;", " ", ">", "/", "|", ".", "&amp;", "＞"]))


@given(CATEGORIES.map("".join), st.sampled_from(["/", "|", ".", ">"]))
def test_the_levels_of_a_level_are_itself_and_those_above(category: str, separator: str) -> None:
    found = list_levels(category, separator)
    if found:
        assert list_levels(found[-1], separator) == found
    shown = split_shown_levels(category, separator)
    tokens = [canonicalize_token(f"category:{path}") for path in shown]
    assert tokens == [f"category:{level}" for level in found]


@given(st.sampled_from(["brand", "category", "product", "attributes.Size", "query"]), st.text())
def test_a_canonical_token_stays_as_it_is(field: str, text: str) -> None:
    token = canonicalize_token(f"{field}:{text}")
    assert canonicalize_token(token) == token


def test_an_id_is_trimmed_and_composed_and_keeps_its_case() -> None:
    assert canonicalize_token("product: SKU-ａ1 ") == "product:SKU-a1"
    assert canonicalize_token("product:sku") != canonicalize_token("product:SKU")


@pytest.mark.parametrize(
    "token", ["brand: ", "brand:", "attributes. :red", "attributes.size: ", "category:/", "nothing"]
)
def test_nothing_is_left_of_what_nobody_sees(token: str) -> None:
    assert canonicalize_token(token) == ""
