"""A record takes over what was published of its customer, and nothing of another life."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_persona.domain.events import Event
from stream_persona.domain.record import Record
from stream_persona.domain.record_codec import with_change
from stream_persona.pipeline.adoption import adopt_change, is_of_same_life
from stream_persona.pipeline.messages import encode_change, encode_public_record
from tests.support.constants import DAY, NOW
from tests.support.events import assignment, deletion, deliver_promptly, purchase, shop
from tests.support.processing import process_batch

SHOP = shop()


def record_after(*happened: Event, stored: Record | None = None) -> Record:
    """The record, with its last published change, of the one customer."""
    known = {"c": stored} if stored else {}
    return process_batch(deliver_promptly(*happened, first=10 * len(known)), SHOP, known).records[
        "c"
    ]


def later(record: Record, revisions: int, confidence: int = 700_000) -> Record:
    """The record after some more changes of its own."""
    last = record.published
    assert last is not None
    current = replace(last.current, confidence=confidence, ambiguous=not last.current.ambiguous)
    change = replace(
        last, revision=last.revision + revisions, previous=last.current, current=current,
        published_at=last.published_at + revisions, at=last.at + revisions,
    )  # fmt: skip
    return with_change(record, change)


@given(revisions=st.integers(1, 50), confidence=st.integers(0, 1_000_000))
def test_a_newer_change_is_taken_over_as_it_was_published(revisions: int, confidence: int) -> None:
    older = record_after(purchase("p"))
    newer = later(older, revisions, confidence)
    adopted = adopt_change("c", older, encode_change("c", newer))
    assert adopted is not None
    assert adopted.published is not None
    assert encode_change("c", adopted) == encode_change("c", newer)
    assert adopted.counts is older.counts
    public = encode_public_record("c", adopted.published)
    assert b'"revision":%d,' % (1 + revisions) in public


def test_a_change_of_a_customer_whose_record_is_lost_is_taken_over() -> None:
    known = record_after(purchase("p"), assignment("a"))
    adopted = adopt_change("c", None, encode_change("c", known))
    assert adopted is not None
    assert encode_change("c", adopted) == encode_change("c", known)


def test_a_change_that_is_known_or_older_is_not_taken_over() -> None:
    older = record_after(purchase("p"))
    newer = later(older, 1)
    assert adopt_change("c", older, encode_change("c", older)) is None
    assert adopt_change("c", newer, encode_change("c", older)) is None
    assert is_of_same_life("c", newer, encode_change("c", older))


def test_a_change_of_before_a_deletion_is_not_taken_over_by_who_came_back() -> None:
    before = later(record_after(purchase("p")), 5)
    back = record_after(deletion("d", NOW + DAY), purchase("q", NOW + 2 * DAY), stored=before)
    assert back.published is not None
    assert back.published.revision == 1
    assert adopt_change("c", back, encode_change("c", before)) is None
    assert not is_of_same_life("c", back, encode_change("c", before))


def test_a_change_of_after_a_deletion_is_not_taken_over_by_a_record_that_lacks_it() -> None:
    before = record_after(purchase("p"))
    back = later(
        record_after(deletion("d", NOW + DAY), purchase("q", NOW + 2 * DAY), stored=before), 3
    )
    assert adopt_change("c", before, encode_change("c", back)) is None
    assert adopt_change("c", None, encode_change("c", back)) is None


def test_another_customers_change_is_not_taken_over() -> None:
    known = later(record_after(purchase("p")), 1)
    assert adopt_change("c", record_after(purchase("p")), encode_change("x", known)) is None


@given(st.binary(max_size=60))
def test_what_is_no_change_is_not_taken_over(value: bytes) -> None:
    assert adopt_change("c", None, value) is None


def test_what_has_another_cause_than_ours_is_not_taken_over() -> None:
    value = encode_change("c", record_after(purchase("p"))).replace(b"behaviour", b"magic")
    assert adopt_change("c", None, value) is None
