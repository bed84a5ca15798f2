"""Which ids stand for nobody, and which could be no customer's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.events import check_id
from stream_persona.domain.identity import (
    DEFAULT_NOBODY_IDS,
    NOBODY_IDS,
    NobodyIds,
    find_fault,
    is_customer,
)
from stream_persona.errors import DecodeError
from stream_persona.settings import Settings

ZERO = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    "customer",
    [
        "", " ", "\t\n", "\u3000", "undefined", "Undefined", "NULL", "null ", "None", "NaN", "0",
        "-1", "guest", "GUEST", "Anonymous", "unknown", "(not set)", "(Not Set)", "[object Object]",
        "[OBJECT OBJECT]", ZERO, ZERO.replace("-", ""), "\uff4e\uff55\uff4c\uff4c", "\uff10",
        "\u00a0guest\u00a0",
    ],
)  # fmt: skip
def test_an_id_that_producers_write_for_nobody_is_nobody(customer: str) -> None:
    assert customer in NOBODY_IDS
    assert not is_customer(customer, NOBODY_IDS)


@pytest.mark.parametrize(
    "customer",
    ["C1", "00", "1", "-10", "guesthouse", "nulla", "x/persona", ".", "..", "Zoë", ZERO[:-1] + "1"],
)
def test_an_id_like_one_of_nobody_is_a_customer(customer: str) -> None:
    assert customer not in NOBODY_IDS
    assert is_customer(customer, NOBODY_IDS)


@pytest.mark.parametrize("given", [None, 0, 1.5, b"C1", ["C1"], object(), True])
def test_what_is_no_text_is_no_customer(given: object) -> None:
    assert not is_customer(given, NOBODY_IDS)


def test_a_list_takes_the_place_of_the_default_one_and_blanks_stay_nobody() -> None:
    own = NobodyIds(["Kiosk-7", " till "])
    assert [each in own for each in ("KIOSK-7", "till", "", "guest", "undefined")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert own.own == ("kiosk-7", "till")
    assert NobodyIds(reversed(DEFAULT_NOBODY_IDS)).own is None
    assert NOBODY_IDS.own is None


def test_the_setting_takes_a_list_and_describes_the_default_one() -> None:
    settings = Settings(_env_file=None, nobody_ids="kiosk, Till,")
    assert "KIOSK" in NobodyIds(settings.nobody)
    assert Settings(_env_file=None).nobody == ()
    described = Settings.model_fields["nobody_ids"].description or ""
    for each in DEFAULT_NOBODY_IDS:
        assert each in described or each.strip("0-") == "", each


@pytest.mark.parametrize(
    ("customer", "sentence"),
    [
        ("", "1 to 256 bytes"),
        ("  ", "not blanks alone"),
        ("C1 ", "blanks at an end"),
        (" C1", "blanks at an end"),
        ("\u3000C1", "cannot be printed"),
        ("a\nb", "cannot be printed"),
        ("\ud800", "cannot be printed"),
        ("x" * 257, "1 to 256 bytes"),
        ("é" * 129, "1 to 256 bytes"),
    ],
)
def test_an_id_that_could_be_no_key_is_refused_with_a_sentence(
    customer: str, sentence: str
) -> None:
    with pytest.raises(DecodeError, match=sentence) as caught:
        check_id(customer)
    assert caught.value.reason == "invalid_id"


@given(st.text())
def test_no_text_fails_the_look(customer: str) -> None:
    if is_customer(customer, NOBODY_IDS):
        assert find_fault(customer) is None
        assert customer.encode()
