"""The workers by their reports: which are alive, how much they do, how quickly."""

import pytest

from stream_persona.api.dashboard.workers import ALIVE, Workers, compute_quantile
from stream_persona.store.worker_status import WorkerStatus
from tests.support.reports import report

#: The API's wall clock in ms at its second 0.
WALL = 1_764_000_000_000


def workers_of(*rounds: tuple[float, dict[str, WorkerStatus]]) -> Workers:
    """Workers with these reports at these seconds of ours."""
    workers = Workers(now=0.0)
    for now, reports in rounds:
        workers.update(reports, now, WALL + round(1_000 * now))
    return workers


def at(second: float, ahead: float = 0.0, **parts: object) -> dict[str, WorkerStatus]:
    """A report made at a second of ours, by a clock that may be ahead."""
    ms = WALL + round(1_000 * (second + ahead))
    return {"w": report("w", ms, **parts)}


def names(workers: Workers, now: float) -> list[str]:
    return [status.worker for status in workers.find_alive(now)]


# --- which are alive ---


def test_a_worker_is_alive_for_as_long_as_its_reports_advance() -> None:
    workers = workers_of((10, at(10)), (12, at(12)), (14, at(12)))
    assert names(workers, 12 + ALIVE - 1) == ["w"]
    assert names(workers, 12 + ALIVE) == []
    assert workers.compute_silence(20) == 8


def test_a_worker_whose_first_report_is_old_is_not_alive() -> None:
    workers = workers_of((60, at(20)))
    assert names(workers, 60) == []
    assert workers.compute_silence(60) == ALIVE


@pytest.mark.parametrize("ahead", [-3_600.0, 3_600.0])
def test_a_worker_whose_clock_is_wrong_is_alive_once_its_reports_advance(ahead: float) -> None:
    workers = workers_of((10, at(10, ahead)))
    assert names(workers, 10) == []
    workers.update(at(12, ahead), 12, WALL + 12_000)
    assert names(workers, 12 + ALIVE - 1) == ["w"]


def test_a_worker_without_a_report_any_more_is_gone_at_once() -> None:
    workers = workers_of((10, at(10)), (12, {}))
    assert (names(workers, 12), workers.compute_silence(12)) == ([], 2)


def test_silence_is_counted_from_our_start_if_there_was_never_a_worker() -> None:
    assert workers_of((2, {}), (4, {})).compute_silence(20) == 20


# --- how much ---


def test_the_rate_is_of_the_last_ten_seconds() -> None:
    looks = [(s, at(s, events=100 * s)) for s in range(0, 21, 2)]
    looks += [(s, at(s, events=2_000 + 500 * (s - 20))) for s in range(22, 33, 2)]
    assert workers_of(*looks).compute_events_per_second(32) == pytest.approx(500)


def test_a_report_that_comes_late_does_not_change_the_rate() -> None:
    workers = workers_of((0, at(0)), (2, at(1.9, events=190)), (4, at(2.1, events=210)))
    assert workers.compute_events_per_second(4) == pytest.approx(100)


def test_the_rate_of_a_worker_that_falls_silent_falls() -> None:
    workers = workers_of((0, at(0)), (2, at(2, events=200)))
    assert workers.compute_events_per_second(4) == pytest.approx(100)
    assert workers.compute_events_per_second(2 + 4 + 8) == pytest.approx(20)
    assert workers.compute_events_per_second(2 + ALIVE) == 0.0


def test_the_rate_does_not_suffer_from_totals_that_begin_again() -> None:
    workers = workers_of(
        (0, at(0, events=10_000)), (2, at(2, events=10_200)),
        (8, at(8, events=300, started_at=5)), (10, at(10, events=600, started_at=5)),
    )  # fmt: skip
    assert workers.compute_events_per_second(10) == pytest.approx((200 + 600) / 10)


def test_rates_of_workers_add_up_and_are_known_of_each() -> None:
    workers = Workers(now=0.0)
    for s in (0, 2, 4):
        reports = {name: report(name, WALL + 1_000 * s, events=n * s) for name, n in RATES.items()}
        workers.update(reports, s, WALL + 1_000 * s)
    assert workers.compute_events_per_second(4) == pytest.approx(150)
    assert [workers.compute_rate(name, 4) for name in (*RATES, "nobody")] == [100, 50, None]


RATES = {"v": 100, "w": 50}


def test_the_rate_is_unknown_of_a_first_report_and_0_without_workers() -> None:
    assert workers_of((0, at(0, events=5_000))).compute_events_per_second(1) is None
    assert workers_of((0, {})).compute_events_per_second(1) == 0.0


# --- how quickly ---


def test_the_time_to_a_change_is_of_the_last_minute() -> None:
    looks = [(0, at(0, change_counts=[0, 0, 500, 0])), (2, at(2, change_counts=[100, 0, 500, 0]))]
    assert workers_of(*looks).compute_change_p99_ms(2) == pytest.approx(99)
    looks += [(s, at(s, change_counts=[100, 0, 500, 0])) for s in range(4, 70, 2)]
    assert workers_of(*looks).compute_change_p99_ms(68) is None


def test_times_of_workers_add_up_also_of_one_that_has_begun_again() -> None:
    workers = Workers(now=0.0)
    for s, counts, started in ((0, [0, 0, 0, 9], 0), (2, [50, 0, 0, 9], 0), (4, [0, 0, 50, 0], 3)):
        reports = {
            name: report(name, WALL + 1_000 * s, change_counts=counts, started_at=started)
            for name in RATES
        }
        workers.update(reports, s, WALL + 1_000 * s)
    assert workers.compute_change_p99_ms(4) == pytest.approx(1_000 * (0.5 + 0.5 * 98 / 100))


def test_the_time_to_a_change_is_unknown_without_workers() -> None:
    assert Workers(now=0.0).compute_change_p99_ms(1) is None
    assert workers_of((0, at(0)), (2, at(2))).compute_change_p99_ms(2) is None


def test_a_worker_that_comes_back_with_other_buckets_is_timed_anew() -> None:
    other = {"change_bounds": [1.0], "started_at": 1}
    workers = workers_of(
        (0, at(0, change_counts=[9, 9, 9, 9])), (2, at(2, **other, change_counts=[3, 1])),
        (4, at(4, **other, change_counts=[13, 1])),
    )  # fmt: skip
    assert workers.compute_change_p99_ms(4) == pytest.approx(990)


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert compute_quantile(0.99, [0.1, 0.5], [1, 1, 98]) == 0.5
    assert compute_quantile(0.5, [0.1, 0.5], [0, 0, 0]) is None
