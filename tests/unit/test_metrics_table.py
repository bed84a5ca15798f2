"""The table of metrics in deploy/README.md has each metric, and no page names any other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from stream_persona.api.metrics import ApiMetrics
from stream_persona.worker.metrics import Metrics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("| metric | kind | labels | what |")[2].partition("\n\n")[0]


def exported(registry: CollectorRegistry) -> list[tuple[str, str, list[str]]]:
    """Name, kind and labels of each metric, in the order of the catalogue."""
    found = []
    for metric in registry._collector_to_names:
        ((family,), labels) = metric.collect(), metric._labelnames
        end = "_total" if family.type == "counter" else ""
        found.append((family.name + end, family.type, list(labels)))
    return found


def all_exported() -> list[tuple[str, str, list[str]]]:
    return exported(Metrics().registry) + exported(ApiMetrics().registry)


def test_the_table_has_each_metric_with_its_kind_and_its_labels() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\| ", TABLE, re.MULTILINE)
    written = [(name, kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows]
    assert written == all_exported()


@pytest.mark.parametrize("page", ["README.md", "deploy/README.md", "deploy/collecting.md"])
def test_every_metric_that_a_page_names_is_exported(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(re.findall(r"\bstream_persona_\w+", text)) <= {name for name, *_ in all_exported()}
