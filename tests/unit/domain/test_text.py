# ruff: noqa: RUF001 - spellings are the subject

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.text import normalize, normalize_id, split_words

ESCAPES = st.sampled_from(
    ["&", "amp;", "&amp;", "&AMP;", "&NBSP;", "&gt;", "&Eacute;", "&#38;", "#38;", "＆", "lt", "ﬁ",
     "\N{ZERO WIDTH JOINER}", "\N{COMBINING ACUTE ACCENT}", "e", "İ", "ᾳ", " "]
)  # fmt: skip


@given(st.text() | st.lists(ESCAPES).map("".join))
def test_what_was_normalized_stays_as_it_is(given_text: str) -> None:
    once = normalize(given_text)
    assert normalize(once) == once
    assert unicodedata.normalize("NFKC", once) == once
    assert normalize_id(normalize_id(given_text)) == normalize_id(given_text)


@given(st.text())
def test_any_form_of_a_text_is_the_same(given_text: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert normalize(unicodedata.normalize(form, given_text)) == normalize(given_text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Food &amp; Treats", "Food & Treats"), ("Food &amp;amp; Treats", "food & treats"),
     ("B&#233;b&#xE9;", "bébé"), (" Acme\t", "acme"), ("Acme\N{NO-BREAK SPACE}Co", "acme  co"),
     ("STRASSE", "Straße"), ("Ａｃｍｅ", "acme"), ("\N{ZERO WIDTH NO-BREAK SPACE}acme", "acme"),
     ("ac\N{SOFT HYPHEN}me", "acme"), ("AC&NBSP;ME", "ac me"), ("Ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ"),
     ("می\N{ZERO WIDTH NON-JOINER}خواهم", "میخواهم")],
)  # fmt: skip
def test_spellings_of_one_text_are_equal(one: str, other: str) -> None:
    assert normalize(one) == normalize(other)


@pytest.mark.parametrize("shown", ["R&D", "AT&T", "a < b", "50 %", "C++", "#1"])
def test_what_is_no_escape_stays(shown: str) -> None:
    assert normalize(shown) == shown.lower()


def test_an_escape_within_escapes_takes_no_time() -> None:
    hostile = "&" + "&#&#51;8;" * 100_000
    began = time.process_time()
    assert normalize(normalize(hostile)) == normalize(hostile)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("कुत्ते का खाना", ["कुत्ते", "का", "खाना"]),
        ("কুকুরের খাবার", ["কুকুরের", "খাবার"]),
        ("நாய் உணவு", ["நாய்", "உணவு"]),
        ("อาหารสุนัข ราคาถูก", ["อาหารสุนัข", "ราคาถูก"]),
        ("狗粮", ["狗", "狗粮", "粮"]),
        ("猫", ["猫"]),
        ("犬用フード 2kg", ["犬", "犬用", "用", "フード", "2kg"]),
        ("ﾄﾞｯｸﾞﾌｰﾄﾞ", ["ドッグフード"]),
        ("강아지 사료", ["강아지", "사료"]),
        (unicodedata.normalize("NFD", "강아지"), ["강아지"]),
        ("طَعَامُ القِطَطِ", ["طَعَامُ", "القِطَطِ"]),
        ("🐶 dog-food 🐶🏽 1️⃣", ["dog", "food"]),
        ("iPhone15手机", ["iphone15", "手", "手机", "机"]),
        ("क्\N{ZERO WIDTH JOINER}ष क्ष", ["क्ष"]),
        ("खाना\N{ZERO WIDTH SPACE}पानी", ["खाना", "पानी"]),
        ("cats &amp; dogs", ["cats", "dogs"]),
        ("Café CAFÉ ﬁne a", ["café", "fine"]),
        ("x 1 é", []),
        ("\N{COMBINING ACUTE ACCENT}", []),
    ],
)
def test_a_search_has_the_words_of_its_language(query: str, expected: list[str]) -> None:
    query_words = [unicodedata.normalize("NFKC", word) for word in expected]
    assert split_words(query) == query_words


@given(st.text())
def test_words_are_few_and_of_a_bounded_length(query: str) -> None:
    found = split_words(query)
    assert len(found) <= 16
    assert all(1 <= len(word) <= 32 for word in found)
    assert len(set(found)) == len(found)
    assert all(normalize(word) == word for word in found)


def test_a_long_word_is_cut_between_letters() -> None:
    assert split_words("x" * 40) == ["x" * 32, "x" * 8]
    parts = split_words("का" * 15 + "कि" + "की" * 4)
    assert "".join(parts) == "का" * 15 + "कि" + "की" * 4
    assert all(unicodedata.category(part[0]) == "Lo" for part in parts)
    assert len(split_words(" ".join(f"word{i}" for i in range(100)))) == 16
