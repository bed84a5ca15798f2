"""The workers as their reports tell of them: who lives, how much they do, how quickly."""

import pytest

from stream_persona.api.dashboard.workers import ALIVE, Crew, quantile
from stream_persona.store.worker_status import WorkerStatus
from tests.support.said import report

#: The API's wall clock in ms at its second 0.
WALL = 1_764_000_000_000


def crew_of(*rounds: tuple[float, dict[str, WorkerStatus]]) -> Crew:
    """A crew that was told of these reports at these seconds of ours."""
    crew = Crew(now=0.0)
    for now, reports in rounds:
        crew.take(reports, now, WALL + round(1_000 * now))
    return crew


def at(second: float, ahead: float = 0.0, **parts: object) -> dict[str, WorkerStatus]:
    """A report made at a second of ours, by a clock that may be ahead."""
    ms = WALL + round(1_000 * (second + ahead))
    return {"w": report("w", ms, **parts)}


def names(crew: Crew, now: float) -> list[str]:
    return [status.worker for status in crew.alive(now)]


# --- who lives ---


def test_a_worker_lives_for_as_long_as_its_reports_move() -> None:
    crew = crew_of((10, at(10)), (12, at(12)), (14, at(12)))
    assert names(crew, 12 + ALIVE - 1) == ["w"]
    assert names(crew, 12 + ALIVE) == []
    assert crew.silence(20) == 8


def test_a_report_that_was_old_when_we_first_saw_it_is_of_nobody_who_lives() -> None:
    crew = crew_of((60, at(20)))
    assert names(crew, 60) == []
    assert crew.silence(60) == ALIVE


@pytest.mark.parametrize("ahead", [-3_600.0, 3_600.0])
def test_a_worker_whose_clock_is_wrong_lives_once_its_reports_move(ahead: float) -> None:
    crew = crew_of((10, at(10, ahead)))
    assert names(crew, 10) == []
    crew.take(at(12, ahead), 12, WALL + 12_000)
    assert names(crew, 12 + ALIVE - 1) == ["w"]


def test_who_has_taken_its_report_away_is_gone_at_once() -> None:
    crew = crew_of((10, at(10)), (12, {}))
    assert (names(crew, 12), crew.silence(12)) == ([], 2)


def test_silence_is_counted_from_our_start_when_there_was_never_anybody() -> None:
    assert crew_of((2, {}), (4, {})).silence(20) == 20


# --- how much ---


def test_the_rate_is_of_the_last_ten_seconds() -> None:
    looks = [(s, at(s, events=100 * s)) for s in range(0, 21, 2)]
    looks += [(s, at(s, events=2_000 + 500 * (s - 20))) for s in range(22, 33, 2)]
    assert crew_of(*looks).events_per_second(32) == pytest.approx(500)


def test_a_report_that_comes_late_does_not_change_the_rate() -> None:
    crew = crew_of((0, at(0)), (2, at(1.9, events=190)), (4, at(2.1, events=210)))
    assert crew.events_per_second(4) == pytest.approx(100)


def test_of_a_worker_that_falls_silent_the_rate_falls() -> None:
    crew = crew_of((0, at(0)), (2, at(2, events=200)))
    assert crew.events_per_second(4) == pytest.approx(100)
    assert crew.events_per_second(2 + 4 + 8) == pytest.approx(20)
    assert crew.events_per_second(2 + ALIVE) == 0.0


def test_after_a_restart_totals_begin_again_and_the_rate_does_not_suffer() -> None:
    crew = crew_of(
        (0, at(0, events=10_000)), (2, at(2, events=10_200)),
        (8, at(8, events=300, started_at=5)), (10, at(10, events=600, started_at=5)),
    )  # fmt: skip
    assert crew.events_per_second(10) == pytest.approx((200 + 600) / 10)


def test_rates_of_workers_add_up_and_can_be_told_apart() -> None:
    crew = Crew(now=0.0)
    for s in (0, 2, 4):
        reports = {name: report(name, WALL + 1_000 * s, events=n * s) for name, n in RATES.items()}
        crew.take(reports, s, WALL + 1_000 * s)
    assert crew.events_per_second(4) == pytest.approx(150)
    assert [crew.rate(name, 4) for name in (*RATES, "nobody")] == [100, 50, None]


RATES = {"v": 100, "w": 50}


def test_of_a_first_report_no_rate_is_known_and_without_workers_it_is_none_at_all() -> None:
    assert crew_of((0, at(0, events=5_000))).events_per_second(1) is None
    assert crew_of((0, {})).events_per_second(1) == 0.0


# --- how quickly ---


def test_the_time_to_a_change_is_of_the_last_minute() -> None:
    looks = [(0, at(0, change_counts=[0, 0, 500, 0])), (2, at(2, change_counts=[100, 0, 500, 0]))]
    assert crew_of(*looks).change_p99_ms(2) == pytest.approx(99)
    looks += [(s, at(s, change_counts=[100, 0, 500, 0])) for s in range(4, 70, 2)]
    assert crew_of(*looks).change_p99_ms(68) is None


def test_times_of_workers_add_up_also_of_one_that_has_begun_again() -> None:
    crew = Crew(now=0.0)
    for s, counts, started in ((0, [0, 0, 0, 9], 0), (2, [50, 0, 0, 9], 0), (4, [0, 0, 50, 0], 3)):
        reports = {
            name: report(name, WALL + 1_000 * s, change_counts=counts, started_at=started)
            for name in RATES
        }
        crew.take(reports, s, WALL + 1_000 * s)
    assert crew.change_p99_ms(4) == pytest.approx(1_000 * (0.5 + 0.5 * 98 / 100))


def test_without_workers_no_time_is_known() -> None:
    assert Crew(now=0.0).change_p99_ms(1) is None
    assert crew_of((0, at(0)), (2, at(2))).change_p99_ms(2) is None


def test_a_worker_that_comes_back_with_other_buckets_is_timed_anew() -> None:
    other = {"change_bounds": [1.0], "started_at": 1}
    crew = crew_of(
        (0, at(0, change_counts=[9, 9, 9, 9])), (2, at(2, **other, change_counts=[3, 1])),
        (4, at(4, **other, change_counts=[13, 1])),
    )  # fmt: skip
    assert crew.change_p99_ms(4) == pytest.approx(990)


def test_beyond_the_last_bound_its_lower_end_is_all_that_is_known() -> None:
    assert quantile(0.99, [0.1, 0.5], [1, 1, 98]) == 0.5
    assert quantile(0.5, [0.1, 0.5], [0, 0, 0]) is None
