"""The heaviest customers of the last hour are found in bounded memory."""

import random

import pytest

from stream_persona.worker.heavy_customers import BOUND, KEPT, HeavyCustomers

BOT = "bot"


class Counted:
    """Heavy customers, and the clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.customers = HeavyCustomers(lambda: self.now)

    def shoppers(self, number: int = 50, events: int = 3) -> None:
        self.customers.add(f"c{n}" for n in range(number) for _ in range(events))


def test_a_customer_far_above_the_median_is_heavy_with_all_its_events() -> None:
    counted = Counted()
    counted.shoppers()
    counted.customers.add([BOT] * 100)
    assert counted.customers.find_heavy() == [(BOT, 100)]


@pytest.mark.parametrize("events", [99, 3])
def test_a_busy_person_is_not_heavy(events: int) -> None:
    counted = Counted()
    counted.shoppers()
    counted.customers.add(["busy"] * events)
    assert counted.customers.find_heavy() == []


def test_nobody_is_heavy_where_all_are_busy() -> None:
    counted = Counted()
    counted.shoppers(events=500)
    counted.customers.add([BOT] * 1_700)
    assert counted.customers.find_heavy() == []


def test_one_event_every_two_seconds_is_heavy_whatever_others_do() -> None:
    counted = Counted()
    counted.customers.add([BOT] * 1_800)
    assert counted.customers.find_heavy() == [(BOT, 1_800)]


def test_nobody_is_heavy_before_there_are_events() -> None:
    assert Counted().customers.find_heavy() == []


def test_the_ten_heaviest_come_in_their_order() -> None:
    counted = Counted()
    counted.shoppers()
    for n in range(12):
        counted.customers.add([f"bot{n:02}"] * (200 + n))
    assert counted.customers.find_heavy() == [(f"bot{n:02}", 200 + n) for n in range(11, 1, -1)]


def test_events_of_more_than_an_hour_ago_do_not_count() -> None:
    counted = Counted()
    counted.shoppers()
    counted.customers.add([BOT] * 100)
    counted.now = 1_800.0
    counted.customers.add([BOT] * 150)
    assert counted.customers.find_heavy() == [(BOT, 250)]
    counted.now = 3_700.0
    counted.shoppers()
    assert counted.customers.find_heavy() == [(BOT, 150)]
    counted.now = 100_000.0
    assert counted.customers.find_heavy() == []


def test_a_forgotten_customer_is_gone_from_all_of_the_hour() -> None:
    counted = Counted()
    counted.shoppers()
    for counted.now in (0.0, 900.0, 1_800.0):
        counted.customers.add([BOT] * 100)
    counted.customers.forget([BOT, "unknown"])
    assert counted.customers.find_heavy() == []


def test_only_wanted_customers_are_kept() -> None:
    counted = Counted()
    counted.shoppers()
    counted.customers.add([BOT] * 100 + ["other"] * 100)
    counted.customers.keep(lambda name: name != BOT)
    assert counted.customers.find_heavy() == [("other", 100)]


def test_a_heavy_customer_among_very_many_loses_no_event() -> None:
    counted, rng, sent = Counted(), random.Random(4), 0
    for batch in range(60):
        counted.now = 55.0 * batch
        names = [f"c{rng.randrange(10**6)}" for _ in range(1_000)] + [BOT] * 20
        rng.shuffle(names)
        counted.customers.add(names)
        sent += 20
    assert counted.customers.find_heavy() == [(BOT, sent)]


def test_memory_is_bounded_however_many_customers_there_are() -> None:
    counted = Counted()
    for batch in range(120):
        counted.now = 30.0 * batch
        counted.customers.add(f"{batch}-{n}" for n in range(2_500))
    slots = [len(events) for _, events in counted.customers._slots]
    assert len(slots) == 12
    assert max(slots[:-1]) <= KEPT
    assert slots[-1] <= BOUND
