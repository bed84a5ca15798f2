"""The page without its key, the page that can show but not act, and another site's page."""

from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser, expect

from stream_persona.demo.embedded import find_free_port
from tests.browser.dashboard import dashboard_of
from tests.browser.deployment import Deployment, api_of
from tests.browser.looking import chromium, find_chromium
from tests.browser.shoppers import baskets

KEY = "let-me-in-by-this-key"
#: What another site's page tries once its name leads to this machine: the status of each try.
_ATTACK = """
async (customer) => {
    const status = async (path, options) => (await fetch(path, options)).status;
    const listening = (path) => new Promise((resolve) => {
        const source = new EventSource(path);
        source.onopen = () => resolve("open");
        source.onerror = () => resolve("refused");
    });
    return [
        await status(`/v1/customers/${customer}/persona`),
        await status("/v1/queue"),
        await listening("/v1/changes"),
        await status(`/v1/customers/${customer}/assignment`, {
            method: "PUT", body: JSON.stringify({ persona: null }),
            headers: { "Content-Type": "application/json" },
        }),
        await status(`/v1/customers/${customer}`, { method: "DELETE" }),
    ];
}
"""


async def test_a_page_whose_name_is_let_lead_to_this_machine_neither_deletes_nor_reads(
    browser: Browser, shop: Deployment
) -> None:
    customer = "CUST-REBOUND"
    await shop.shop.produce(*baskets(customer, "pets/dog"))
    await shop.knows(customer)
    port, topic = urlsplit(shop.url).port, shop.settings.topic_deletions
    sent = len(await shop.shop.read(topic))
    site, binary = f"http://attacker.example:{port}", find_chromium()
    assert binary is not None
    rebinding = (
        "--host-resolver-rules=MAP attacker.example 127.0.0.1",
        # The newest Chromium refuses by itself what a name of elsewhere asks of this machine; other
        # browsers and older ones do not.
        "--disable-features=LocalNetworkAccessChecks",
    )
    async with chromium(binary, *rebinding) as rebound:
        page = await rebound.new_page()
        # The page itself came while its name still led to the attacker's own server.
        await page.route(f"{site}/", lambda route: route.fulfill(body="<h1>Win a prize</h1>"))
        await page.goto(f"{site}/")
        assert await page.evaluate("location.origin") == site
        assert await page.evaluate(_ATTACK, customer) == [403, 403, "refused", 403, 403]
        assert len(await shop.shop.read(topic)) == sent
        # What it tried is what our own page does.
        await page.goto(f"{shop.url}/")
        assert await page.evaluate(_ATTACK, customer) == [200, 200, "open", 202, 202]
    assert len(await shop.shop.read(topic)) == sent + 1


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
