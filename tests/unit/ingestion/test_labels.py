"""Rows of label files: what is an assignment, and what is said of what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_persona.domain.events import encode, get_event_time
from stream_persona.domain.identity import NobodyIds
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.errors import DecodeError
from stream_persona.files.csv_events import EventRow
from stream_persona.ingestion.labels import LabelReader, LabelRow, Mistake
from tests.support.constants import DAY, NOW, PERSONAS, SECOND

TAXONOMY = Taxonomy.model_validate({
    "persona": [
        *({"name": name} for name in PERSONAS[:-1]),
        {"name": "gamer", "renamed_from": ["console_player"]},
    ]
})  # fmt: skip
ALL = ", ".join(TAXONOMY.names)


def read(fields: Any, **options: Any) -> LabelRow | Mistake:
    value = fields if isinstance(fields, bytes) else encode(fields)
    chosen = {"source": "cli", "now": NOW, "withdraw_empty": False, **options}
    reader = LabelReader(TAXONOMY, NobodyIds(), **chosen)
    return reader.read(EventRow(7, value))[0]


def label(fields: Any, **options: Any) -> LabelRow:
    found = read(fields, **options)
    assert isinstance(found, LabelRow), found
    return found


def mistake(fields: Any, **options: Any) -> Mistake:
    found = read(fields, **options)
    assert isinstance(found, Mistake), found
    assert found.line == 7
    return found


def row(**fields: Any) -> dict[str, Any]:
    return {"customer_id": "c", "persona": "student", **fields}


@pytest.mark.parametrize(
    ("given", "own"),
    [("student", "student"), (" STUDENT ", "student"), ("Console_Player", "gamer")],
)
def test_a_persona_is_that_of_the_taxonomy_in_any_spelling_and_by_a_former_name(
    given: str, own: str
) -> None:
    assert label(row(persona=given)).event.persona == own


def test_a_row_without_more_happens_now_and_has_the_given_source() -> None:
    event = label(row(), source="survey").event
    assert (get_event_time(event), event.source, event.expires_at) == (NOW, "survey", None)


def test_fields_of_a_row_are_those_of_its_assignment() -> None:
    given = row(
        occurred_at=NOW // SECOND, expires_at="2026-01-01T00:00:00+01:00", source="crm",
        assignment_id="a1",
    )  # fmt: skip
    event = label(given).event
    assert (get_event_time(event), event.source, event.assignment_id) == (NOW, "crm", "a1")
    assert str(event.expires_at) == "2026-01-01 00:00:00+01:00"


@pytest.mark.parametrize(
    "other",
    [
        row(customer_id="d"),
        row(persona="gamer"),
        row(occurred_at=NOW),
        row(expires_at=NOW + 1),
        row(source="crm"),
    ],
)
def test_an_id_is_made_of_all_that_a_row_says(other: dict[str, Any]) -> None:
    first = label(row()).event.assignment_id
    assert label(row(persona="Student"), now=NOW + DAY).event.assignment_id == first
    assert label(other).event.assignment_id != first


def test_equal_times_in_other_units_give_one_id() -> None:
    forms = (NOW, NOW // SECOND, NOW * 1_000, "2025-11-24T16:00:00Z", "2025-11-24T17:00:00+01:00")
    assert len({label(row(occurred_at=form)).event.assignment_id for form in forms}) == 1


@pytest.mark.parametrize(
    ("fields", "reason", "field", "value", "sentence"),
    [
        (row(persona="studnet"), "unknown_persona", "persona", "'studnet'", f"one of {ALL}"),
        (row(persona=7), "unknown_persona", "persona", "7", f"one of {ALL}"),
        (row(persona=""), "empty_persona", "persona", "''", "--withdraw-empty"),
        (row(persona=" "), "empty_persona", "persona", "' '", "--withdraw-empty"),
        (row(persona=None), "empty_persona", "persona", "nothing", "--withdraw-empty"),
        ({"customer_id": "c"}, "empty_persona", "persona", "nothing", "there is no persona"),
        (row(customer_id="Guest"), "nobody", "customer_id", "'Guest'", "stands for nobody"),
        (row(customer_id=" c"), "invalid_id", "customer_id", "' c'", "blanks at an end"),
        (row(customer_id="c\t"), "invalid_id", "customer_id", r"'c\t'", "cannot be printed"),
        (row(customer_id="é" * 200), "invalid_id", "customer_id", "'é", "256 bytes"),
        (row(customer_id=""), "invalid_id", "customer_id", "''", "no customer_id"),
        ({"persona": "student"}, "invalid_id", "customer_id", "nothing", "no customer_id"),
        (row(customer_id=1017), "invalid_id", "customer_id", "1017", "expected a text"),
        (row(occurred_at="2025-01-01"), "invalid_field", "occurred_at", "'2025-01-01'", "RFC 3339"),
        (row(occurred_at=-1), "invalid_field", "occurred_at", "-1", "before 1970"),
        (row(occurred_at=NOW + 9 * DAY), "future_time", "occurred_at", str(NOW + 9 * DAY), "ahead"),
        (row(expires_at="soon"), "invalid_field", "expires_at", "'soon'", "RFC 3339"),
        (row(expires_at=NOW), "invalid_field", "expires_at", str(NOW), "which is now"),
        (
            row(occurred_at=NOW - DAY, expires_at=NOW - 2 * DAY),
            "invalid_field", "expires_at", str(NOW - 2 * DAY), f"which is at {NOW - DAY}",
        ),
        (row(source=7), "invalid_field", "source", "7", "Expected `str"),
        (row(assignment_id=7), "invalid_field", "assignment_id", "7", "Expected `str"),
        (b"{", "not_json", "", "'{'", "truncated"),
        (b"[1]", "not_json", "", "'[1]'", "expected an object"),
        (b'{"customer_id": "\xff"}', "not_utf8", "", "xff", "utf-8"),
        (b"[" * 300 + b"]" * 300, "too_deep", "", "'[[[", "nested"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_reason_field_value_and_what_was_expected(
    fields: Any, reason: str, field: str, value: str, sentence: str
) -> None:
    found = mistake(fields)
    assert (found.reason, found.field) == (reason, field)
    assert value in found.value
    assert sentence in found.detail
    assert len(found.value) < 250


def test_a_letter_that_looks_like_another_one_is_shown_in_escapes() -> None:
    assert r"\u0430" in mistake(row(persona="p\u0430rent")).value


@pytest.mark.parametrize("persona", [None, "", " "])
def test_an_empty_persona_withdraws_once_that_was_asked_for(persona: str | None) -> None:
    assert label(row(persona=persona), withdraw_empty=True).event.persona is None
    found = mistake(row(persona=persona, expires_at=NOW + DAY), withdraw_empty=True)
    assert "a withdrawal has no end" in found.detail


def test_a_persona_that_is_missing_is_a_mistake_also_when_empty_ones_withdraw() -> None:
    assert mistake({"customer_id": "c"}, withdraw_empty=True).reason == "empty_persona"


def test_fields_that_nobody_reads_are_named() -> None:
    reader = LabelReader(TAXONOMY, NobodyIds(), "cli", NOW, withdraw_empty=False)
    _, ignored = reader.read(EventRow(1, encode(row(expire_at=NOW, note="x", topic="assignments"))))
    assert ignored == ["expire_at", "note"]


def test_a_row_that_could_not_be_cut_into_cells_is_shown_whole() -> None:
    reader = LabelReader(TAXONOMY, NobodyIds(), "cli", NOW, withdraw_empty=False)
    error = DecodeError("invalid_field", "the row has 1 cells")
    found, _ = reader.read(EventRow(3, b"student;c;d", error))
    assert found == Mistake(3, "invalid_field", "", "'student;c;d'", "the row has 1 cells")


def test_own_ids_of_nobody_are_those_of_the_settings(tmp_path: Path) -> None:
    reader = LabelReader(TAXONOMY, NobodyIds(["walk-in"]), "cli", NOW, withdraw_empty=False)
    found, _ = reader.read(EventRow(1, encode(row(customer_id="WALK-IN"))))
    assert isinstance(found, Mistake)
    assert isinstance(reader.read(EventRow(1, encode(row(customer_id="guest"))))[0], LabelRow)
