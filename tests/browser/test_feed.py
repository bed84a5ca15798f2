"""Changes as they happen: on Now and on Changes."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.dashboard import Dashboard
from tests.browser.deployment import Deployment
from tests.browser.shoppers import baskets


@pytest.mark.parametrize("view", ["now", "changes"])
async def test_the_feed_moves_when_an_event_is_produced(
    dashboard: Dashboard, shop: Deployment, view: str
) -> None:
    await dashboard.open(view)
    customer = f"CUST-MOVES-{view}"
    await shop.shop.produce(*baskets(customer, "pets/dog", "pets/cat"))
    change = dashboard.part("change", customer=customer).first
    await expect(change).to_be_visible()
    await expect(dashboard.part("change").first).to_have_attribute("data-customer", customer)
    await expect(change).to_contain_text(re.compile("pets", re.IGNORECASE))


async def test_the_feed_is_filtered_by_persona(dashboard: Dashboard, shop: Deployment) -> None:
    await dashboard.open("changes")
    await dashboard.part("filter-persona", persona="pet_owner").click()
    await shop.shop.produce(
        *baskets("CUST-BABY", "baby/diapers", "baby/food"), *baskets("CUST-PET", "pets/dog")
    )
    await expect(dashboard.part("change", customer="CUST-PET").first).to_be_visible()
    await shop.knows("CUST-BABY")
    for row in await dashboard.part("change").all_inner_texts():
        assert "Pet owner" in row, "neither from nor to the persona"
    await dashboard.part("filter-clear").click()
    await expect(dashboard.part("change", customer="CUST-BABY").first).to_be_visible()
    await expect(dashboard.part("filter-clear")).to_be_hidden()


async def test_the_feed_is_filtered_by_cause(dashboard: Dashboard, shop: Deployment) -> None:
    await dashboard.open("changes")
    await dashboard.part("filter-cause").select_option("assignment")
    await shop.assign("CUST-CAUSED", "student", *baskets("CUST-CAUSED", "tools", "paint"))
    assigned = dashboard.part("change", customer="CUST-CAUSED", cause="assignment")
    await expect(assigned.first).to_be_visible()
    others = dashboard.page.locator('[data-testid="change"]:not([data-cause="assignment"])')
    await expect(others).to_have_count(0)


async def test_a_paused_feed_stands_still_and_counts_what_is_new(
    dashboard: Dashboard, shop: Deployment
) -> None:
    await dashboard.open("changes")
    pause, change = dashboard.part("pause"), dashboard.part("change", customer="CUST-LATER")
    await pause.click()
    await expect(pause).to_have_attribute("aria-pressed", "true")
    await shop.shop.produce(*baskets("CUST-LATER", "tools", "paint"))
    await expect(dashboard.part("new-count")).to_have_text(re.compile(r"[1-9]\d* new"))
    await expect(change).to_have_count(0)
    await pause.click()
    await expect(pause).to_have_attribute("aria-pressed", "false")
    await dashboard.page.mouse.move(0, 0)
    await expect(change.first).to_be_visible()


async def test_a_change_leads_to_its_shopper(dashboard: Dashboard, shop: Deployment) -> None:
    await dashboard.open("changes")
    await shop.shop.produce(*baskets("CUST-LINK", "electronics/audio"))
    change = dashboard.part("change", customer="CUST-LINK").first
    await change.get_by_role("link").first.click()
    await dashboard.shows("shopper")
    await expect(dashboard.part("headline")).to_have_attribute("data-persona", "gadget_lover")
    assert dashboard.page.url.endswith("#/shopper/CUST-LINK")
