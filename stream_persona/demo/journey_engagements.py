"""Engagements from the Complete Journey's tables: mails received and coupons redeemed."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

from stream_persona.demo.study import make_customer_id
from stream_persona.domain.events import Engagement, to_milliseconds

if TYPE_CHECKING:
    import pandas as pd

# Of mails and redemptions only the day is known. Mail comes in the morning, and a day's coupons
# count when most of its baskets are done.
_MAIL_HOUR: Final = timedelta(hours=8)
_REDEMPTION_HOUR: Final = timedelta(hours=20)


def from_mails(campaigns: pd.DataFrame, descriptions: pd.DataFrame) -> list[Engagement]:
    """Make an engagement for each household that got a campaign's mail, on its first day."""
    begin = dict(zip(descriptions["campaign_id"], descriptions["start_date"], strict=True))
    rows = campaigns[["campaign_id", "household_id"]].itertuples(index=False)
    return [
        Engagement(
            event_id=f"MAIL-{campaign}-{household}",
            customer_id=make_customer_id(household),
            occurred_at=_find_time(begin[campaign], _MAIL_HOUR),
            channel="mail",
            action="receive",
            campaign=f"campaign-{campaign}",
        )
        for campaign, household in rows
    ]


def from_coupons(redemptions: pd.DataFrame) -> list[Engagement]:
    """Make an engagement for each coupon that a household redeemed."""
    columns = ["campaign_id", "household_id", "coupon_upc", "redemption_date"]
    return [
        Engagement(
            event_id=f"COUPON-{campaign}-{household}-{upc}-{day:%Y%m%d}",
            customer_id=make_customer_id(household),
            occurred_at=_find_time(day, _REDEMPTION_HOUR),
            channel="coupon",
            action="redeem",
            campaign=f"campaign-{campaign}",
        )
        for campaign, household, upc, day in redemptions[columns].itertuples(index=False)
    ]


def _find_time(day: pd.Timestamp, hour: timedelta) -> int:
    """Return epoch milliseconds; the data's own clock is taken as UTC."""
    return to_milliseconds(day.to_pydatetime().replace(tzinfo=UTC) + hour)
