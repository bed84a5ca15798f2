"""When parts that shoppers share are read: by a clock of the test's."""

import pytest

from stream_persona.client.renewal import EXTRA_SECONDS, RENEWAL_SECONDS, Renewal, When

GAMER, PLAYER = {"category:games": 5.0}, {"category:games": 4.0}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def renewal(clock: Clock) -> Renewal[dict[str, float]]:
    return Renewal(clock)


def test_every_caller_reads_at_once_while_nothing_was_read(
    renewal: Renewal[dict[str, float]],
) -> None:
    assert [renewal.claim(["gamer"]) for _ in range(2)] == [When.AT_ONCE] * 2


def test_one_caller_renews_in_the_background_once_the_time_is_up(
    renewal: Renewal[dict[str, float]], clock: Clock
) -> None:
    renewal.keep({"gamer": GAMER})
    assert renewal.claim(["gamer"]) is When.NOT
    clock.now = RENEWAL_SECONDS
    assert [renewal.claim(["gamer"]) for _ in range(2)] == [When.MEANWHILE, When.NOT]


def test_what_was_found_empty_is_read_at_once_when_the_time_is_up_and_not_before(
    renewal: Renewal[dict[str, float]], clock: Clock
) -> None:
    renewal.keep({"gamer": {}})
    assert renewal.claim(["gamer"]) is When.NOT
    clock.now = RENEWAL_SECONDS
    assert renewal.claim(["gamer"]) is When.AT_ONCE


@pytest.mark.parametrize("found", [GAMER, {}])
def test_parts_that_were_never_asked_for_are_read_at_once_by_one_caller_a_second(
    renewal: Renewal[dict[str, float]], clock: Clock, found: dict[str, float]
) -> None:
    renewal.keep({"gamer": found})
    assert [renewal.claim(["player"]) for _ in range(2)] == [When.AT_ONCE, When.NOT]
    clock.now = EXTRA_SECONDS
    assert renewal.claim(["gamer", "player"]) is When.AT_ONCE


def test_what_others_have_read_meanwhile_is_kept(renewal: Renewal[dict[str, float]]) -> None:
    renewal.keep({"player": PLAYER})
    assert renewal.keep({"gamer": GAMER}) == {"gamer": GAMER, "player": PLAYER}


def test_a_renewal_reads_all_parts_that_there_was_any_of(
    renewal: Renewal[dict[str, float]],
) -> None:
    renewal.keep({"gamer": GAMER, "gone": {}})
    assert renewal.list_parts(["player"]) == ["player", "gamer"]
    assert renewal.keep({"player": PLAYER, "gamer": GAMER}).keys() == {"player", "gamer"}
