"""The messages that no worker has committed yet."""

from aiokafka import TopicPartition

from stream_persona.demo.feeder import Backlog

P0, P1 = TopicPartition("purchases", 0), TopicPartition("purchases", 1)


def test_a_committed_message_no_longer_waits() -> None:
    backlog = Backlog()
    for offset in range(3):
        backlog.add(P0, offset, 100)
    backlog.add(P1, 0, 50)
    backlog.commit(P0, 2)
    assert (backlog.largest, backlog.events, backlog.consumed) == (100, 2, 2)


def test_an_older_commit_changes_nothing() -> None:
    backlog = Backlog()
    backlog.add(P0, 7, 100)
    backlog.commit(P0, 8)
    backlog.commit(P0, -1)
    assert (backlog.largest, backlog.events, backlog.consumed) == (0, 0, 1)


def test_the_largest_backlog_is_that_of_the_fullest_partition() -> None:
    backlog = Backlog()
    backlog.add(P0, 0, 10)
    backlog.add(P1, 0, 30)
    assert (backlog.largest, set(backlog.partitions)) == (30, {P0, P1})
