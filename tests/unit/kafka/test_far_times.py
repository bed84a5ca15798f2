"""Events of a wrong clock, far in the future or the past, do not harm what is known."""

from dataclasses import replace
from datetime import UTC, datetime

from aiokafka.structs import ConsumerRecord

from stream_persona.domain import events
from tests.support.constants import NOW
from tests.support.events import assignment, deletion, purchase
from tests.support.one_worker import SHOP, good, left_by, stored
from tests.support.workers import fetch

YEAR_9999 = datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)
FAR = round(SHOP.policy.max_future_seconds * 1_000)


def arrived(event: events.Event, at: int, offset: int) -> ConsumerRecord:
    return replace(fetch(event, first=offset)[0], timestamp=at)


async def test_a_purchase_in_the_year_9999_does_not_age_what_is_known() -> None:
    wrong = arrived(purchase("p", YEAR_9999), NOW, 0)
    tables, _ = await left_by([wrong])
    assert stored(tables).counts.clock <= NOW + FAR
    before = stored(tables).counts
    tables, _ = await left_by([wrong, *good(first=1, at=NOW + 1, customer="c")])
    after = stored(tables).counts
    assert after.epoch == before.epoch
    assert after.values.sum() > 1.9 * before.values.sum()


async def test_a_purchase_of_1970_does_not_count_beside_those_of_today() -> None:
    old = arrived(purchase("p", 0), NOW, 0)
    with_old, _ = await left_by([old, *good(first=1, customer="c")])
    alone, _ = await left_by(good(first=1, customer="c"))
    ours, theirs = stored(with_old), stored(alone)
    assert ours.counts.values.tolist() == theirs.counts.values.tolist()
    assert ours.counts.clock == theirs.counts.clock


async def test_an_assignment_of_the_year_9999_gives_way_to_a_later_one() -> None:
    wrong = arrived(assignment("a", YEAR_9999, persona="gamer"), NOW, 0)
    later = NOW + FAR + 1
    right = arrived(assignment("b", later, persona="parent"), later, 1)
    tables, _ = await left_by([wrong, right])
    assert stored(tables).find_active_label() == "parent"


async def test_a_deletion_of_the_year_9999_does_not_drop_what_comes_later() -> None:
    wrong = arrived(deletion("d", YEAR_9999), NOW, 0)
    later = NOW + FAR + 1
    tables, _ = await left_by([wrong, arrived(purchase("p", later), later, 0)])
    assert len(stored(tables).counts.keys)
    assert stored(tables).deleted_at <= NOW + FAR


async def test_an_assignment_that_ends_in_the_year_9999_holds() -> None:
    tables, _ = await left_by(fetch(assignment("a", expires_at=YEAR_9999), purchase("p")))
    assert stored(tables).find_active_label() == "parent"


async def test_a_correction_right_after_an_assignment_of_the_year_9999_holds() -> None:
    wrong = arrived(assignment("a", YEAR_9999, persona="gamer"), NOW, 0)
    right = arrived(assignment("b", NOW + 1, persona="parent"), NOW + 1, 1)
    tables, _ = await left_by([wrong, right])
    assert stored(tables).find_active_label() == "parent"


async def test_what_comes_right_after_a_deletion_of_the_year_9999_counts() -> None:
    wrong = arrived(deletion("d", YEAR_9999), NOW, 0)
    tables, _ = await left_by([wrong, arrived(purchase("p", NOW + 1), NOW + 1, 0)])
    assert len(stored(tables).counts.keys)


async def test_a_retry_is_still_found_out_after_an_event_of_the_year_9999() -> None:
    wrong = arrived(purchase("p", YEAR_9999), NOW, 0)
    twice = [arrived(purchase("q", NOW + 1), NOW + 1, offset) for offset in (1, 2)]
    once, _ = await left_by([wrong, twice[0]])
    tables, _ = await left_by([wrong, *twice])
    assert stored(tables).counts.values.tolist() == stored(once).counts.values.tolist()
