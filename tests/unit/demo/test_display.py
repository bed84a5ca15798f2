"""The demo's output in a terminal, in a file, and as its final figures."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from stream_persona.demo.display import DemoStatus, LiveDisplay, PlainDisplay, choose_display
from stream_persona.demo.report import Report
from tests.support.demo_results import change, posterior, results_of


def status(**fields: object) -> DemoStatus:
    results = results_of(change("HH-4", posterior(0.8, persona="a"), posterior(0.5)))
    facts = {
        "seconds": 12.0,
        "clock": 1_500_000_000_000,
        "events": 1_234,
        "events_per_second": 567.8,
        "slowed": False,
        "shoppers": 1,
        "named": 1,
        "ambiguous": 0,
        "synthetic": 0,
        "changes": 1,
        "holdout": results.score_holdout(),
        "recent": tuple(results.recent),
    }
    return DemoStatus(**facts | fields)  # type: ignore[arg-type]


def render(kind: type[LiveDisplay | PlainDisplay], *statuses: DemoStatus) -> str:
    console = Console(record=True, width=120, force_terminal=kind is LiveDisplay, quiet=False)
    with kind(console) as display:
        for each in statuses:
            display.update(each)
        return console.export_text()


@pytest.mark.parametrize("kind", [LiveDisplay, PlainDisplay])
def test_both_displays_show_pace_accuracy_and_the_latest_shift(
    kind: type[LiveDisplay | PlainDisplay], capsys: pytest.CaptureFixture[str]
) -> None:
    text = render(kind, status()) + capsys.readouterr().out
    for part in ("568", "2017-07-14", "100.0%", "ambiguous → a", "grocery/cat-food ×5.1"):
        assert part in text


def test_a_plain_line_comes_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    text = render(PlainDisplay, *(status(seconds=10 + i / 4) for i in range(40)))
    assert text.count("2017-07-14") == 2


def test_a_slowed_feed_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "slowed" in render(PlainDisplay, status(slowed=True))
    assert "slowed" not in render(PlainDisplay, status())


def test_a_terminal_gets_the_live_display() -> None:
    assert isinstance(choose_display(Console(force_terminal=True)), LiveDisplay)
    assert isinstance(choose_display(Console(force_terminal=False)), PlainDisplay)


def test_the_report_is_the_same_figures_for_people_and_programs(tmp_path: Path) -> None:
    numbers = dict.fromkeys(Report.__annotations__, 1.5)
    counts = dict.fromkeys((n for n, kind in Report.__annotations__.items() if kind == "int"), 42)
    texts = {"broker": "some broker", "redis": "some server", "interrupted": False}
    named = {"changes_by_cause": {"behaviour": 7}, "produced": {"purchases": 42}}
    report = Report(**numbers | counts | texts | named)  # type: ignore[arg-type]
    report.write(tmp_path / "reports" / "demo.json")
    assert json.loads((tmp_path / "reports" / "demo.json").read_text())["events"] == 42
    console = Console(record=True, width=120, quiet=False)
    console.print(report.as_table())
    text = console.export_text()
    assert "42 purchases" in text
    assert "some broker" in text
