"""A browser on this machine, and pages of it whose mistakes are logged."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    async_playwright,
    expect,
)

#: Names that distributions give to it.
BINARIES = ("chromium", "chromium-browser", "google-chrome")
#: Milliseconds that a page may take to show something.
PATIENCE_MS = 20_000
#: What a window may be wide: a laptop's, a telephone's.
SIZES = {1280: 800, 390: 844}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

#: Browsers log a violation of the policy on the console, but none of a policy that only reports.
_LOG_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`${event.effectiveDirective} forbids ${event.blockedURI || event.sample}`));
"""


def find_chromium() -> str | None:
    """The system's own; none is ever downloaded."""
    return next(filter(None, map(shutil.which, BINARIES)), None)


@asynccontextmanager
async def chromium(binary: str, *more: str) -> AsyncIterator[Browser]:
    """A browser that finds no host but this machine; ``more`` are arguments of its own."""
    only_here = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await launched(playwright, binary, [only_here, *root, *more])
        yield browser
        await browser.close()


async def launched(playwright: Playwright, binary: str, args: list[str]) -> Browser:
    return await playwright.chromium.launch(executable_path=binary, args=args)


@dataclass
class PageLog:
    """What a context's pages ``asked`` for, and did wrong; ``forgiven`` are patterns of that."""

    origin: str
    problems: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def attach(self, context: BrowserContext) -> None:
        context.on("console", self._log_message)
        context.on("weberror", lambda error: self._note(f"an error: {error.error}"))
        context.on("request", self._log_request)
        await context.add_init_script(_LOG_VIOLATIONS)

    def forgive(self, pattern: str) -> None:
        """Ignore problems of a pattern: browsers report any request that fails."""
        self.forgiven.append(pattern)

    def unforgiven(self) -> list[str]:
        return [one for one in self.problems if not any(re.search(p, one) for p in self.forgiven)]

    def _log_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            where = message.location
            self._note(f"{message.type}: {message.text} ({where['url']}:{where['lineNumber']})")

    def _log_request(self, request: Request) -> None:
        self.asked.append(request.url)
        scheme = request.url.partition(":")[0]
        if scheme in {"http", "https", "ws", "wss"} and not request.url.startswith(self.origin):
            self._note(f"it asks {request.url}")

    def _note(self, problem: str) -> None:
        self.problems.append(problem)


@asynccontextmanager
async def open_page(
    browser: Browser, origin: str, width: int = 1280, **options: Any
) -> AsyncIterator[tuple[Page, PageLog]]:
    """Open a page in a fresh context at this width; ``options`` are Playwright's for a context.

    What it did wrong fails the test when it is closed.
    """
    log = PageLog(origin)
    context = await browser.new_context(
        base_url=origin, viewport={"width": width, "height": SIZES.get(width, 800)}, **options
    )
    context.set_default_timeout(PATIENCE_MS)
    await log.attach(context)
    try:
        yield await context.new_page(), log
    finally:
        await context.close()
        found = "\n".join(log.unforgiven())
        if found:
            print(found)  # printed even if something else has failed the test
    assert not found, found
