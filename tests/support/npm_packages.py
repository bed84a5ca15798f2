"""Segment's library for browsers, as npm has it: fetched once, kept in the cache."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.support.kafka_node import cache_folder
from tests.support.waiting import patience

ANALYTICS = "@segment/analytics-next"
ANALYTICS_VERSION = "1.84.3"
#: The build for pages in the package: it defines ``AnalyticsNext``.
SCRIPT = "package/dist/umd/index.js"


def has_npm() -> bool:
    return shutil.which("npm") is not None or _cache().exists()


def analytics_script() -> Path:
    """The build for pages, fetched with npm the first time, whole or not at all."""
    cache = _cache()
    if not cache.exists():
        print(f"Fetching {ANALYTICS} {ANALYTICS_VERSION} with npm, once ...", file=sys.__stderr__)
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent) as unfinished:
            package = f"{ANALYTICS}@{ANALYTICS_VERSION}"
            subprocess.run(
                ["npm", "pack", "--silent", package], cwd=unfinished, check=True,
                stdout=subprocess.DEVNULL, timeout=patience(100),
            )  # fmt: skip
            (archive,) = Path(unfinished).glob("*.tgz")
            with tarfile.open(archive) as opened:
                opened.extract(SCRIPT, unfinished, filter="data")
            with suppress(OSError):  # another run was quicker
                Path(unfinished, SCRIPT).rename(cache)
    return cache


def _cache() -> Path:
    return cache_folder() / f"analytics-next-{ANALYTICS_VERSION}.js"
