import pytest

from stream_persona.domain.binning import levels, price_band, quantity_band, size_band, words


@pytest.mark.parametrize(
    ("price", "band"),
    [(0, "<0.25"), (0.25, "0.25..0.5"), (3, "2..4"), (4, "4..8"), (1023.9, "512..1024"),
     (1024, "1024+"), (1e308, "1024+"), (5e-324, "<0.25")],
)  # fmt: skip
def test_prices_are_banded_by_powers_of_two(price: float, band: str) -> None:
    assert price_band(price) == band


@pytest.mark.parametrize(
    ("quantity", "band"), [(1e-9, "1"), (1, "1"), (2.9, "2"), (4, "4"), (5, "5+"), (1e308, "5+")]
)
def test_quantities_are_banded(quantity: float, band: str) -> None:
    assert quantity_band(quantity) == band


@pytest.mark.parametrize(
    ("items", "band"), [(1, "1"), (2, "2-3"), (3, "2-3"), (4, "4-7"), (63, "32-63"), (1000, "64+")]
)
def test_baskets_are_banded_by_size(items: int, band: str) -> None:
    assert size_band(items) == band


def test_words_are_distinct_folded_and_few() -> None:
    assert words("Café CAFÉ ﬁne a") == ["café", "fine"]
    assert len(words(" ".join(f"word{i}" for i in range(100)))) == 16


def test_levels_are_at_most_six_the_widest_first() -> None:
    assert levels("a/b/c", "/") == ["a", "a/b", "a/b/c"]
    assert levels("a/b/c/d/e/f/g", "/")[-1] == "a/b/c/d/e/f"
