"""The demo's team study: which of seven personas each active household of a year's data has.

It is made the way a team would make one: on the purchases of the first half-year, by what a
household buys more of than others do. Some households are then assigned their persona, the
others are held back, to be predicted and evaluated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from stream_persona.domain.events import Assignment, to_milliseconds

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

#: The study is made on what happened before; what happened from here on is streamed.
MIDYEAR: Final = datetime(2017, 7, 1, tzinfo=UTC)
_MIDYEAR_MS: Final = to_milliseconds(MIDYEAR)
#: Least lines (products of a basket) before and from midyear of an active household.
ACTIVE_LINES: Final = (30, 100)


class Theme(NamedTuple):
    """The purchases of a persona: words within a product's category, or within its department."""

    categories: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()


THEMES: Final[Mapping[str, Theme]] = {
    "baby_kids": Theme(("BABY", "DIAPER", "INFANT", "KIDS", "JUVENILE", "TOYS")),
    "pet_owner": Theme(("DOG", "CAT ", "CAT FOOD", "PET", "BIRD")),
    "fresh_healthy": Theme(
        ("SALAD", "YOGURT", "NATURAL", "ORGANIC", "VITAMIN"),
        ("PRODUCE", "NUTRITION", "SEAFOOD"),
    ),
    "convenience": Theme(
        ("FROZEN PIZZA", "FRZN MEAT", "FRZN", "FROZEN", "DINNER", "LUNCH", "DELI", "SANDWICH",
         "PREPARED"),
    ),
    "snacks_soda": Theme(
        ("SOFT DRINK", "BAG SNACK", "CANDY", "COOKIE", "CRACKER", "POPCORN", "ICE CREAM"),
    ),
    "scratch_cook": Theme(
        ("BEEF", "PORK", "CHICKEN", "BAKING", "SPICE", "FLOUR", "SUGAR", "SHORTENING", "EGG",
         "DRY BN", "PASTA", "TURKEY"),
    ),
    "beauty_home": Theme(
        ("HAIR", "MAKEUP", "SOAP", "DEODOR", "DETERG", "HOUSEHOLD CLEAN"),
        ("COSMETICS", "DRUG", "GM"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Study:
    """The personas by customer id: those that the team assigned, and those that it held back."""

    assigned: Mapping[str, str]
    held_back: Mapping[str, str]

    @property
    def majority(self) -> str:
        """The most common persona among the assigned; the first by name of equally common ones."""
        counts = Counter(self.assigned.values())
        return min(counts, key=lambda persona: (-counts[persona], persona))

    def make_assignments(self) -> list[Assignment]:
        """Return the team's assignments, as of midyear, by customer id."""
        return [self._make_assignment(name, _MIDYEAR_MS) for name in sorted(self.assigned)]

    def list_first(self) -> list[Assignment]:
        """Return four in five of these."""
        return [each for i, each in enumerate(self.make_assignments()) if not _is_later(i)]

    def list_later(self, end: int) -> list[Assignment]:
        """Return the others, evenly from midyear until ``end`` (epoch milliseconds), in this order.

        A team goes on assigning, and each later assignment tests a prediction.
        """
        names = [name for i, name in enumerate(sorted(self.assigned)) if _is_later(i)]
        step = (end - _MIDYEAR_MS) // (len(names) + 1)
        return [self._make_assignment(n, _MIDYEAR_MS + i * step) for i, n in enumerate(names, 1)]

    def _make_assignment(self, customer: str, at: int) -> Assignment:
        persona = self.assigned[customer]
        return Assignment(f"STUDY-{customer}", customer, at, persona, source="study")


def _is_later(number: int) -> bool:
    return number % 5 == 4  # noqa: PLR2004 - the last of each five


def make_customer_id(household: int) -> str:
    """Return the customer id of a household's number."""
    return f"HH-{household}"


def select_before(lines: pd.DataFrame, moment: datetime = MIDYEAR) -> pd.Series:
    """Return which lines are older than ``moment``; the study may use those before midyear."""
    return lines["transaction_timestamp"] < np.datetime64(moment.replace(tzinfo=None))


def make_study(
    lines: pd.DataFrame, products: pd.DataFrame, seed: int, assigned_share: float
) -> Study:
    """Give active households their strongest theme before midyear, and draw groups of them.

    A theme's strength is the z-score, among active households, of the square root of the
    theme's share of a household's lines. A household is active by ``ACTIVE_LINES``.
    """
    early = select_before(lines)
    bought = lines["product_id"].to_numpy()[early]
    hits = find_theme_hits(products).reindex(bought, fill_value=False)
    shares = hits.groupby(lines["household_id"].to_numpy()[early]).mean()
    roots = shares.loc[_find_active(lines)] ** 0.5
    strengths = (roots - roots.mean()) / roots.std()
    strongest = strengths.fillna(0.0).idxmax(axis="columns")
    return draw_groups(
        {make_customer_id(household): str(theme) for household, theme in strongest.items()},
        seed,
        assigned_share,
    )


def find_theme_hits(products: pd.DataFrame) -> pd.DataFrame:
    """Return which products belong to which themes: a row by product id, a column by theme."""
    by_id = products.set_index("product_id")
    hits = by_id[[]].copy()
    for name, theme in THEMES.items():
        category = _has_any(by_id["product_category"], theme.categories)
        hits[name] = category | _has_any(by_id["department"], theme.departments)
    return hits


def draw_groups(personas: Mapping[str, str], seed: int, assigned_share: float) -> Study:
    """Draw the same share of every persona's customers to be assigned; hold back the others."""
    generator = np.random.default_rng(seed)
    assigned: set[str] = set()
    for name in sorted(set(personas.values())):
        members = sorted(customer for customer in personas if personas[customer] == name)
        drawn = generator.permutation(len(members))[: round(assigned_share * len(members))]
        assigned.update(members[index] for index in drawn)
    return Study(
        {customer: name for customer, name in personas.items() if customer in assigned},
        {customer: name for customer, name in personas.items() if customer not in assigned},
    )


def _find_active(lines: pd.DataFrame) -> list[int]:
    """Return the numbers of the active households, ascending."""
    early = select_before(lines)
    active: list[set[int]] = []
    for half, least in zip((early, ~early), ACTIVE_LINES, strict=True):
        counts = lines["household_id"][half].value_counts()
        active.append(set(counts.index[counts >= least]))
    return sorted(set.intersection(*active))


def _has_any(texts: pd.Series, words: tuple[str, ...]) -> NDArray[np.bool_]:
    # There are a few hundred texts and tens of thousands of products.
    numbers, different = texts.fillna("").factorize()
    found = [any(word in text.upper() for word in words) for text in different]
    hits: NDArray[np.bool_] = np.array(found)[numbers]
    return hits
