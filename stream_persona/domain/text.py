"""How texts are compared, so that one spelling stands for all others; and the words of a search.

A feed escapes `&`, a shop's page writes `É` as one character or as two, an editor leaves blanks and
marks that nobody sees. What is compared is the text after HTML unescaping (also of what was escaped
twice), compatibility composition (NFKC), trimming and case folding; what is shown is the text as it
came first. It needs nothing but the standard library, since clients that rank items compare too.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Most words of a search, and characters of a word.
MAX_WORDS: Final = 16
_LEAST_WORD, _LONGEST_WORD = 2, 32

#: Characters of a text whose normal form is remembered, at most.
MAX_CACHED: Final = 256
#: Times that a text may be escaped over: after so many, what is left of the escapes is dropped.
_MOST_ESCAPES: Final = 8

#: Marks of layout that nobody sees vanish: soft hyphens, joiners, directions, variants of a glyph.
#: Only the "zero width space" parts words, as a blank does.
_UNSEEN: Final = {
    code: None
    for first, last in (
        (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
        (0x180B, 0x180F), (0x200C, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F),
        (0xFEFF, 0xFEFF), (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
} | {0x200B: " "}  # fmt: skip


def normalize(text: str) -> str:
    """Return the form in which a text is compared: empty where nothing of it can be seen.

    Runs of blanks are one. It is idempotent.

    >>> normalize(" Food &amp;amp; TREATS ") == normalize("food & treats")
    True
    """
    return _normalize(text) if len(text) <= MAX_CACHED else _normalize.__wrapped__(text)


def normalize_id(text: str) -> str:
    """Return the form in which an id is compared: its characters composed, its ends trimmed.

    Ids that differ in their case are two.
    """
    return unicodedata.normalize("NFKC", text.translate(_UNSEEN)).strip()


@lru_cache(maxsize=16_384)
def _normalize(text: str) -> str:
    return " ".join(fold_text(text).split())


def fold_text(text: str) -> str:
    """Return a text unescaped, composed, without unseen marks and in one case; blanks stay."""
    if text.isascii() and "&" not in text:
        return text.lower()
    text = _fold_case(_unescape(_compose(text)))
    for _ in range(_MOST_ESCAPES):  # `&NBSP;` is an escape in small letters only
        if (again := _fold_case(_unescape(text))) == text:
            return text
        text = again
    return _fold_case(text.replace("&", ""))


def _compose(text: str) -> str:
    return unicodedata.normalize("NFKC", text.translate(_UNSEEN))


def _unescape(text: str) -> str:
    """Return a text without the escapes of HTML, however often it was escaped, within bounds."""
    for _ in range(_MOST_ESCAPES):
        if "&" not in text or (plain := _compose(html.unescape(text))) == text:
            return text
        text = plain
    return text.replace("&", "")


def _fold_case(text: str) -> str:
    """Fold the case, and compose: what a letter folds to may compose, and fold, once more."""
    while (folded := _compose(text.casefold())) != text:
        text = folded
    return text


# --- words ---


def split_words(query: str) -> list[str]:
    """Split a search into its distinct words, in one case and form; at most 16.

    A word is of 2 to 32 letters, digits and marks: a longer one falls into several, between
    letters. Kana and hangul are words apart from other letters; ideographs are written without
    blanks, so that each is a word, and so are each two neighbours.

    >>> split_words("Dog food, 2kg"), split_words("狗粮")
    (['dog', 'food', '2kg'], ['狗', '狗粮', '粮'])
    """
    found = (
        _split_words_cached(query)
        if len(query) <= MAX_CACHED
        else _split_words_cached.__wrapped__(query)
    )
    return list(found)


@lru_cache(maxsize=4_096)
def _split_words_cached(query: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(split_all_words(query)))[:MAX_WORDS]


def split_all_words(text: str) -> Iterator[str]:
    """Yield the words of a text of any length, as those of a search, in order.

    >>> list(split_all_words("Dog food for a dog"))
    ['dog', 'food', 'for', 'dog']
    """
    text = fold_text(text)
    yield from re.findall(r"\w{2,32}", text) if text.isascii() else _split_unicode_words(text)


def _split_unicode_words(text: str) -> Iterator[str]:
    """Yield the words of a folded text, in order."""
    for script, letters in _split_runs(text):
        if script == _IDEOGRAPHS:
            yield letters[0]
            for one, other in pairwise(letters):
                yield one + other
                yield other
        else:
            yield from (word for word in _cut(letters) if len(word) >= _LEAST_WORD)


def _split_runs(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the runs of letters of one script, each letter together with its marks."""
    script, letters = _NONE, list[str]()
    for char in text:
        kind = _find_script(char)
        if kind == _MARK:
            if letters:
                letters[-1] += char
            continue
        if kind != script and letters:
            yield script, letters
            letters = []
        script = kind
        if kind != _NONE:
            letters.append(char)
    if letters:
        yield script, letters


def _cut(letters: list[str]) -> Iterator[str]:
    """Yield a run in pieces of at most the longest word."""
    word = ""
    for letter in letters:
        if len(word) + len(letter) > _LONGEST_WORD:
            yield word
            word = ""
        word += letter[:_LONGEST_WORD]
    yield word


_NONE, _MARK, _LETTER, _KANA, _HANGUL, _IDEOGRAPHS = range(6)
_RANGES: Final = (
    (_KANA, 0x3041, 0x3096), (_KANA, 0x309D, 0x309F), (_KANA, 0x30A1, 0x30FA),
    (_KANA, 0x30FC, 0x30FF), (_KANA, 0x31F0, 0x31FF), (_KANA, 0x1AFF0, 0x1B16F),
    (_HANGUL, 0x1100, 0x11FF), (_HANGUL, 0x3131, 0x318E), (_HANGUL, 0xA960, 0xA97C),
    (_HANGUL, 0xAC00, 0xD7FB),
    (_IDEOGRAPHS, 0x3005, 0x3007), (_IDEOGRAPHS, 0x3400, 0x4DBF), (_IDEOGRAPHS, 0x4E00, 0x9FFF),
    (_IDEOGRAPHS, 0xF900, 0xFAFF), (_IDEOGRAPHS, 0x20000, 0x3FFFD),
)  # fmt: skip


@lru_cache(maxsize=16_384)
def _find_script(char: str) -> int:
    """Return which kind of character it is, as far as it matters for words."""
    if unicodedata.category(char) in {"Mn", "Mc"}:
        return _MARK
    if not (char.isalnum() or char == "_"):
        return _NONE
    code = ord(char)
    return next((kind for kind, first, last in _RANGES if first <= code <= last), _LETTER)
