"""A small year of shopping, in the columns of the Complete Journey's tables."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest

from stream_persona.demo.study import ACTIVE_LINES, Study

pd = pytest.importorskip("pandas")

SPRING, AUTUMN = pd.Timestamp("2017-04-03 09:00"), pd.Timestamp("2017-10-02 18:00")
LINES_BEFORE, LINES_AFTER = ACTIVE_LINES

#: Number -> department, category, type. The data have only the number of the last one.
PRODUCTS = {
    1: ("DRUG GM", "BABY FOODS", "BABY FOOD - JARS"),
    2: ("GROCERY", "CAT FOOD", "CAT FOOD - DRY"),
    3: ("PRODUCE", "GRAPES", "GRAPES WHITE"),
    4: ("GROCERY", "FRZN MEAT/MEAT DINNERS", "FRZN SS PREMIUM"),
    5: ("GROCERY", "SOFT DRINKS", None),
    6: ("MEAT", "BEEF", "CHOICE BEEF"),
    7: ("COSMETICS", "MAKEUP AND TREATMENT", "MAYBELLINE"),
    8: ("MISCELLANEOUS", None, None),
}
UNKNOWN = 9


def products() -> "pd.DataFrame":
    rows = [
        (number, department, "National", category, kind)
        for number, (department, category, kind) in PRODUCTS.items()
    ]
    columns = ["product_id", "department", "brand", "product_category", "product_type"]
    return pd.DataFrame(rows, columns=columns)


def line(household: int, basket: int, product: int, at: datetime, **fields: float) -> dict:
    return {
        "household_id": household,
        "basket_id": basket,
        "product_id": product,
        "quantity": 1,
        "sales_value": 1.0,
        "retail_disc": 0.0,
        "coupon_disc": 0.0,
        "transaction_timestamp": at,
    } | fields


def half(household: int, bought: Iterable[int], begin: datetime) -> list[dict]:
    """A household's half-year: a basket of up to ten lines on each day."""
    return [
        line(household, (begin.month * 100 + household) * 1000 + i // 10, product, at)
        for i, product in enumerate(bought)
        for at in [begin + timedelta(days=i // 10)]
    ]


def bought_by(household: int) -> list[int]:
    """Some of everything, and more of one product than others buy."""
    return [*range(1, 10)] * 4 + [1 + household % 7] * (3 + household)


def year(households: Iterable[int] = range(1, 22)) -> "pd.DataFrame":
    rows = []
    for household in households:
        rows += half(household, bought_by(household), SPRING)
        rows += half(household, [1 + household % 8] * LINES_AFTER, AUTUMN)
    frame = pd.DataFrame(rows)
    return frame.sample(frac=1.0, random_state=1)  # the order of rows means nothing


def everybody(study: Study) -> dict[str, str]:
    """The personas of all customers of a study."""
    return {**study.assigned, **study.held_back}
