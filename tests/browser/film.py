"""The README's moving picture: somebody shops for a cat, and the shelves turn."""

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.async_api import Locator, Page, expect

from tests.browser.dashboard import Dashboard

#: Milliseconds between two frames, those for which the last one stays, and bytes of the film.
FRAME_MS, LAST_MS, MOST_BYTES = 150, 3_000, 2_000_000
#: What is bought, and the wider search that turns when it is known who is looking.
BOUGHT: Final = ("cat food dry", "cat food")
WIDER: Final = "food"
#: Products of a basket, and baskets until the shopper has to be known.
PRODUCTS, BASKETS = 3, 4


@asynccontextmanager
async def filmed(page: Page, path: Path) -> AsyncIterator[None]:
    """Take a picture of the window again and again within the block; write them as one film."""
    shots: list[tuple[float, bytes]] = []

    async def shoot() -> None:
        while True:
            shots.append((time.monotonic(), await page.screenshot()))
            await asyncio.sleep(FRAME_MS / 1_000)

    shooting = asyncio.create_task(shoot())
    try:
        yield
    finally:
        shooting.cancel()
        with suppress(asyncio.CancelledError):
            await shooting
    write(shots, path)


def write(shots: list[tuple[float, bytes]], path: Path) -> None:
    """Write the pictures, each for as long as it lasted; equal ones are one."""
    frames: list[Image.Image] = []
    lasts: list[int] = []
    before = b""
    for (at, shot), (after, _) in zip(shots, [*shots[1:], (0.0, b"")], strict=True):
        ms = round(1_000 * (after - at)) if after else LAST_MS
        if shot == before:
            lasts[-1] += ms
        else:
            frames.append(Image.open(io.BytesIO(shot)).convert("RGB"))
            lasts.append(ms)
        before = shot
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=lasts, loop=0, quality=72, method=4
    )


async def shop_for_a_cat(dashboard: Dashboard) -> None:
    """Search, put into the cart and buy, until it is known who is looking."""
    head, search = dashboard.part("shop-shopper"), dashboard.part("shelf-search")
    for words in BOUGHT[:BASKETS]:
        await ask(dashboard, words)
        await put_into_cart(dashboard, search.get_by_test_id("order"))
        await ask(dashboard, WIDER)
        await dashboard.part("buy").click()
        with suppress(AssertionError):
            await expect(head).to_have_attribute("data-persona", "pet_owner", timeout=4_000)
            break
    await expect(head).to_have_attribute("data-persona", "pet_owner")
    await asyncio.sleep(1.5)  # so that one sees it


async def ask(dashboard: Dashboard, words: str) -> None:
    query = dashboard.part("shop-query")
    await query.fill("")
    await query.press_sequentially(words, delay=60)
    await query.press("Enter")
    first = dashboard.part("shelf-search").get_by_test_id("order").locator(".place-title").first
    await expect(first).to_contain_text(words.split(maxsplit=1)[0], ignore_case=True)
    await asyncio.sleep(0.6)


async def put_into_cart(dashboard: Dashboard, order: Locator) -> None:
    for place in range(PRODUCTS):
        await order.get_by_role("button", name="Put").nth(place).click()
        await expect(dashboard.part("cart")).to_contain_text("In your cart")
        await asyncio.sleep(0.4)
