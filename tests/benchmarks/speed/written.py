"""The report of ``make bench``: parts that several commands write, each without the others'."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPORT = Path("build/reports/bench.json")


def read() -> dict[str, Any]:
    return json.loads(REPORT.read_text(encoding="utf-8")) if REPORT.exists() else {}


def merge(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Renew these sections, entry by entry, and leave everything else as it is; the whole."""
    whole = read()
    for name, section in sections.items():
        before = whole.get(name)
        both = {**before, **section} if isinstance(before, dict) else section
        whole[name] = both if isinstance(section, dict) else section
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(whole, indent=2), encoding="utf-8")
    return whole
