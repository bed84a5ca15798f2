"""Mails received and coupons redeemed, as engagements."""

from stream_persona.demo.journey_engagements import from_coupons, from_mails
from stream_persona.domain.events import ENGAGEMENT, decode_event, encode, format_rfc3339
from tests.support.journeys import pd


def test_a_campaign_reaches_its_households_on_its_first_day() -> None:
    campaigns = pd.DataFrame({"campaign_id": [13, 13], "household_id": [1, 2]})
    begin = pd.Timestamp("2017-08-08")
    descriptions = pd.DataFrame({"campaign_id": [13], "start_date": [begin]})
    mails = from_mails(campaigns, descriptions)
    assert [mail.customer_id for mail in mails] == ["HH-1", "HH-2"]
    assert {(m.channel, m.action, m.campaign) for m in mails} == {
        ("mail", "receive", "campaign-13")
    }
    assert {format_rfc3339(mail.occurred_at)[:10] for mail in mails} == {"2017-08-08"}


def test_a_redeemed_coupon_is_an_engagement_of_its_own() -> None:
    table = pd.DataFrame(
        {
            "household_id": [5, 5],
            "coupon_upc": [10, 11],
            "campaign_id": [13, 13],
            "redemption_date": pd.to_datetime(["2017-08-09", "2017-08-09"]),
        }
    )
    coupons = from_coupons(table)
    assert len({coupon.event_id for coupon in coupons}) == 2
    assert {(c.channel, c.action, c.campaign) for c in coupons} == {
        ("coupon", "redeem", "campaign-13")
    }
    assert all(decode_event(ENGAGEMENT, encode(coupon)) == coupon for coupon in coupons)
