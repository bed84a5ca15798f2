"""Bodies that are posted to the collector: packed, too large, and lists of them."""

import gzip
import zlib

import pytest
from starlette.exceptions import HTTPException

from stream_persona.api.collector.bodies import (
    MAX_BODY,
    MAX_EVENTS,
    decode_object,
    decompress_body,
    split_list,
)
from stream_persona.api.collector.calls import read_batch
from stream_persona.errors import DecodeError


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", " gzip "])
def test_a_packed_body_is_unpacked(encoding: str) -> None:
    assert decompress_body(gzip.compress(b"{}"), encoding) == b"{}"


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_a_body_that_is_not_packed_stays_as_it_is(encoding: str) -> None:
    assert decompress_body(b"{}", encoding) == b"{}"


def test_all_members_of_a_packed_body_count() -> None:
    assert decompress_body(gzip.compress(b"[1,") + gzip.compress(b"2]"), "gzip") == b"[1,2]"


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_a_body_that_is_packed_otherwise_is_415(encoding: str) -> None:
    with pytest.raises(HTTPException) as refused:
        decompress_body(b"", encoding)
    assert refused.value.status_code == 415


@pytest.mark.parametrize(
    "body", [b"{}", b"\x1f\x8b", gzip.compress(b"{}" * 99, mtime=0)[:-9], zlib.compress(b"{}")]
)
def test_a_body_that_is_said_to_be_gzip_and_is_not_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError, match="not valid gzip"):
        decompress_body(body, "gzip")


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_a_body_is_bounded_after_it_was_unpacked(encoding: str) -> None:
    pack = gzip.compress if encoding else bytes
    assert len(decompress_body(pack(b" " * MAX_BODY), encoding)) == MAX_BODY
    with pytest.raises(HTTPException) as refused:
        decompress_body(pack(b" " * (MAX_BODY + 1)), encoding)
    assert refused.value.status_code == 413


@pytest.mark.long
def test_a_gigabyte_of_nothing_costs_no_more_than_what_is_read() -> None:
    packer = zlib.compressobj(9, wbits=31)
    first, next_one = (
        packer.compress(b" " * 1_000_000) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    bomb = first + 999 * next_one
    assert len(bomb) < MAX_BODY * 2
    with pytest.raises(HTTPException) as refused:
        decompress_body(bomb, "gzip")
    assert refused.value.status_code == 413


def test_a_body_is_one_event_or_a_list_of_them() -> None:
    assert [bytes(each) for each in split_list(b' \n[{"a": 1}, 2]')] == [b'{"a": 1}', b"2"]
    assert [bytes(each) for each in split_list(b'{"a": 1}')] == [b'{"a": 1}']


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"[]", "no events"),
        (b"[" + b"1," * MAX_EVENTS + b"1]", "at most 1,000"),
        (b"[1,", "cannot be read"),
        (b"[" * 300 + b"]" * 300, "nested deeper"),
    ],
)
def test_a_list_of_none_of_too_many_or_of_no_json_is_refused(body: bytes, sentence: str) -> None:
    with pytest.raises(DecodeError, match=sentence):
        split_list(body)


@pytest.mark.parametrize("wrong", ["NaN", "-Infinity", '"\\ud800"'])
def test_what_json_has_not_in_one_event_keeps_no_other_one_from_being_read(wrong: str) -> None:
    events = f'[{{"messageId": "1", "n": {wrong}}}, {{"messageId": "2", "n": 0.1}}]'
    first, second = split_list(events.encode())
    with pytest.raises(DecodeError, match="not_json"):
        decode_object(first)
    assert decode_object(second) == {"messageId": "2", "n": 0.1}
    body = f'{{"batch": {events}, "sentAt": "2026-11-30T11:00:00Z"}}'.encode()
    refused, call = read_batch(body, 1_764_000_000_000, is_history=False)
    assert isinstance(refused, DecodeError)
    assert not isinstance(call, DecodeError)
    assert (call["messageId"], call["sentAt"]) == ("2", "2026-11-30T11:00:00Z")


@pytest.mark.parametrize("body", [b'[{"n": NaN}', b'{"batch": NaN}', b"[\xff]", b"[1] 2"])
def test_a_body_that_python_reads_neither_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        read_batch(body, 0, is_history=False)
    if body.startswith(b"["):
        with pytest.raises(DecodeError, match="the body cannot be read"):
            split_list(body)
