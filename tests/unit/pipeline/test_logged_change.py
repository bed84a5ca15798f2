"""A lost record's last change, taken from its message: the next change goes on behind it."""

import json

import pytest
from msgspec.structs import replace

from stream_persona.domain.record import PublishedChange, Record
from stream_persona.domain.record_codec import with_change
from stream_persona.pipeline.logged_change import restore_published
from stream_persona.pipeline.messages import encode_messages
from tests.support.constants import NOW
from tests.support.events import assignment, purchase, shop
from tests.support.processing import record_of
from tests.support.stored_records import PUBLISHED, RECORD

SHOP = shop()
STORED = {
    "all fields": with_change(RECORD, PUBLISHED),
    "the first": record_of(purchase("p"), taxonomy=SHOP),
    "assigned": record_of(assignment("a", NOW), taxonomy=SHOP),
    "a comeback": replace(record_of(purchase("p"), taxonomy=SHOP), deleted_at=NOW),
}


def decode(record: Record, logged: bytes | None, public: bytes | None) -> PublishedChange | None:
    return restore_published("c", record, logged, public, 1.5, whole=True)


@pytest.mark.parametrize("record", STORED.values(), ids=STORED)
def test_a_change_has_the_same_messages_again(record: Record) -> None:
    logged, public = encode_messages("c", record)
    found = decode(record, logged, public)
    assert found is not None
    assert encode_messages("c", with_change(record, found)) == (logged, public)


@pytest.mark.parametrize("public", [None, b"", b"[", b"{}"])
def test_a_change_is_found_without_its_public_record(public: bytes | None) -> None:
    record = STORED["all fields"]
    logged, _ = encode_messages("c", record)
    found = decode(record, logged, public)
    assert found is not None
    assert found.evidence == 1_500
    assert encode_messages("c", with_change(record, found))[0] == logged


def test_a_change_from_before_a_deletion_is_none_of_the_records_own() -> None:
    record = STORED["the first"]
    logged, public = encode_messages("c", record)
    back = replace(record, deleted_at=NOW)
    assert decode(back, logged, public) is None
    assert restore_published("c", back, logged, public, 1.5, whole=False) is not None
    assert decode(Record(deleted_at=NOW), logged, public) is None


@pytest.mark.parametrize(
    "change",
    [None, b"", b"[]", b"\xff", b'{"change_id": "\xff"}', {"cause": "whim"}, {"current": None},
     {"occurred_at": "2026-01-01T00:00:00"}, {"revision": "1"}],
)  # fmt: skip
def test_what_is_no_change_is_none(change: bytes | dict[str, object] | None) -> None:
    record = STORED["the first"]
    logged, public = encode_messages("c", record)
    if isinstance(change, dict):
        change = json.dumps(json.loads(logged) | change).encode()
    assert decode(record, change, public) is None
