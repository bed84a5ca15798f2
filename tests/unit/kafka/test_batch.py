"""Where reading goes on after a batch: behind its last record, and behind what is no record."""

from faust.types import TP

from stream_persona.kafka.batch import Batch, find_next_offsets
from tests.support.workers import raw


def test_reading_goes_on_behind_the_last_record_of_each_partition() -> None:
    records = [raw("a", b"", 3, 0), raw("a", b"", 7, 0), raw("a", b"", 1, 1), raw("b", b"", 0, 1)]
    assert find_next_offsets(records) == {0: {"a": 8}, 1: {"a": 2, "b": 1}}


def test_reading_goes_on_behind_the_marker_of_a_transaction() -> None:
    a, b = TP("a", 0), TP("b", 0)
    fetched = {a: [raw("a", b"", 3)], b: [raw("b", b"", 5)]}
    batch = Batch(fetched, {a: 5, b: 6}, seeks=0)
    assert find_next_offsets(batch) == {0: {"a": 5, "b": 6}}
    assert batch.ends == {a: 3, b: 5}


def test_a_position_that_is_not_known_is_behind_the_last_record() -> None:
    assert find_next_offsets(Batch({TP("a", 2): [raw("a", b"", 3, 2)]}, {}, 0)) == {2: {"a": 4}}
