"""The table of limits in deploy/README.md has the numbers of the code, each of them."""

from __future__ import annotations

import re
from pathlib import Path

from stream_persona.api import bounds
from stream_persona.api.bounds import Bounds
from stream_persona.worker import metrics_server as scrapes

PAGE = (Path(__file__).parents[2] / "deploy" / "README.md").read_text()
SECTION = PAGE.partition("### Limits of callers")[2].partition("Redis and Kafka are without")[0]
FRACTIONS = {1 / 4: "a quarter", 3 / 4: "three quarters"}


def rows() -> dict[str, str]:
    """The table's values by their limits."""
    found = re.findall(r"^\| (?!-|limit )([^|]+) \| ([^|]+) \|", SECTION, flags=re.MULTILINE)
    return dict(found)


def test_the_table_has_each_limit_as_it_is() -> None:
    assert rows() == {
        "open files that are kept for Redis, Kafka and files": (
            f"{FRACTIONS[bounds.RESERVED_SHARE]} of the process's limit, "
            f"at least {bounds.RESERVED_FILES}"
        ),
        "connections": f"the rest, at most {bounds.MOST_CONNECTIONS:,}",
        "listeners of `/v1/changes`": f"{FRACTIONS[bounds.LISTENERS_SHARE]} of the connections",
        "listeners of one key, or of one address without keys": (
            f"{FRACTIONS[bounds.CALLERS_SHARE]} of these"
        ),
        "a request's line and headers": f"{bounds.HEAD_BYTES:,} bytes",
        "bodies of all requests in progress, without those of up to "
        f"{bounds.SMALL_BODY_BYTES:,} bytes": f"{bounds.BODIES_BYTES:,} bytes, or one body",
        "time for a head": f"{bounds.HEAD_SECONDS:g} s",
        "time for a body": (
            f"{bounds.BODY_SECONDS:g} s, and 1 s more for each {bounds.BODY_RATE:,} bytes that came"
            ", up to the largest body"
        ),
        "time for what is left of a body that was refused": f"{bounds.BODY_SECONDS:g} s",
        "idle between two requests": f"{bounds.IDLE_SECONDS} s",
        "time for a caller to take what fills the buffers": f"{bounds.UNREAD_SECONDS:g} s",
        "time to take the last bytes": f"{bounds.CLOSING_SECONDS:g} s",
        "a worker's metrics: connections that wait, and as many being answered": (
            f"{scrapes.MOST_WAITING}"
        ),
        "time of each of the two": f"{scrapes.SCRAPE_SECONDS:g} s",
        "a scrape's line and headers": f"{scrapes.SCRAPE_HEAD_BYTES:,} bytes",
    }


def test_the_examples_below_the_table_are_right() -> None:
    for files in (1_024, 16_384):
        b = Bounds.of(files)
        shown = (f"{b.connections:,}", f"{b.listeners:,}", f"{b.of_caller:,}")
        pattern = rf"{files:,}[^;.]*?{shown[0]}[^;.]*?{shown[1]}[^;.]*?{shown[2]}"
        assert re.search(pattern, SECTION, flags=re.DOTALL), shown


def test_every_constant_of_the_bounds_is_in_the_table_or_explained() -> None:
    constants = {name for name in vars(bounds) if name.isupper() and name != "TYPE_CHECKING"}
    assert constants == {
        "RESERVED_FILES", "RESERVED_SHARE", "MOST_CONNECTIONS", "LISTENERS_SHARE", "CALLERS_SHARE",
        "HEAD_BYTES", "HEAD_SECONDS", "BODIES_BYTES", "SMALL_BODY_BYTES", "BODY_SECONDS",
        "BODY_RATE", "IDLE_SECONDS", "UNREAD_SECONDS", "CLOSING_SECONDS",
        "LEAST_CONNECTIONS",  # of limits below 200 files, with which nothing runs for long
    }  # fmt: skip
