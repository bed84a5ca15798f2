"""How far the workers are behind: events that wait, for how long, and whether any is processed."""

import pytest

from stream_persona.api.dashboard.lag import STALLED, Lag


def test_events_wait_that_logs_hold_beyond_the_groups_offsets() -> None:
    lag = Lag()
    lag.update({"a": 3, "b": 10, "c": 0}, {"a": 10, "b": 10, "c": 5}, now=0.0)
    assert lag.events == 12


def test_nothing_waits_at_rest() -> None:
    lag = Lag()
    lag.update({"a": 3}, {"a": 10}, now=0.0)
    lag.update({"a": 10}, {"a": 10}, now=2.0)
    assert (lag.events, lag.seconds, lag.compute_idle_seconds(100.0)) == (0, 0.0, 0.0)
    lag.update({}, {}, now=4.0)
    assert (lag.events, lag.seconds) == (0, 0.0)


# --- how long it waits ---


def test_an_event_has_waited_since_the_log_grew_by_it() -> None:
    lag = Lag()
    lag.update({"a": 100}, {"a": 100}, now=10.0)
    lag.update({"a": 100}, {"a": 200}, now=20.0)
    lag.update({"a": 149}, {"a": 200}, now=30.0)
    assert lag.seconds == pytest.approx(30.0 - 15.0)


def test_a_log_that_was_silent_for_long_has_not_waited_for_that_time() -> None:
    lag = Lag()
    for now in range(0, 1_000, 2):
        lag.update({"a": 100}, {"a": 100}, now=now)
    lag.update({"a": 100}, {"a": 200}, now=1_000.0)
    assert 0.0 <= lag.seconds <= 2.0


def test_an_event_from_before_the_first_refresh_has_waited_since_then_at_least() -> None:
    lag = Lag()
    lag.update({"a": 5}, {"a": 100}, now=10.0)
    lag.update({"a": 50}, {"a": 120}, now=25.0)
    assert lag.seconds == 15.0


def test_the_lag_is_the_longest_wait_of_all_partitions() -> None:
    lag = Lag()
    lag.update({"a": 10, "b": 10}, {"a": 10, "b": 10}, now=0.0)
    lag.update({"a": 10, "b": 10}, {"a": 20, "b": 10}, now=2.0)
    lag.update({"a": 10, "b": 10}, {"a": 20, "b": 11}, now=8.0)
    assert lag.seconds == pytest.approx(8.0, abs=2.0)


def test_waits_are_measured_after_hours_too_and_few_ends_are_kept() -> None:
    lag = Lag()
    for turn in range(5_000):
        lag.update({"a": 1_000}, {"a": 10 * turn}, now=2.0 * turn)
    assert lag.seconds == pytest.approx(2.0 * (4_999 - 100), abs=60.0)
    assert len(lag._ends["a"]._ends) < 300


def test_a_topic_that_was_made_anew_begins_anew() -> None:
    lag = Lag()
    lag.update({"a": 100}, {"a": 200}, now=0.0)
    lag.update({"a": 0}, {"a": 5}, now=50.0)
    assert (lag.events, lag.seconds) == (5, 0.0)


# --- whether it stands still ---


def test_the_stream_stands_still_while_no_offset_moves() -> None:
    lag = Lag()
    lag.update({"a": 3, "b": 0}, {"a": 10, "b": 0}, now=5.0)
    lag.update({"a": 3, "b": 0}, {"a": 12, "b": 0}, now=14.0)
    assert lag.compute_idle_seconds(5.0 + STALLED) == STALLED


def test_any_offset_that_moves_shows_that_a_worker_works() -> None:
    lag = Lag()
    lag.update({"a": 3, "b": 0}, {"a": 10, "b": 9}, now=0.0)
    lag.update({"a": 3, "b": 1}, {"a": 10, "b": 9}, now=9.0)
    assert lag.compute_idle_seconds(10.0) == 1.0


def test_an_event_after_hours_of_rest_is_no_standstill() -> None:
    lag = Lag()
    lag.update({"a": 10}, {"a": 10}, now=0.0)
    lag.update({"a": 10}, {"a": 11}, now=9_000.0)
    assert lag.compute_idle_seconds(9_001.0) == 1.0
