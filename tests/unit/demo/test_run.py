import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from rich.console import Console

from stream_persona.demo.children import environment
from stream_persona.demo.feeder import Backlog
from stream_persona.demo.playback import DAY, Playback
from stream_persona.demo.report import Report
from stream_persona.demo.scoreboard import Judgement, Scoreboard
from stream_persona.demo.simulator import Simulator
from stream_persona.demo.study import Study
from stream_persona.demo.view import LiveView, PlainView, Status, view_on
from stream_persona.domain.events import PURCHASE, Purchase, event_time
from stream_persona.domain.taxonomy import load, shipped
from stream_persona.settings import load_settings

P0, P1 = TopicPartition("purchases", 0), TopicPartition("purchases", 1)
STUDY = Study({"HH-1": "a", "HH-2": "a", "HH-3": "b"}, {"HH-4": "a", "HH-5": "b", "HH-6": "b"})


def posterior(a: float, *, persona: str | None = None) -> dict[str, Any]:
    return {
        "persona": persona,
        "confidence": max(a, 1 - a),
        "ambiguous": persona is None,
        "source": "predicted",
        "distribution": {"a": a, "b": 1 - a},
    }


def change(
    customer: str, current: dict[str, Any], previous: dict[str, Any] | None = None, **fields: object
) -> dict[str, Any]:
    why = [{"feature": "category", "value": "grocery/cat-food", "lift": 5.123}]
    common = {"customer_id": customer, "cause": "behaviour", "previous": previous, "why": why}
    return common | {"current": current} | fields


def board(*changes: dict[str, Any]) -> Scoreboard:
    heard = Scoreboard(STUDY)
    for each in changes:
        heard.hear(each)
    return heard


# --- what waits for the workers ---


def test_what_was_committed_no_longer_waits() -> None:
    backlog = Backlog()
    for offset in range(3):
        backlog.sent(P0, offset, 100)
    backlog.sent(P1, 0, 50)
    backlog.committed(P0, 2)
    assert (backlog.largest, backlog.events, backlog.consumed) == (100, 2, 2)


def test_an_older_answer_changes_nothing() -> None:
    backlog = Backlog()
    backlog.sent(P0, 7, 100)
    backlog.committed(P0, 8)
    backlog.committed(P0, -1)
    assert (backlog.largest, backlog.events, backlog.consumed) == (0, 0, 1)


def test_the_fullest_partition_counts() -> None:
    backlog = Backlog()
    backlog.sent(P0, 0, 10)
    backlog.sent(P1, 0, 30)
    assert (backlog.largest, set(backlog.partitions)) == (30, {P0, P1})


# --- what the processes are told ---


def test_a_process_is_told_every_setting_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STREAM_PERSONA_GROUP", "another")
    given = load_settings(
        brokers="b:1", group="demo", taxonomy=shipped("complete-journey"), declare_topics=False
    )
    for name, value in environment(given).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == given


# --- what is due ---


class Days:
    """A journey with one purchase at the end of each day."""

    start, end = 0, 10 * DAY

    def told(self) -> Iterator[tuple[int, Purchase]]:
        for day in range(1, 11):
            yield PURCHASE, Purchase(f"B-{day}", "HH-1", day * DAY, ())


def playback(speed: float, rate: float) -> Playback:
    taxonomy = load(shipped("complete-journey"))
    return Playback(Days(), Simulator(taxonomy), speed=speed, rate=rate)  # type: ignore[arg-type]


def test_speed_is_in_days_of_event_time_a_second() -> None:
    played = playback(speed=2.0, rate=0.0)
    assert [event.event_id for _, event in played.due(1.0)] == ["B-1", "B-2"]
    assert [event.event_id for _, event in played.due(1.5)] == ["B-3"]
    assert (played.days, played.over) == (3.0, False)


def test_nothing_is_due_twice_and_nothing_is_left_out() -> None:
    played = playback(speed=1.0, rate=7.0)
    events = [event for i in range(1, 41) for _, event in played.due(i * 0.25)]
    synthetic = [event for event in events if event.customer_id.startswith("SIM-")]
    assert len(events) - len(synthetic) == 10
    assert len(synthetic) == 70
    assert len({event.event_id for event in events}) == 80
    assert played.over


def test_real_and_synthetic_events_come_in_one_event_time() -> None:
    played = playback(speed=1.0, rate=5.0)
    times = [event_time(event) for i in range(1, 6) for _, event in played.due(i * 2.0)]
    assert times == sorted(times)
    assert times[0] >= Days.start
    assert times[-1] <= Days.end


def test_synthetic_shoppers_go_on_when_the_journey_is_over() -> None:
    played = playback(speed=10.0, rate=5.0)
    list(played.due(1.0))
    assert played.over
    assert len(list(played.due(2.0))) == 5


# --- what is known of the shoppers ---


def test_the_latest_change_of_each_held_back_shopper_is_judged() -> None:
    heard = board(
        change("HH-4", posterior(0.2)),
        change("HH-4", posterior(0.8, persona="a")),
        change("HH-5", posterior(0.6)),
    )
    judgement = heard.judge()
    assert (judgement.judged, judgement.accuracy, judgement.majority_accuracy) == (2, 0.5, 0.5)
    assert (judgement.named, judgement.named_accuracy) == (1, 1.0)


def test_the_log_loss_stands_beside_that_of_the_assigned_shares() -> None:
    judgement = board(change("HH-5", posterior(0.25))).judge()
    assert judgement.log_loss == pytest.approx(0.28768207)
    assert judgement.prior_log_loss == pytest.approx(1.09861229)


def test_nobody_to_judge_gives_no_figure() -> None:
    assert board(change("HH-1", posterior(0.9, persona="a"))).judge() == Judgement(
        judged=0,
        accuracy=None,
        majority_accuracy=None,
        log_loss=None,
        prior_log_loss=None,
        named=0,
        named_accuracy=None,
    )


def test_synthetic_shoppers_are_counted_apart() -> None:
    heard = board(change("SIM-00001", posterior(0.9, persona="a")), change("HH-9", posterior(0.5)))
    assert (heard.shoppers, heard.synthetic, heard.named, heard.ambiguous) == (1, 1, 0, 1)
    assert heard.changes == {"synthetic": 1, "behaviour": 1}


def test_a_look_up_replaces_what_was_heard() -> None:
    heard = board(change("HH-4", posterior(0.2)))
    heard.look_up("HH-4", posterior(0.8, persona="a"))
    assert heard.judge().accuracy == 1.0


def test_a_deleted_shopper_is_forgotten() -> None:
    heard = board(change("HH-4", posterior(0.2)), {"customer_id": "HH-4", "deleted": True})
    assert heard.shoppers == 0


def test_a_shift_is_told_with_its_reasons() -> None:
    before, after = posterior(0.5), posterior(0.8, persona="a")
    heard = board(change("HH-4", after, before))
    (shift,) = heard.recent
    assert (shift.before, shift.after) == ("ambiguous", "a")
    assert shift.reasons == "grocery/cat-food ×5.1"


@pytest.mark.parametrize(
    "quiet",
    [
        change("HH-4", posterior(0.6), None),
        change("HH-4", posterior(0.6), posterior(0.5)),
        change("HH-1", posterior(0.5, persona="a"), None, cause="assignment"),
    ],
)
def test_what_names_nobody_anew_is_no_shift(quiet: dict[str, Any]) -> None:
    assert not board(quiet).recent


# --- what is shown ---


def status(**fields: object) -> Status:
    heard = board(change("HH-4", posterior(0.8, persona="a"), posterior(0.5)))
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
        "judgement": heard.judge(),
        "recent": tuple(heard.recent),
    }
    return Status(**facts | fields)  # type: ignore[arg-type]


def shown(view_of: type[LiveView | PlainView], *statuses: Status) -> str:
    console = Console(record=True, width=120, force_terminal=view_of is LiveView, quiet=False)
    with view_of(console) as view:
        for each in statuses:
            view.show(each)
        return console.export_text()


@pytest.mark.parametrize("view_of", [LiveView, PlainView])
def test_both_views_show_pace_accuracy_and_the_latest_shift(
    view_of: type[LiveView | PlainView], capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(view_of, status()) + capsys.readouterr().out
    for part in ("568", "2017-07-14", "100.0%", "ambiguous → a", "grocery/cat-food ×5.1"):
        assert part in text


def test_a_plain_line_comes_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(PlainView, *(status(seconds=10 + i / 4) for i in range(40)))
    assert text.count("2017-07-14") == 2


def test_a_slowed_feed_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "slowed" in shown(PlainView, status(slowed=True))
    assert "slowed" not in shown(PlainView, status())


def test_the_console_decides_on_the_view() -> None:
    assert isinstance(view_on(Console(force_terminal=True)), LiveView)
    assert isinstance(view_on(Console(force_terminal=False)), PlainView)


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
