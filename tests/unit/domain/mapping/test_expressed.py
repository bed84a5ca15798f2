"""Sources of expressions of their own: what they find, and what is wrong with it."""

from typing import Any

import pytest

from stream_persona.domain.events import Assignment, Deletion, get_event_time
from stream_persona.domain.mapping.documents import MappedDocument, map_document
from stream_persona.domain.mapping.sources import Source, Sources
from stream_persona.errors import DecodeError

HEAD = 'event_id = "id"\ncustomer_id = "who.nr"\noccurred_at = "at"\n'
ORDER = (
    '[[source]]\ntopic = "t"\nkind = "purchase"\n[source.map]\n' + HEAD
    + 'items = "lines[].{product_id: sku, price: paid, quantity: n, category: kind,'
    + ' attributes: more}"\n'
)  # fmt: skip
DOCUMENT = {
    "id": 17, "who": {"nr": 4711}, "at": "1763974800",
    "lines": [{"sku": 1, "paid": "12.50", "n": None, "kind": "", "more": {"size": 42, "no": None}}],
}  # fmt: skip


def sources(text: str) -> tuple[Source, ...]:
    return Sources.parse(text).list_for_topic("t")


def read(text: str, document: object) -> MappedDocument:
    return map_document(sources(text), document)


def only(text: str, document: object) -> Any:
    ((_, event),) = read(text, document).events
    return event


def test_values_are_read_as_other_tools_write_them() -> None:
    order = only(ORDER, DOCUMENT)
    assert (order.event_id, order.customer_id, get_event_time(order)) == (
        "17",
        "4711",
        1_763_974_800_000,
    )
    (item,) = order.items
    assert (item.product_id, item.price, item.quantity, item.category) == ("1", 12.5, 1.0, None)
    assert item.attributes == {"size": "42"}


def test_one_item_is_a_list_of_it() -> None:
    text = ORDER.replace("lines[].{", "lines[0].{")
    assert len(only(text, DOCUMENT).items) == 1


def test_a_kind_may_be_found_in_the_document() -> None:
    text = '[[source]]\ntopic = "t"\nkind = "what"\n[source.map]\n' + HEAD
    text += 'items = "lines[].{product_id: sku}"\naction = "did"\nquery = "words"\n'
    assert only(text, {**DOCUMENT, "what": "Purchases"}).items[0].product_id == "1"
    searched = {**DOCUMENT, "what": "browse", "did": "search", "words": "dog"}
    assert only(text, searched).query == "dog"
    for unknown in ("shipment", None, 3, ["browse"]):
        found = read(text, {**DOCUMENT, "what": unknown})
        assert (found.events, found.left_out) == ((), {"unknown_event": 1})


def test_assignments_and_deletions_are_kinds_too() -> None:
    text = '[[source]]\ntopic = "t"\nkind = "assignment"\n[source.map]\nassignment_id = "id"\n'
    text += 'customer_id = "who.nr"\noccurred_at = "at"\npersona = "segment"\n'
    withdrawn = {**DOCUMENT, "segment": None}
    assert only(text, withdrawn) == Assignment("17", "4711", 1_763_974_800_000, None)
    with pytest.raises(DecodeError, match="missing required field `persona`"):
        read(text, DOCUMENT)
    text = '[[source]]\ntopic = "t"\nkind = "deletion"\n[source.map]\nrequest_id = "id"\n'
    text += 'customer_id = "who.nr"\nrequested_at = "at"\n'
    assert only(text, DOCUMENT) == Deletion("17", "4711", 1_763_974_800_000)


def test_a_document_without_a_customer_is_nobodys() -> None:
    assert only(ORDER, {**DOCUMENT, "who": None}).customer_id == ""


@pytest.mark.parametrize(
    ("changes", "place"),
    [({"id": None}, "`$.id`"), ({"at": "soon"}, "`$.at`"), ({"who": {"nr": "a "}}, "`$.who.nr`"),
     ({"lines": None}, "`$.lines[]"), ({"lines": [{"sku": "S", "paid": "dear"}]}, ".price`")],
)  # fmt: skip
def test_a_wrong_field_is_named_by_its_expression(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(ORDER, DOCUMENT | changes)
    assert place in caught.value.detail


def test_an_expression_that_cannot_be_told_is_an_error_that_shows_it() -> None:
    text = ORDER.replace('"at"', "\"join('T', at)\"")
    with pytest.raises(DecodeError) as caught:
        read(text, {**DOCUMENT, "at": "somebody's"})
    assert caught.value.detail == (
        "`join('T', at)` cannot be evaluated: join() got string, expected array-string"
    )


@pytest.mark.parametrize(
    "expression", ["sort(all)", "max_by(all, &a)", "sort_by(all, &a)[0]", "sum(all)"]
)
def test_no_value_of_a_document_is_in_the_error(expression: str) -> None:
    text = ORDER.replace('"at"', f'"{expression}"')
    document = {**DOCUMENT, "all": [{"a": "secret" * 1_000}, {"a": 1}, "secret"]}
    with pytest.raises(DecodeError) as caught:
        read(text, document)
    assert "secret" not in str(caught.value)
    assert len(caught.value.detail) < 200


@pytest.mark.parametrize("document", [None, [], "text", 3, {"lines": {}}, {"who": "x"}])
def test_documents_of_another_shape_are_errors_and_no_more(document: object) -> None:
    with pytest.raises(DecodeError):
        read(ORDER, document)
