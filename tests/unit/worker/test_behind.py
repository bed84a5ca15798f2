"""Customers whose changes were taken over are not decided before their events are read again."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pytest
from aiokafka.structs import ConsumerRecord

from stream_persona.store.tables import Claim, Write
from stream_persona.worker import takeover
from stream_persona.worker.behind import LONGEST_SECONDS
from tests.support.constants import DAY, NOW
from tests.support.events import assignment, purchase
from tests.support.worker_runs import CHANGES, SHOP, FakeClock, Tables, changes, clocked, log_of
from tests.support.workers import Crash, RecordingPublisher, fetch, worker


async def lose(happened: Sequence[ConsumerRecord]) -> tuple[Tables, RecordingPublisher]:
    """Tables that have lost what was processed of these events, and what was published of them."""
    tables, outbox = Tables(), RecordingPublisher()
    working = worker(tables, outbox, SHOP, log=log_of(happened))
    await working.assign([0])
    older = tables.save()
    await working.process(happened)
    tables.put_back(older)
    return tables, outbox


async def test_an_assigned_customer_is_not_published_as_predicted_while_events_are_read_again() -> (
    None
):
    happened = fetch(purchase("p"), assignment("a"), purchase("q", NOW + 1))
    tables, outbox = await lose(happened)
    working = worker(tables, outbox, SHOP, log=log_of(happened))
    await working.assign([0])
    for each in (happened[0], happened[2], happened[1]):  # topics are read in any order
        await working.process([each])
        await working.refresh()
        assert tables.public_records["c"].count(b'"source":"assigned"') == 1
    assert {change["current"]["source"] for change in changes(outbox)} == {"assigned"}


@pytest.mark.parametrize("read", [0, 1, 2])
async def test_the_next_owner_waits_as_well_with_customers_whose_events_are_read_again(
    read: int,
) -> None:
    happened = fetch(purchase("p"), assignment("a"), purchase("q", NOW + 1))
    again = [happened[0], happened[2], happened[1]]  # topics are read in any order
    tables, outbox = await lose(happened)
    working = worker(tables, outbox, SHOP, log=log_of(happened))
    await working.assign([0])
    for each in again[:read]:
        await working.process([each])
    working = worker(tables, outbox, SHOP, log=log_of(happened))
    await working.assign([0])
    for each in again[read:]:
        await working.process([each])
        await working.refresh()
        assert tables.public_records["c"].count(b'"source":"assigned"') == 1
    assert [change["current"]["source"] for change in changes(outbox)] == ["assigned"]


async def test_the_next_owner_waits_as_well_if_the_one_before_ended_while_it_took_changes_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(takeover, "_CHUNK", 1)
    names = ("a", "b", "c")
    happened = fetch(
        *(purchase(f"p{name}", customer=name) for name in names),
        *(assignment(f"a{name}", customer=name) for name in names),
    )
    tables, outbox = await lose(happened)
    commit, writes = tables.commit, itertools.count()

    async def commit_twice(claim: Claim, write: Write) -> None:
        if next(writes) == 2:
            raise Crash
        await commit(claim, write)

    monkeypatch.setattr(tables, "commit", commit_twice)
    with pytest.raises(Crash):
        await worker(tables, outbox, SHOP, log=log_of(happened)).assign([0])
    monkeypatch.undo()
    working = worker(tables, outbox, SHOP, log=log_of(happened))
    await working.assign([0])
    for each in happened:
        await working.process([each])
        await working.refresh()
    assert [change["current"]["source"] for change in changes(outbox)] == ["assigned"] * 3


async def test_customers_who_have_caught_up_are_decided_at_once_by_the_next_owner() -> None:
    happened = fetch(purchase("p"), assignment("a"))
    tables, outbox = await lose(happened)
    working = worker(tables, outbox, SHOP, log=log_of(happened))
    await working.assign([0])
    await working.process(happened)
    await working.refresh()
    await working.process(fetch(purchase("q", NOW + 1), first=1))
    working = worker(tables, outbox, SHOP)  # of a log that ends far ahead
    await working.assign([0])
    assert working.partitions.behind == frozenset()


async def test_an_assignment_that_ended_meanwhile_expires_once_it_is_read_again() -> None:
    tables, outbox = Tables(), RecordingPublisher()
    happened = fetch(purchase("p"), assignment("a", expires_at=NOW + DAY))
    before, after = (lambda: NOW), (lambda: NOW + 2 * DAY)
    working = worker(tables, outbox, SHOP, log=log_of(happened), now=before)
    await working.assign([0])
    older = tables.save()
    await working.process(happened)
    tables.put_back(older)
    working = worker(tables, outbox, SHOP, log=log_of(happened), now=after)
    await working.assign([0])
    for each in happened:
        await working.process([each])
    await working.refresh()
    assert [change["cause"] for change in changes(outbox)] == ["assignment", "expiry"]


async def test_a_customer_who_is_behind_for_too_long_is_decided_all_the_same() -> None:
    tables, outbox, clock = Tables(), RecordingPublisher(), FakeClock()
    happened = fetch(purchase("p"), assignment("a"))
    working = clocked(tables, clock, outbox=outbox)
    await working.assign([0])
    older = tables.save()
    await working.process(happened)
    tables.put_back(older)
    working = clocked(tables, clock, outbox=outbox)  # of a log that ends far ahead
    await working.assign([0])
    await working.process(happened[:1])
    await working.refresh()
    assert len(changes(outbox)) == 1
    clock.now += LONGEST_SECONDS
    await working.refresh()
    assert [change["current"]["source"] for change in changes(outbox)] == ["assigned", "predicted"]


async def test_a_part_of_a_cluster_that_knows_customers_who_are_behind_lacks_no_events() -> None:
    tables, log, claim = Tables(), log_of([]), Tables.claim

    async def claim_of_two(partitions: Iterable[int]) -> dict[int, Claim]:
        behind, not_behind = ({CHANGES: 9, f"{CHANGES}:behind-since": at} for at in (4, 0))
        made = await claim(tables, partitions)
        return {p: replace(each, offsets=not_behind, newest=behind) for p, each in made.items()}

    tables.claim = claim_of_two  # type: ignore[method-assign]
    log.find_customers = _find_none  # type: ignore[method-assign]
    await worker(tables, RecordingPublisher(), SHOP, log=log).assign([0])


async def _find_none(partition: int, ranges: Mapping[str, range]) -> set[str]:
    raise AssertionError(f"partition {partition}: {ranges}")
