from collections.abc import Callable, Mapping

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_persona.domain.features import NO_EPOCH, Counts, compute_profiles
from stream_persona.domain.record import Label, PublishedChange, PublishedPosterior, Record
from stream_persona.domain.record_codec import (
    decode_counts_and_labels,
    decode_intact,
    decode_records,
    encode_folded,
    encode_records,
)
from stream_persona.domain.record_head import FORMAT
from stream_persona.domain.record_seal import seal
from stream_persona.errors import DamagedRecordError, TopologyError
from tests.support import stored_records
from tests.support.constants import DAY, NOW
from tests.support.events import purchase, shop
from tests.support.examples import count_examples
from tests.support.processing import decode_folded, record_of

MARK = 7
Read = Callable[[Mapping[str, bytes], int], dict[str, Record]]
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
TIMES = st.integers(0, 253_402_300_799_999)
KEYS = st.integers(0, 2**17 - 1)
SUMS = st.integers(1, 200) | st.integers(1, 2**62) | st.integers(0, 62).map(lambda bit: 1 << bit)
MILLIONTHS = st.integers(0, 1_000_000)
LABELS = st.builds(
    Label, TIMES, TEXT, st.none() | TEXT, st.none() | st.integers(-(10**12), 10**13),
    st.none() | TEXT, st.integers(-1, 2**48), st.integers(-1, 64), st.integers(-1, 2**60),
    st.booleans(),
)  # fmt: skip
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
RECENT = st.dictionaries(st.integers(0, 2**25), st.binary(max_size=40), max_size=3)
POSITIONS = st.dictionaries(st.integers(0, 2**18), st.integers(0, 2**60), max_size=5)


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    sums = draw(st.dictionaries(KEYS, SUMS, max_size=12))
    keys = np.array(sorted(sums), np.uint32)
    values = np.array([sums[key] for key in sorted(sums)], np.int64)
    return Counts.of(draw(st.integers(NO_EPOCH, 2**40)), draw(TIMES), keys, values)


RECORDS = st.builds(
    Record, counts(), st.none() | LABELS, POSITIONS, RECENT, TIMES, st.none() | CHANGES, st.none(),
    st.dictionaries(st.integers(0, 2**18), st.tuples(TIMES, st.integers(2, 2**16)), max_size=3),
    TIMES,
)  # fmt: skip
COMPANIES = st.lists(RECORDS, max_size=5).map(
    lambda records: {f"c{number}": record for number, record in enumerate(records)}
)


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Changes that a disk, a network or a hand may make to bytes."""
    first, second = sorted(draw(st.tuples(st.integers(0, 4_000), st.integers(0, 4_000))))
    byte, kind = draw(st.integers(1, 255)), draw(st.sampled_from(["flip", "cut", "add", "copy"]))

    def mutate(blob: bytes) -> bytes:
        a, b = first % (len(blob) + 1), second % (len(blob) + 1)
        a, b = min(a, b), max(a, b)
        if kind == "flip":
            return bytes(each ^ byte if at == a else each for at, each in enumerate(blob))
        if kind == "cut":
            return blob[:a] + blob[b:]
        if kind == "add":
            return blob[:a] + bytes([byte]) * (b - a) + blob[a:]
        return blob[:b] + blob[a:]

    return mutate


@st.composite
def exchanges(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Two bytes that change places."""
    first, second = draw(st.integers(0, 4_000)), draw(st.integers(0, 4_000))

    def mutate(blob: bytes) -> bytes:
        swapped, a, b = bytearray(blob), first % len(blob), second % len(blob)
        swapped[a], swapped[b] = swapped[b], swapped[a]
        return bytes(swapped)

    return mutate


MUTATIONS = mutations() | exchanges()


@given(counts())
def test_counts_by_themselves_are_those_among_others(own: Counts) -> None:
    """Those of one record are decoded, and a profile computed, another way than those of many."""
    blobs = encode_records({"a": Record(own), "b": Record(own)}, MARK)
    alone = decode_records({"a": blobs["a"]}, MARK)["a"].counts
    assert alone == decode_records(blobs, MARK)["a"].counts == own
    profile = compute_profiles([own], shop().features)
    among = compute_profiles([own, own], shop().features).select_row(0)
    for one, other in (
        (profile.starts, among.starts), (profile.middles, among.middles),
        (profile.slots, among.slots), (profile.shares, among.shares),
        (profile.events, among.events),
    ):  # fmt: skip
        assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes())


def plain(record: Record) -> tuple[object, ...]:
    own = record.counts
    return (
        own.epoch, own.clock, own.keys.tolist(), own.values.tolist(), record.label,
        record.positions, record.recent, record.deleted_at, record.published, record.rates,
        record.faded_at, record.left_out_at,
    )  # fmt: skip


def decoded(record: Record) -> Record:
    """What a record's bytes say."""
    return decode_records(encode_records({"c": record}, MARK), MARK)["c"]


@given(COMPANIES)
@hypothesis(max_examples=count_examples(40))
def test_any_records_survive_their_bytes(records: dict[str, Record]) -> None:
    read = decode_records(encode_records(records, MARK), MARK)
    assert {n: plain(r) for n, r in read.items()} == {n: plain(r) for n, r in records.items()}


@given(COMPANIES)
@hypothesis(max_examples=count_examples(25))
def test_a_record_has_the_same_bytes_alone_and_in_company(records: dict[str, Record]) -> None:
    blobs = encode_records(records, MARK)
    for name, record in records.items():
        assert encode_records({name: record}, MARK) == {name: blobs[name]}
    assert encode_records(decode_records(blobs, MARK), MARK) == blobs


@given(COMPANIES)
@hypothesis(max_examples=count_examples(25))
def test_counts_and_labels_are_the_same_when_they_are_decoded_alone(
    records: dict[str, Record],
) -> None:
    blobs = encode_records(records, MARK)
    alone = {n: Record(each.counts, each.label) for n, each in decode_records(blobs, MARK).items()}
    assert decode_counts_and_labels(blobs, MARK) == alone


@given(POSITIONS)
def test_equal_records_have_equal_bytes(positions: dict[int, int]) -> None:
    backwards = dict(reversed(positions.items()))
    one, two = Record(positions=positions), Record(positions=backwards)
    assert encode_records({"c": one}, MARK) == encode_records({"c": two}, MARK)


def test_an_empty_record_survives_its_bytes() -> None:
    assert plain(decoded(Record())) == plain(Record())
    assert decode_records({}, MARK) == {}
    assert encode_records({}, MARK) == {}


def test_a_million_events_survive_their_bytes() -> None:
    record = record_of(purchase("p"), taxonomy=shop())
    own = record.counts
    many = Counts.of(own.epoch, own.clock, own.keys, own.values * 1_000_000)
    record = replace(record, counts=many)
    assert plain(decoded(record)) == plain(record)


def test_two_epochs_survive_their_bytes() -> None:
    taxonomy = shop(features={"half_life_days": 0.01})
    record = record_of(purchase("p"), purchase("q", NOW + DAY // 6), taxonomy=taxonomy)
    assert set((record.counts.keys >> 16).tolist()) == {0, 1}
    assert plain(decoded(record)) == plain(record)


def test_the_folded_part_leaves_out_the_published_one() -> None:
    record = record_of(purchase("p"), taxonomy=shop())
    assert record.published is not None
    folded = decode_folded(encode_folded(record, MARK), MARK)
    assert plain(folded) == plain(replace(record, published=None))


def test_common_zeros_are_not_stored() -> None:
    keys = np.arange(100, dtype=np.uint32)
    wide = Record(Counts.of(0, 0, keys, np.full(100, 1 << 40, np.int64)))
    narrow = Record(Counts.of(0, 0, keys, np.full(100, 1, np.int64)))
    assert len(encode_folded(wide, MARK)) == len(encode_folded(narrow, MARK))


@pytest.mark.parametrize("read", [decode_records, decode_counts_and_labels])
def test_a_record_of_another_half_life_is_refused_with_what_to_do(read: Read) -> None:
    with pytest.raises(TopologyError, match="STREAM_PERSONA_PREFIX"):
        read(encode_records({"c": Record()}, MARK), MARK + 1)


@pytest.mark.parametrize("read", [decode_records, decode_counts_and_labels])
@pytest.mark.parametrize("form", [4, FORMAT + 1])
def test_a_record_of_another_format_is_refused_with_what_to_do(read: Read, form: int) -> None:
    head = msgspec.msgpack.encode([form, "what", "ever"])
    content = len(head).to_bytes(4, "little") + head
    blob = content if form < FORMAT else seal("c", content)
    with pytest.raises(TopologyError, match="STREAM_PERSONA_PREFIX"):
        read({"c": blob}, MARK)


@pytest.mark.parametrize("read", [decode_records, decode_counts_and_labels])
@pytest.mark.parametrize("blob", [b"", b"\x01", b"\x03\x00\x00\x00\x92\x02", b"{}" * 40])
def test_bytes_that_are_no_record_are_damaged_and_named(read: Read, blob: bytes) -> None:
    blobs = encode_records(dict.fromkeys("ac", Record()), MARK)
    with pytest.raises(DamagedRecordError, match="'b'") as raised:
        read({"a": blobs["a"], "b": blob, "c": blobs["c"]}, MARK)
    assert raised.value.customers == ("b",)
    assert decode_intact({**blobs, "b": blob}, MARK, read)[1] == {"b": blob}


@given(RECORDS, MUTATIONS)
@hypothesis(max_examples=count_examples(300))
def test_bytes_that_have_changed_never_decode_as_a_record(
    record: Record, mutate: Callable[[bytes], bytes]
) -> None:
    blob = encode_records({"c": record}, MARK)["c"]
    changed = mutate(blob)
    _, damaged = decode_intact({"c": changed}, MARK)
    assert bool(damaged) == (changed != blob)


@pytest.mark.parametrize("bit", range(8))
def test_no_bit_of_a_record_may_change(bit: int) -> None:
    blob = stored_records.stored(FORMAT)
    for at in range(len(blob)):
        changed = bytes([*blob[:at], blob[at] ^ 1 << bit, *blob[at + 1 :]])
        with pytest.raises(DamagedRecordError):
            decode_records({stored_records.CUSTOMER: changed}, stored_records.FINGERPRINT)


@given(RECORDS)
@hypothesis(max_examples=count_examples(25))
def test_a_record_under_another_customers_key_is_damaged(record: Record) -> None:
    blobs = encode_records({"a": record, "b": record}, MARK)
    assert decode_intact({"a": blobs["b"], "b": blobs["b"]}, MARK)[1] == {"a": blobs["b"]}


@pytest.mark.parametrize("form", [5, 6, FORMAT])
def test_a_record_of_every_format_decodes_to_what_was_written(form: int) -> None:
    customer, mark = stored_records.CUSTOMER, stored_records.FINGERPRINT
    found = decode_records({customer: stored_records.stored(form)}, mark)
    written = stored_records.record(form)
    assert plain(found[customer]) == plain(written)
    assert encode_records(found, mark) == encode_records({customer: written}, mark)
    (alone,) = decode_counts_and_labels({customer: stored_records.stored(form)}, mark).values()
    assert alone == Record(written.counts, written.label)


def test_a_record_is_encoded_as_the_present_format_has_it() -> None:
    customer, mark = stored_records.CUSTOMER, stored_records.FINGERPRINT
    encoded = encode_records({customer: stored_records.record()}, mark)
    assert encoded == {customer: stored_records.stored(FORMAT)}


@pytest.mark.parametrize("length", range(len(stored_records.stored(5))))
def test_a_record_of_the_format_before_is_damaged_when_it_was_cut(length: int) -> None:
    blobs = {"c": stored_records.stored(5)[:length]}
    assert decode_intact(blobs, stored_records.FINGERPRINT) == ({}, blobs)
