"""``make screenshot``: the README's picture, of the demo with its real households.

Starts ``stream-persona demo`` as a user does, waits until its charts have something to show, and
writes what a laptop's window shows of the view Now.
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

import httpx
from playwright.async_api import expect
from rich.console import Console

from tests.browser.dashboard import Dashboard, dashboard_of
from tests.browser.looking import chromium, find_chromium
from tests.support.waiting import eventually, wait_until

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "deploy" / "dashboard.png"
#: Seconds until the demo answers, then until there is something to see, and its whole time.
START_SECONDS, SEEN_SECONDS, DEMO_SECONDS = 90.0, 180.0, 300
#: Samples of the mix over time that are enough of a chart.
SAMPLES = 12
#: Bytes that the picture may have.
MOST_BYTES = 500_000


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
        process.wait(60)


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
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:

        async def drawn() -> bool:
            history = (await client.get("/v1/history?seconds=3600")).json()
            shoppers = [number for number in history["shoppers"] if number]
            return len(shoppers) >= SAMPLES

        await eventually(drawn, SEEN_SECONDS, "the demo has too little to show")


async def take(dashboard: Dashboard, path: Path) -> int:
    """The bytes of the picture, with all charts drawn and the feed filled."""
    await dashboard.open("now")
    await dashboard.drawn()
    await expect(dashboard.part("change").nth(7)).to_be_visible()
    await expect(dashboard.part("banner")).to_be_hidden()
    return len(await dashboard.page.screenshot(path=path, animations="disabled"))


async def run(binary: str, path: Path, scale: float) -> int:
    with TemporaryDirectory() as folder, demo(Path(folder)) as url:
        await is_worth_seeing(url)
        async with (
            chromium(binary) as browser,
            dashboard_of(
                browser, url, color_scheme="light", device_scale_factor=scale
            ) as dashboard,
        ):
            return await take(dashboard, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", type=Path, default=PICTURE, help="where it is written")
    parser.add_argument("--scale", type=float, default=1.5, help="pixels of the picture to one")
    options = parser.parse_args()
    binary = find_chromium()
    if binary is None:
        parser.error("needs Chromium on the PATH (Debian and Ubuntu: apt install chromium)")
    size = asyncio.run(run(binary, options.path, options.scale))
    if size > MOST_BYTES:
        parser.error(f"{options.path} has {size:,} bytes, too many: take it with a smaller --scale")
    Console().print(f"Wrote {options.path}: {size / 1e3:,.0f} kB")


if __name__ == "__main__":
    main()
