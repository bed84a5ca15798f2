"""What tests of the browser leave for people to look at, in ``build/reports``."""

import json
from collections.abc import Callable
from pathlib import Path

REPORTS = Path(__file__).parents[2] / "build" / "reports"
SCREENSHOTS = REPORTS / "screenshots"
#: Notes a figure, its value, and the bound that is claimed of it.
Measured = Callable[[str, float, float], None]


class Figures:
    """What was measured in a run; a bound that was missed is told, and fails nothing."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}

    def note(self, name: str, value: float, bound: float) -> None:
        self.found[name] = {"value": round(value, 1), "bound": bound}

    def lines(self) -> list[str]:
        return [
            f"{name}: {row['value']:g} ({'within' if row['value'] <= row['bound'] else 'OVER'}"
            f" {row['bound']:g})"
            for name, row in self.found.items()
        ]

    def write(self) -> None:
        REPORTS.mkdir(parents=True, exist_ok=True)
        (REPORTS / "browser.json").write_text(json.dumps(self.found, indent=2), encoding="utf-8")
