import doctest
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_persona.domain import record_codec
from stream_persona.domain.features import NO_EPOCH, Counts
from stream_persona.domain.record import Label, PublishedChange, PublishedPosterior, Record
from stream_persona.domain.record_codec import (
    decode_counts_and_labels,
    decode_records,
    encode_folded,
    encode_records,
)
from stream_persona.errors import TopologyError
from tests.support.constants import DAY, NOW
from tests.support.events import purchase, shop
from tests.support.processing import record_of

MARK = 7
Read = Callable[[Sequence[bytes], int], list[Record]]
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
TIMES = st.integers(0, 253_402_300_799_999)
KEYS = st.integers(0, 2**17 - 1)
SUMS = st.integers(1, 200) | st.integers(1, 2**62) | st.integers(0, 62).map(lambda bit: 1 << bit)
MILLIONTHS = st.integers(0, 1_000_000)
LABELS = st.builds(Label, TIMES, TEXT, st.none() | TEXT, st.none() | st.integers(-(10**12), 10**13))
POSTERIORS = st.builds(
    PublishedPosterior, st.none() | TEXT, MILLIONTHS, st.booleans(), st.booleans(),
    st.lists(MILLIONTHS, max_size=12).map(tuple),
)  # fmt: skip
CHANGES = st.builds(
    PublishedChange, st.integers(1, 2**40), st.integers(0, 4), TIMES, TIMES, TIMES, TIMES,
    st.integers(0, 10**6),
    st.lists(TEXT, max_size=12).map(tuple), st.none() | POSTERIORS, POSTERIORS,
    st.lists(st.tuples(TEXT, TEXT, MILLIONTHS), max_size=3).map(tuple), TEXT, TEXT,
)  # fmt: skip
POSITIONS = st.dictionaries(st.integers(0, 2**18), st.integers(0, 2**60), max_size=5)


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    sums = draw(st.dictionaries(KEYS, SUMS, max_size=12))
    keys = np.array(sorted(sums), np.uint32)
    values = np.array([sums[key] for key in sorted(sums)], np.int64)
    return Counts.of(draw(st.integers(NO_EPOCH, 2**40)), draw(TIMES), keys, values)


RECORDS = st.builds(
    Record, counts(), st.none() | LABELS, POSITIONS, st.just({}), TIMES, st.none() | CHANGES
)


def plain(record: Record) -> tuple[object, ...]:
    own = record.counts
    return (
        own.epoch, own.clock, own.keys.tolist(), own.values.tolist(), record.label,
        record.positions, record.recent, record.deleted_at, record.published,
    )  # fmt: skip


@given(st.lists(RECORDS, max_size=5))
@hypothesis(max_examples=40)
def test_any_records_survive_their_bytes(records: list[Record]) -> None:
    read = decode_records(encode_records(records, MARK), MARK)
    assert [plain(record) for record in read] == [plain(record) for record in records]


@given(st.lists(RECORDS, min_size=1, max_size=4))
@hypothesis(max_examples=25)
def test_a_record_has_the_same_bytes_alone_and_in_company(records: list[Record]) -> None:
    assert encode_records(records, MARK) == [
        encode_records([record], MARK)[0] for record in records
    ]
    assert encode_records(
        decode_records(encode_records(records, MARK), MARK), MARK
    ) == encode_records(records, MARK)


@given(st.lists(RECORDS, max_size=5))
@hypothesis(max_examples=25)
def test_counts_and_labels_are_the_same_when_they_are_decoded_alone(
    records: list[Record],
) -> None:
    blobs = encode_records(records, MARK)
    alone = [Record(record.counts, record.label) for record in decode_records(blobs, MARK)]
    assert decode_counts_and_labels(blobs, MARK) == alone


@given(POSITIONS)
def test_equal_records_have_equal_bytes(positions: dict[int, int]) -> None:
    backwards = dict(reversed(positions.items()))
    one, two = Record(positions=positions), Record(positions=backwards)
    assert encode_records([one], MARK) == encode_records([two], MARK)


def test_an_empty_record_survives_its_bytes() -> None:
    assert plain(decode_records(encode_records([Record()], MARK), MARK)[0]) == plain(Record())
    assert decode_records([], MARK) == []
    assert encode_records([], MARK) == []


def test_a_million_events_survive_their_bytes() -> None:
    record = record_of(purchase("p"), taxonomy=shop())
    own = record.counts
    many = Counts.of(own.epoch, own.clock, own.keys, own.values * 1_000_000)
    record = replace(record, counts=many)
    assert plain(decode_records(encode_records([record], MARK), MARK)[0]) == plain(record)


def test_two_epochs_survive_their_bytes() -> None:
    taxonomy = shop(features={"half_life_days": 0.01})
    record = record_of(purchase("p"), purchase("q", NOW + DAY // 6), taxonomy=taxonomy)
    assert set((record.counts.keys >> 16).tolist()) == {0, 1}
    assert plain(decode_records(encode_records([record], MARK), MARK)[0]) == plain(record)


def test_the_folded_part_leaves_out_the_published_one() -> None:
    record = record_of(purchase("p"), taxonomy=shop())
    assert record.published is not None
    assert plain(decode_records([encode_folded(record, MARK)], MARK)[0])[:-1] == plain(record)[:-1]
    assert decode_records([encode_folded(record, MARK)], MARK)[0].published is None


def test_common_zeros_are_not_stored() -> None:
    keys = np.arange(100, dtype=np.uint32)
    wide = Record(Counts.of(0, 0, keys, np.full(100, 1 << 40, np.int64)))
    narrow = Record(Counts.of(0, 0, keys, np.full(100, 1, np.int64)))
    assert len(encode_records([wide], MARK)[0]) == len(encode_records([narrow], MARK)[0])


@pytest.mark.parametrize("read", [decode_records, decode_counts_and_labels])
def test_a_record_of_another_half_life_is_refused_with_what_to_do(read: Read) -> None:
    with pytest.raises(TopologyError, match="STREAM_PERSONA_PREFIX"):
        read(encode_records([Record()], MARK), MARK + 1)


@pytest.mark.parametrize("read", [decode_records, decode_counts_and_labels])
@pytest.mark.parametrize("blob", [b"", b"\x01", b"\x03\x00\x00\x00\x92\x02", b"{}" * 40])
def test_bytes_that_are_no_record_are_refused_with_what_to_do(read: Read, blob: bytes) -> None:
    with pytest.raises(TopologyError, match="STREAM_PERSONA_PREFIX"):
        read([blob], MARK)


def test_the_examples_of_the_documentation_hold() -> None:
    assert doctest.testmod(record_codec) == (0, 1)
