"""The messages of ``persona-changes``, read as changes, each once."""

from stream_persona.client.changes import ChangeReader
from stream_persona.client.models import Change
from tests.support.clients import encode_change


def test_a_change_that_is_delivered_twice_is_read_once() -> None:
    reader = ChangeReader()
    first = reader.read(b"c", encode_change("c", 1))
    assert isinstance(first, Change)
    assert (first.customer_id, first.revision, first.persona, first.previous) == (
        "c", 1, "parent", None,
    )  # fmt: skip
    assert reader.read(b"c", encode_change("c", 1)) is None
    assert reader.read(b"c", encode_change("c", 2)) is not None
    assert reader.read(b"c", encode_change("c", 1)) is None
    assert reader.read(b"d", encode_change("d", 1)) is not None


def test_a_deletion_is_a_change_and_lets_revisions_begin_again() -> None:
    reader = ChangeReader()
    reader.read(b"c", encode_change("c", 7))
    assert reader.read(b"c", None) == Change("c", deleted=True)
    back = reader.read(b"c", encode_change("c", 1, "new"))
    assert back is not None
    assert back.revision == 1


def test_a_message_that_is_no_change_is_left_out() -> None:
    reader = ChangeReader()
    for value in (b"", b"{", b"[]", b'{"revision": 1}', b"null"):
        assert reader.read(b"c", value) is None


def test_a_reader_remembers_a_bounded_number_of_customers() -> None:
    reader = ChangeReader(remembered=2)
    for name in "abc":
        assert reader.read(name.encode(), encode_change(name, 1)) is not None
    assert reader.read(b"c", encode_change("c", 1)) is None
    assert reader.read(b"a", encode_change("a", 1)) is not None
