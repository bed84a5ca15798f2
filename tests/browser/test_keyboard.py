"""The page without a mouse."""

import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.dashboard import VIEWS, Dashboard
from tests.browser.deployment import Deployment
from tests.browser.shoppers import baskets

CUSTOMER = "CUST-KEYS"
#: Presses of Tab after which all that can be reached on a view has been.
MOST = 160

#: What has the focus: where it is in the document, whether one sees it, and what it is called.
_FOCUSED = """
() => {
    const at = document.activeElement, { width, height, top, bottom } = at.getBoundingClientRect();
    const ringed = (each) => {
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(each);
        return (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || boxShadow !== "none";
    };
    const marked = [at, at.parentElement, at.labels?.[0]].some((each) => each && ringed(each));
    return {
        name: at.outerHTML.slice(0, 120),
        body: at === document.body,
        order: [...document.querySelectorAll("*")].indexOf(at),
        seen: width > 0 && height > 0 && bottom > 0 && top < innerHeight,
        marked,
        tabindex: at.tabIndex,
    };
}
"""


async def tour(dashboard: Dashboard) -> list[dict[str, Any]]:
    """Each stop of Tab, from the top of the page until it leaves."""
    stops: list[dict[str, Any]] = []
    for _ in range(MOST):
        await dashboard.page.keyboard.press("Tab")
        stop = await dashboard.page.evaluate(_FOCUSED)
        if stop["body"] or (stops and stop["order"] < stops[-1]["order"]):
            return stops
        if not stops or stop["order"] > stops[-1]["order"]:  # a date has several stops in itself
            stops.append(stop)
    return stops


@pytest.mark.parametrize("view", VIEWS)
async def test_tab_goes_through_a_view_in_its_order_and_is_seen(
    dashboard: Dashboard, shop: Deployment, view: str
) -> None:
    await shop.shop.produce(*baskets(CUSTOMER, "pets/dog"))
    await shop.knows(CUSTOMER)
    await dashboard.open(view, CUSTOMER if view == "shopper" else None)
    await dashboard.drawn()
    stops = await tour(dashboard)
    assert "/readyz" in stops[-1]["name"], "the last stop is the foot of the page"
    assert [stop["name"] for stop in stops if not stop["seen"]] == []
    assert [stop["name"] for stop in stops if not stop["marked"]] == []
    assert [stop["name"] for stop in stops if stop["tabindex"] > 0] == []


async def test_the_first_stop_skips_to_the_view(dashboard: Dashboard) -> None:
    await dashboard.open("now")
    await dashboard.page.keyboard.press("Tab")
    skip = dashboard.page.locator(":focus")
    await expect(skip).to_have_text(re.compile("^Skip to"))
    await expect(skip).to_be_in_viewport()
    await dashboard.page.keyboard.press("Enter")
    inside = dashboard.page.locator("main:focus, main :focus")
    await expect(inside).to_have_count(1)
    await dashboard.shows("now")


async def test_views_are_changed_with_tab_and_enter(dashboard: Dashboard) -> None:
    await dashboard.open("now")
    link = dashboard.page.locator('nav a[href="#/model"]')
    await expect(dashboard.page.locator('nav a[href="#/now"]')).to_have_attribute(
        "aria-current", "page"
    )
    for _ in range(MOST):
        await dashboard.page.keyboard.press("Tab")
        if await link.evaluate("(link) => link === document.activeElement"):
            break
    await dashboard.page.keyboard.press("Enter")
    await dashboard.shows("model")
    await expect(link).to_have_attribute("aria-current", "page")


@pytest.mark.parametrize("width", [1280, 390])
async def test_a_slash_and_enter_look_a_shopper_up(look: Any, shop: Deployment, width: int) -> None:
    await shop.shop.produce(*baskets(CUSTOMER, "pets/dog"))
    await shop.knows(CUSTOMER)
    async with look(width) as dashboard:
        await dashboard.open("now")
        await dashboard.page.keyboard.press("/")
        await expect(dashboard.part("search")).to_be_focused()
        await dashboard.page.keyboard.type(CUSTOMER)
        await dashboard.page.keyboard.press("Enter")
        await dashboard.shows("shopper")
        await expect(dashboard.part("headline")).to_have_attribute("data-persona", "pet_owner")


async def test_escape_leaves_the_search(dashboard: Dashboard) -> None:
    await dashboard.open("now")
    await dashboard.page.keyboard.press("/")
    await expect(dashboard.part("search")).to_be_focused()
    await dashboard.page.keyboard.press("Escape")
    await expect(dashboard.part("search")).not_to_be_focused()


async def test_a_slash_is_a_letter_where_one_writes(dashboard: Dashboard) -> None:
    await dashboard.open("now")
    await dashboard.page.keyboard.press("/")
    await expect(dashboard.part("search")).to_be_focused()
    await dashboard.page.keyboard.type("a/b")
    await expect(dashboard.part("search")).to_have_value("a/b")


async def test_the_dialog_takes_the_focus_and_gives_it_back(
    dashboard: Dashboard, shop: Deployment
) -> None:
    await shop.shop.produce(*baskets(CUSTOMER, "pets/dog"))
    await shop.knows(CUSTOMER)
    await dashboard.open("shopper", CUSTOMER)
    await dashboard.part("delete-button").focus()
    await dashboard.page.keyboard.press("Enter")
    dialog = dashboard.part("delete-dialog")
    await expect(dialog).to_be_visible()
    for _ in range(6):
        outside = await dashboard.page.evaluate(
            "() => !document.activeElement.closest('[data-testid=delete-dialog]')"
            " && document.activeElement !== document.body"
        )
        assert not outside
        await dashboard.page.keyboard.press("Tab")
    await dashboard.page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(dashboard.part("delete-button")).to_be_focused()
