"""``make screenshot``: the README's pictures, of the demo with its real households.

Starts ``stream-persona demo`` as a user does, waits until its charts have something to show, and
writes what a laptop's window shows of the views Now and Shop, and a film of the latter.
"""

import argparse
import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import httpx
from playwright.async_api import expect
from rich.console import Console

from tests.browser import film
from tests.browser.dashboard import Dashboard, dashboard_of
from tests.browser.looking import chromium, find_chromium
from tests.support.waiting import eventually, patience, wait_until

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"
#: Seconds until the demo answers, then until there is something to see, and its whole time.
START_SECONDS, SEEN_SECONDS, DEMO_SECONDS = 90.0, 240.0, 420
#: Samples of the mix over time that are enough of a chart.
SAMPLES = 12
#: Bytes that a picture may have, and a film.
MOST_BYTES = {".png": 500_000, ".webp": film.MOST_BYTES}
#: Whom the shop is shown to.
PERSONAS = ("baby_kids", "pet_owner")


@contextmanager
def demo(folder: Path) -> Iterator[str]:
    """The address of a demo that plays; it ends with the block."""
    log = folder / "demo.log"
    bounds = ["--for", f"{DEMO_SECONDS}s", "--report", str(folder / "demo.json")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream_persona", "demo", "--no-browser", *bounds],
            cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield address(process, log)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(patience(60))


def address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait for the address of the page in the demo's log."""

    def logged() -> re.Match[str] | None:
        return re.search(r"Dashboard: (http://\S+?)/?\s", log.read_text())

    wait_until(lambda: logged() or process.poll() is not None, START_SECONDS, "it does not start")
    found = logged()
    if found is None:
        raise RuntimeError(f"the demo ended:\n{log.read_text()[-2_000:]}")
    return found[1]


async def is_worth_seeing(url: str) -> None:
    """Wait until there is a mix over some time, and lately changes."""
    async with httpx.AsyncClient(base_url=url, timeout=patience(20)) as client:

        async def drawn() -> bool:
            history = (await client.get("/v1/history?seconds=3600")).json()
            shoppers = [number for number in history["shoppers"] if number]
            return len(shoppers) >= SAMPLES

        await eventually(drawn, SEEN_SECONDS, "the demo has too little to show")


async def take_now(dashboard: Dashboard, path: Path) -> None:
    """The view Now, with all charts drawn and the feed filled."""
    await dashboard.open("now")
    await dashboard.drawn()
    await expect(dashboard.part("change").nth(7)).to_be_visible()
    await expect(dashboard.part("banner")).to_be_hidden()
    await dashboard.page.screenshot(path=path, animations="disabled")


async def take_shop(dashboard: Dashboard, path: Path) -> None:
    """The shop with two shoppers beside each other, as far down as the first shelf."""
    shoppers = await named_shoppers(dashboard)
    asked = [("shopper", each) for each in shoppers] + [("q", "food")]
    await dashboard.page.goto(f"/#/shop?{urlencode(asked)}")
    await dashboard.shows("shop")
    orders = dashboard.part("shelf-search").get_by_test_id("order")
    for shopper in shoppers:
        await expect(orders.and_(dashboard.part("order", customer=shopper))).to_be_visible()
    await dashboard.page.evaluate("document.activeElement.blur()")
    await expect(dashboard.page.locator(".flips li").first).to_be_visible()
    await dashboard.page.set_viewport_size({"width": 1_280, "height": 960})
    await dashboard.page.screenshot(path=path, animations="disabled")


async def named_shoppers(dashboard: Dashboard) -> list[str]:
    """A family and a pet owner of those that have changed lately."""
    await dashboard.open("changes")
    found = []
    for persona in PERSONAS:
        row = dashboard.part("change", persona=persona).first
        found.append(str(await row.get_attribute("data-customer")))
    return found


async def take_film(dashboard: Dashboard, path: Path) -> None:
    """Somebody of whom nothing is known becomes a pet owner."""
    dashboard.log.forgive("status of 404")
    await dashboard.page.set_viewport_size({"width": 960, "height": 860})
    await dashboard.page.goto("/#/shop?q=food")
    await dashboard.shows("shop")
    await dashboard.part("be-a-shopper").click()
    await expect(dashboard.part("shop-state")).to_contain_text("Nothing is known")
    await dashboard.page.evaluate("window.scrollTo(0, 300)")
    async with film.filmed(dashboard.page, path):
        await film.shop_for_a_cat(dashboard)


async def run(binary: str, folder: Path, scale: float) -> list[Path]:
    """Take all pictures of one demo; return them."""
    made = [folder / name for name in ("dashboard.png", "shop.png", "shop.webp")]
    takes = (take_now, take_shop, take_film)
    with TemporaryDirectory() as work, demo(Path(work)) as url:
        await is_worth_seeing(url)
        async with chromium(binary) as browser:
            for take, path in zip(takes, made, strict=True):
                pixels = 1.0 if path.suffix == ".webp" else scale
                async with dashboard_of(
                    browser, url, color_scheme="light", device_scale_factor=pixels
                ) as dashboard:
                    await take(dashboard, path)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they are written")
    parser.add_argument("--scale", type=float, default=1.5, help="pixels of a picture to one")
    options = parser.parse_args()
    binary = find_chromium()
    if binary is None:
        parser.error("needs Chromium on the PATH (Debian and Ubuntu: apt install chromium)")
    for path in asyncio.run(run(binary, options.folder, options.scale)):
        size, most = path.stat().st_size, MOST_BYTES[path.suffix]
        if size > most:
            parser.error(f"{path} has {size:,} bytes, too many: take it with a smaller --scale")
        Console().print(f"Wrote {path}: {size / 1e3:,.0f} kB")


if __name__ == "__main__":
    main()
