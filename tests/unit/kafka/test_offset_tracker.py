"""A partition is committed up to the end of its prefix of acked batches, in any order of acks."""

import itertools
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream_persona.kafka.offset_tracker import CommitPosition


def delivered(*batches: tuple[int, int]) -> CommitPosition:
    """A position to which batches of these first and last offsets were delivered."""
    position = CommitPosition()
    for first, last in batches:
        position.deliver(first, last, records=last - first + 1, position=last + 1)
    return position


def test_nothing_is_committed_before_the_first_ack() -> None:
    assert CommitPosition().committable is None
    assert delivered((0, 9), (10, 19)).committable is None


def test_the_end_of_an_acked_batch_is_committed() -> None:
    position = delivered((0, 9), (10, 19))
    position.ack(9)
    assert position.committable == 10


def test_a_later_batch_waits_for_an_earlier_one() -> None:
    position = delivered((0, 9), (10, 19), (20, 29))
    position.ack(9)
    position.ack(29)
    assert position.committable == 10
    position.ack(19)
    assert position.committable == 30


def test_a_gap_between_batches_holds_nothing_up() -> None:
    position = delivered((5, 9), (500, 500))
    position.ack(9)
    assert position.committable == 10
    position.ack(500)
    assert position.committable == 501


def test_what_was_passed_behind_the_last_batch_is_committed_with_it() -> None:
    position = delivered((0, 9))
    position.pass_to(12)
    assert position.committable is None
    position.ack(9)
    assert position.committable == 12


def test_an_unknown_ack_changes_nothing() -> None:
    position = delivered((0, 9))
    position.ack(4)
    position.ack(19)
    assert (position.committable, position.unacked_records) == (None, 10)


def test_what_comes_again_after_seeking_back_must_be_acked_again() -> None:
    position = delivered((0, 9), (10, 19), (20, 29))
    position.ack(9)
    position.ack(19)
    position.deliver(10, 14, records=5, position=15)
    assert (position.committable, position.unacked_records) == (10, 5)
    position.ack(14)
    assert position.committable == 15


def test_seeking_into_an_unacked_batch_commits_nothing_of_it_before_the_next_ack() -> None:
    position = delivered((0, 9), (10, 19))
    position.ack(9)
    position.deliver(15, 24, records=10, position=25)
    assert (position.committable, position.unacked_records) == (10, 10)


def test_a_position_that_went_back_takes_nothing_back() -> None:
    position = delivered((0, 9))
    position.ack(9)
    position.pass_to(4)
    assert position.committable == 10


@dataclass
class Model:
    """One partition, record by record: what is in the log, what was done with it."""

    log: list[int] = field(default_factory=list)  # the offsets that hold records
    read: int = 0  # the position
    acked: set[int] = field(default_factory=set)


class AnySequence(RuleBasedStateMachine):
    """Batches with gaps in and between them, acks in any order, seeks back to batches' starts."""

    def __init__(self) -> None:
        super().__init__()
        self.position = CommitPosition()
        self.model = Model()
        self.batches: list[list[int]] = []  # those delivered since the last seek, in order
        self.unacked: list[list[int]] = []

    @rule(steps=st.lists(st.integers(1, 4), min_size=1, max_size=5), behind=st.integers(0, 3))
    def deliver_a_batch(self, steps: list[int], behind: int) -> None:
        offsets = [self.model.read - 1 + step for step in itertools.accumulate(steps)]
        self.model.log = [o for o in self.model.log if o < self.model.read] + offsets
        self.model.acked -= set(offsets)
        self.model.read = offsets[-1] + 1 + behind
        self.position.deliver(
            offsets[0], offsets[-1], records=len(offsets), position=self.model.read
        )
        self.batches.append(offsets)
        self.unacked.append(offsets)

    @rule(behind=st.integers(0, 3))
    def pass_what_is_no_record(self, behind: int) -> None:
        self.model.read += behind
        self.position.pass_to(self.model.read)

    @precondition(lambda self: self.unacked)
    @rule(data=st.data())
    def ack_any(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.unacked))
        self.unacked.remove(batch)
        self.model.acked |= set(batch)
        self.position.ack(batch[-1])

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), size=st.integers(1, 5))
    def seek_back_and_read_on(self, data: st.DataObject, size: int) -> None:
        again = data.draw(st.integers(0, len(self.batches) - 1))
        rest = [offset for batch in self.batches[again:] for offset in batch][:size]
        self.batches = self.batches[:again]
        self.unacked = [batch for batch in self.unacked if batch in self.batches]
        self.model.read = rest[0]
        self.deliver_a_batch([b - a for a, b in itertools.pairwise([rest[0] - 1, *rest])], 0)

    @invariant()
    def no_more_and_no_less_than_the_prefix_is_committed(self) -> None:
        committable = self.position.committable or 0
        undone = [o for o in self.model.log if o < self.model.read and o not in self.model.acked]
        assert all(offset >= committable for offset in undone)
        done_before = [o for o in self.model.log if o < min(undone, default=self.model.read)]
        assert committable > max(done_before, default=-1) or not done_before
        if not undone:
            assert committable == self.model.read

    @invariant()
    def memory_is_that_of_the_unacked_batches(self) -> None:
        assert len(self.position._unacked) == len(self.unacked)
        assert self.position.unacked_records == sum(map(len, self.unacked))


TestAnySequence = AnySequence.TestCase


@given(st.permutations(range(12)))
def test_the_order_of_acks_does_not_matter_in_the_end(order: list[int]) -> None:
    position = delivered(*((10 * n, 10 * n + 9) for n in range(12)))
    for n in order:
        position.ack(10 * n + 9)
    assert (position.committable, position.unacked_records) == (120, 0)
