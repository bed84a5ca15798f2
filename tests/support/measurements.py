"""Figures that tests have measured: shown at the end of the run, and kept in ``build/reports``.

A test notes one as a property of its report (``record_property("measured", {"name", "value",
"bound"})``), which reaches the end of the run from whichever process the test ran in.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import pytest

REPORTS = Path(__file__).parents[2] / "build" / "reports"


class Figures:
    """What was measured in a run; a bound that was missed is shown, and fails nothing."""

    def __init__(self, measured: Iterable[dict[str, object]]) -> None:
        self._found = {
            row["name"]: {"value": row["value"], "bound": row["bound"]} for row in measured
        }

    @classmethod
    def of(cls, reports: Iterable[pytest.TestReport]) -> Self:
        properties = (each for report in reports for each in report.user_properties)
        return cls(value for name, value in properties if name == "measured")

    def lines(self) -> list[str]:
        return [
            f"{name}: {row['value']:g} ({'within' if row['value'] <= row['bound'] else 'OVER'}"
            f" {row['bound']:g})"
            for name, row in self._found.items()
        ]

    def write(self) -> None:
        """Write ``build/reports/browser.json``, if anything was measured."""
        if self._found:
            REPORTS.mkdir(parents=True, exist_ok=True)
            report = json.dumps(self._found, indent=2)
            (REPORTS / "browser.json").write_text(report, encoding="utf-8")
