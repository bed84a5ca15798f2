"""The shop: the same products in the order for each shopper, and a shopper whom one is oneself."""

import re
from collections.abc import Sequence
from urllib.parse import urlencode

from playwright.async_api import Browser, Locator, expect

from tests.browser import wordy
from tests.browser.conftest import Look
from tests.browser.dashboard import Dashboard
from tests.browser.deployment import Deployment
from tests.browser.reports import Measured
from tests.browser.shoppers import baskets
from tests.browser.stand_in import StandIn, stand_in

#: Milliseconds from a change until the shelves stand in their new order.
SOON = 300


async def open_shop(
    dashboard: Dashboard, *shoppers: str, query: str = "", order: str = "persona"
) -> None:
    """Open the shop for shoppers, and wait until the shelves have their orders."""
    asked = [("shopper", each) for each in shoppers] + [("q", query), ("order", order)]
    await dashboard.page.goto(f"/#/shop?{urlencode(asked)}")
    await dashboard.shows("shop")


def shelf(dashboard: Dashboard, name: str) -> Locator:
    return dashboard.part(f"shelf-{name}")


async def titles(order: Locator) -> list[str]:
    return await order.locator(".place-title").all_inner_texts()


async def moves(order: Locator) -> list[int]:
    places = await order.get_by_test_id("place").all()
    return [int(await each.get_attribute("data-moved") or 0) for each in places]


async def made_known(shop: Deployment, customer: str, *categories: str) -> None:
    await shop.shop.produce(*baskets(customer, *categories))
    await shop.knows(customer)


async def test_a_parents_shelves_bring_up_what_parents_buy(
    dashboard: Dashboard, shop: Deployment
) -> None:
    await made_known(shop, "CUST-SHOP-1", "baby/diapers", "toys")
    await open_shop(dashboard, "CUST-SHOP-1")
    for_you = shelf(dashboard, "for-you")
    order = for_you.get_by_test_id("order")
    await expect(order).to_have_attribute("data-persona", "parent_of_young_kids")
    first = order.get_by_test_id("place").first
    await expect(first).to_have_attribute("data-product", re.compile("^(baby|toys|kids)"))
    await expect(first).to_have_attribute("data-moved", re.compile(r"^[1-9]"))
    await expect(first.locator(".place-why")).to_contain_text(
        re.compile("times more with Parent of young kids")
    )
    baseline = for_you.get_by_test_id("baseline")
    assert await titles(baseline) != await titles(order)
    assert set(await moves(baseline)) == {0}


async def test_an_ambiguous_shopper_keeps_the_baseline_and_is_told_so(
    dashboard: Dashboard, shop: Deployment
) -> None:
    await made_known(shop, "CUST-SHOP-2", "lighting")
    await open_shop(dashboard, "CUST-SHOP-2")
    for name in ("search", "together", "for-you"):
        order = shelf(dashboard, name).get_by_test_id("order")
        await expect(order).to_have_attribute("data-fallback", "ambiguous")
        assert await titles(order) == await titles(
            shelf(dashboard, name).get_by_test_id("baseline")
        )
        await expect(order.get_by_role("status")).to_contain_text("baseline stays")
    await expect(dashboard.part("shop-state")).to_contain_text("Ambiguous")


async def test_two_shoppers_stand_beside_each_other_on_one_query(
    dashboard: Dashboard, shop: Deployment
) -> None:
    await made_known(shop, "CUST-SHOP-3", "baby/diapers", "toys")
    await made_known(shop, "CUST-SHOP-4", "pets/dog", "pets/cat")
    await open_shop(dashboard, "CUST-SHOP-3", "CUST-SHOP-4", query="everyday")
    orders = shelf(dashboard, "search").get_by_test_id("order")
    await expect(orders).to_have_count(2)
    first, second = await titles(orders.nth(0)), await titles(orders.nth(1))
    assert first != second
    assert all(title.startswith("Everyday") for title in [*first, *second])
    await dashboard.page.set_viewport_size({"width": 390, "height": 844})
    assert await dashboard.page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_a_change_of_persona_reorders_the_shelves_without_a_reload(
    dashboard: Dashboard, shop: Deployment, measured: Measured
) -> None:
    customer = "CUST-SHOP-5"
    await made_known(shop, customer, "pets/dog", "pets/cat")
    await open_shop(dashboard, customer)
    order = shelf(dashboard, "for-you").get_by_test_id("order")
    await expect(order).to_have_attribute("data-persona", "pet_owner")
    before = await titles(order)
    turned = await turns(dashboard, shop, customer)
    await expect(order).to_have_attribute("data-persona", "student")
    assert await titles(order) != before
    measured("shelves_turn_ms", min(turned), SOON)
    assert min(turned) < SOON  # of several: the machine may be busy with something else


async def turns(dashboard: Dashboard, shop: Deployment, customer: str) -> Sequence[int]:
    """Milliseconds after each of several changes came until the page's shelves stood."""
    took = []
    for persona in ("deal_hunter", "gadget_lover", "home_improver", "pet_owner", "student"):
        await shop.assign(customer, persona)
        head = dashboard.part("shop-shopper", persona=persona, ranked=persona)
        await expect(head).to_have_attribute("data-turned", re.compile(r"^\d+$"))
        took.append(int(await head.get_attribute("data-turned") or 0))
    return took


async def test_a_visitor_is_a_shopper_whose_shelves_turn(
    dashboard: Dashboard, shop: Deployment
) -> None:
    dashboard.log.forgive("status of 404")  # nobody knows the visitor yet
    await open_shop(dashboard, "CUST-SHOP-1")
    await dashboard.part("be-a-shopper").click()
    head = dashboard.part("shop-shopper")
    await expect(head).to_have_attribute("data-fallback", "unknown")
    search = shelf(dashboard, "search")
    await dashboard.part("shop-query").fill("diapers")
    await dashboard.part("shop-query").press("Enter")
    order = search.get_by_test_id("order")
    await expect(order.locator(".place-title").first).to_contain_text("diapers")
    for place in range(3):
        await order.get_by_role("button", name="Put").nth(place).click()
        await expect(dashboard.part("cart")).to_contain_text("In your cart")
    await dashboard.part("buy").click()
    await expect(head).to_have_attribute("data-persona", "parent_of_young_kids")
    for_you = shelf(dashboard, "for-you").get_by_test_id("order")
    await expect(for_you.get_by_test_id("place").first).to_have_attribute(
        "data-product", re.compile("^(baby|toys|kids)")
    )
    await expect(dashboard.part("cart")).to_contain_text("empty")


async def test_the_request_behind_an_order_can_be_copied(look: Look, shop: Deployment) -> None:
    await made_known(shop, "CUST-SHOP-1", "baby/diapers", "toys")
    async with look(permissions=["clipboard-read", "clipboard-write"]) as dashboard:
        await open_shop(dashboard, "CUST-SHOP-1", query="everyday")
        await shelf(dashboard, "search").get_by_role("button", name="Copy request").click()
        await expect(shelf(dashboard, "search").get_by_text("Copied")).to_be_visible()
        copied = await dashboard.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"curl '{shop.url}/v1/rank'")
    assert '"customer_id":"CUST-SHOP-1"' in copied


async def test_who_is_held_out_keeps_the_baseline_and_is_shown_as_such(browser: Browser) -> None:
    answers = wordy.answers()
    for route in ("/v1/rank", "/v1/recommendations"):
        items = sorted(answers[route]["items"], key=lambda each: int(each["position"]))
        answers[route] |= {"fallback": "holdout", "group": "holdout", "items": items}
    async with stand_in(browser, StandIn(answers, wordy.changes())) as dashboard:
        await open_shop(dashboard, wordy.LONG_ID, query="q")
        await expect(dashboard.part("shop-state")).to_contain_text("Held out for comparison")
        order = shelf(dashboard, "for-you").get_by_test_id("order")
        await expect(order.get_by_role("status")).to_contain_text("baseline stays")
        assert set(await moves(order)) == {0}
