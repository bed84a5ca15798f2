"""The model's view: figures, and the shoppers worth a label."""

from playwright.async_api import expect

from tests.browser.dashboard import Dashboard
from tests.browser.deployment import PATIENCE, Deployment
from tests.support.waiting import eventually


async def test_whom_to_label_next_is_assigned_from_the_list(
    dashboard: Dashboard, shop: Deployment
) -> None:
    await dashboard.open("model")
    row = dashboard.part("queue-row").first
    customer = await row.get_attribute("data-customer")
    assert customer is not None
    row = dashboard.part("queue-row", customer=customer)
    await row.get_by_test_id("queue-persona").select_option("student")
    await row.get_by_test_id("queue-assign").click()

    async def assigned() -> bool:
        stored = await shop.shop.public(customer)
        return stored is not None and stored["source"] == "assigned"

    await eventually(assigned, PATIENCE, "the assignment does not come through")
    assert (await shop.shop.public(customer) or {})["persona"] == "student"


async def test_the_model_in_use_is_judged(dashboard: Dashboard) -> None:
    await dashboard.open("model")
    await expect(dashboard.part("model-name", name="current")).to_be_visible()
    await expect(dashboard.part("labels").locator("li[data-persona]")).to_have_count(8)
    await expect(dashboard.part("confusion")).to_be_visible()
    await expect(dashboard.part("worker-row")).to_have_count(1)
