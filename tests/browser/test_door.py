"""The page without its key, and the page that can show but not act."""

from pathlib import Path

from playwright.async_api import Browser, expect

from stream_persona.demo.embedded import find_free_port
from tests.browser.dashboard import dashboard_of
from tests.browser.deployment import Deployment, api_of
from tests.browser.shoppers import baskets

KEY = "let-me-in-by-this-key"


async def test_the_page_asks_for_its_key_without_one_and_drops_it_from_the_address(
    browser: Browser, shop: Deployment, tmp_path: Path
) -> None:
    settings = shop.settings.model_copy(update={"api_keys": KEY})
    async with api_of(settings, tmp_path) as api, dashboard_of(browser, api.url) as dashboard:
        await dashboard.page.goto(f"/?key={KEY}#/changes")
        await dashboard.shows("changes")
        await expect(dashboard.part("live")).to_have_attribute("data-state", "live")
        assert KEY not in dashboard.page.url
        await dashboard.page.context.clear_cookies()
        dashboard.log.forgive("status of 401")
        await expect(dashboard.part("needs-key")).to_contain_text("key")


async def test_the_page_shows_all_without_a_broker_and_says_why_it_cannot_act(
    browser: Browser, shop: Deployment, tmp_path: Path
) -> None:
    await shop.shop.produce(*baskets("CUST-BROKERLESS", "pets/dog"))
    await shop.knows("CUST-BROKERLESS")
    settings = shop.settings.model_copy(update={"brokers": f"127.0.0.1:{find_free_port()}"})
    async with api_of(settings, tmp_path) as api, dashboard_of(browser, api.url) as dashboard:
        dashboard.log.forgive("status of 503")
        await dashboard.open("shopper", "CUST-BROKERLESS")
        await expect(dashboard.part("banner")).to_contain_text("Kafka does not answer")
        await expect(dashboard.part("headline")).to_have_attribute("data-persona", "pet_owner")
        await dashboard.part("assign-submit").click()
        await expect(dashboard.part("assign-status")).to_contain_text("This did not work")
        await dashboard.part("delete-button").click()
        await dashboard.part("delete-confirm").fill("CUST-BROKERLESS")
        await dashboard.part("delete-submit").click()
        await expect(dashboard.part("delete-dialog")).to_contain_text("This did not work")
        await expect(dashboard.part("receipt")).to_be_hidden()
