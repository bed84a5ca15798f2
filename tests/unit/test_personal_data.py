"""The table of personal data names every place in which something of a customer may be."""

import re
from pathlib import Path

import pytest

from stream_persona.settings import Settings
from stream_persona.store import tables

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "deploy/README.md").read_text(encoding="utf-8").partition("## Personal data")[2]
ROWS = [line for line in SECTION.partition("\n## ")[0].splitlines() if line.startswith("| ")]
PLACES = {line.split("|")[1] for line in ROWS}
#: The keys that the port's docstring lists, and those that a Cluster has beside them.
KEYS = re.findall(r"^``(persona[-\w:<>]*)``", tables.__doc__ or "", re.MULTILINE)
KINDS = {key.partition(":")[0] for key in KEYS} | {"persona-fence"}
TOPICS = {
    field.default for name, field in Settings.model_fields.items() if name.startswith("topic_")
}


def named(kind: str) -> set[str]:
    """The names in code font of rows on one kind of place."""
    rows = " ".join(place for place in PLACES if place.strip().startswith(kind))
    return {each.partition(":")[0] for each in re.findall(r"`([^`]+)`", rows)}


def test_the_keys_of_the_port_are_found() -> None:
    assert {"persona", "persona-state", "persona-names", "persona-pending"} < KINDS
    assert len(KINDS) >= 18
    assert len(TOPICS) == 8


@pytest.mark.parametrize("key", sorted(KINDS))
def test_every_kind_of_key_stands_in_the_table(key: str) -> None:
    assert key in named("Redis")


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_every_topic_stands_in_the_table(topic: str) -> None:
    assert topic in named("topic")


def test_the_source_writes_no_kind_of_key_that_the_port_does_not_list() -> None:
    texts = [path.read_text() for path in (ROOT / "stream_persona/store").glob("*.py")]
    used = {kind for text in texts for kind in re.findall(r'\bof\("([a-z-]+)"', text)}
    used |= {kind for text in texts for kind in re.findall(r'tagged\("([a-z-]+)"', text)}
    assert len(used) > 10
    assert {f"persona-{kind}" for kind in used} <= KINDS | {"persona-names"}


def test_every_row_says_what_becomes_of_it() -> None:
    assert len(ROWS) > 20
    assert all(all(cell.strip() for cell in row.split("|")[1:4]) for row in ROWS)
