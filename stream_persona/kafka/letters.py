"""Dead letters: what cannot be read, as it came, with headers that say why and where.

Any letter can be sent. Where its topic does not take a message of that size, parts are left out,
one after another: the value, the key, the detail. A header states the bytes of each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from stream_persona.kafka.producer import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiokafka import ConsumerRecord

    from stream_persona.errors import DecodeError

#: Most characters of a dead letter's detail: what was wrong may be of any size.
MAX_DETAIL: Final = 500


def make_letter(raw: ConsumerRecord, error: DecodeError, topic: str) -> Message:
    """Make the dead letter of a message that cannot be read, with its key and value untouched."""
    # Names and details may quote what came, in which there may be anything.
    reason, detail, origin = (
        text.encode(errors="backslashreplace")
        for text in (error.reason, error.detail[:MAX_DETAIL], raw.topic)
    )
    headers = (
        ("reason", reason), ("detail", detail), ("topic", origin),
        ("partition", str(raw.partition).encode()), ("offset", str(raw.offset).encode()),
    )  # fmt: skip
    return Message(topic, raw.key, raw.value, headers)


def shorten(letter: Message) -> Iterator[Message]:
    """Yield the letter with one part less each time, as long as there is one to leave out."""
    if letter.value is not None:
        size = str(len(letter.value)).encode()
        letter = replace(letter, value=None, headers=(*letter.headers, ("omitted_bytes", size)))
        yield letter
    if letter.key is not None:
        size = str(len(letter.key)).encode()
        letter = replace(letter, key=None, headers=(*letter.headers, ("omitted_key_bytes", size)))
        yield letter
    detail = dict(letter.headers).get("detail")
    if detail:
        kept = tuple(header for header in letter.headers if header[0] != "detail")
        omitted = ("omitted_detail_bytes", str(len(detail)).encode())
        yield replace(letter, headers=(*kept, omitted))
