"""Which messages can be read, and what others seem to be: lists, envelopes, binary formats."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from stream_persona.files.row_reader import KIND_NAMES
from stream_persona.inspection.lookalikes import find_lookalike, list_field_paths
from stream_persona.inspection.sample import (
    compute_share,
    count_kinds,
    decode_as_kind,
    guess_kind,
    parse,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.inspection.sample import InputSample, Reading

_DETAIL: Final = 200
#: Fields like ours that an object needs to be taken for the event in an envelope.
_FEWEST: Final = 2
#: What values of other formats begin with.
_FOREIGN: Final = {
    b"\x1f\x8b": "gzipped",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
    b"\x00": "of a schema registry (Avro, Protobuf)",
}


def describe_readability(readings: Sequence[Reading], sample: InputSample) -> dict[str, Any]:
    """Return how many messages can be read, as which kinds, and why others cannot."""
    readable = sum(reading.error is None for reading in readings)
    return {
        "messages": len(readings),
        "held": sample.held,
        "readable": readable,
        "share": compute_share(readable, len(readings)),
        "kinds": count_kinds(readings),
        "kind_is_given": sample.kind is not None,
        "fits_best": _find_better_kind(readings, sample),
        "unreadable": _count_reasons(readings),
        "shapes": _count_shapes(readings),
    }


def _find_better_kind(readings: Sequence[Reading], sample: InputSample) -> str | None:
    """Find the kind as which messages can be read that cannot be as the kind that they have."""
    unreadable = [reading for reading in readings if reading.error is not None]
    if sample.kind is None or 2 * len(unreadable) <= len(readings):
        return None
    messages = [reading.message for reading in unreadable]
    best = guess_kind(messages, [reading.document for reading in unreadable])
    fits = any(decode_as_kind(message, best)[0] is not None for message in messages)
    return KIND_NAMES[best] if fits and best != sample.kind else None


def _count_reasons(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """Count the reasons and details of what cannot be read, the commonest first."""
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    for reading in readings:
        if reading.error is not None:
            why = reading.error.reason, reading.error.detail[:_DETAIL]
            counts[why] += 1
            examples.setdefault(why, reading.message.position)
    return [
        {"reason": why[0], "detail": why[1], "count": number, "example": examples[why]}
        for why, number in counts.most_common(10)
    ]


def _count_shapes(readings: Sequence[Reading]) -> dict[str, int]:
    """Count messages that are something else than an object with an event's fields."""
    shapes = (find_shape(reading) for reading in readings if reading.error is not None)
    return dict(Counter(shape for shape in shapes if shape).most_common())


def find_shape(reading: Reading) -> str | None:
    """Find what a message is that cannot be read; None where its fields show it."""
    value, document = reading.message.value, reading.document
    if not value:
        return "empty"
    foreign = [what for signature, what in _FOREIGN.items() if value.startswith(signature)]
    if foreign:
        return foreign[0]
    if isinstance(document, list):
        return "a list of events"
    if isinstance(document, str):
        return "JSON in a text" if isinstance(parse(document.encode()), dict) else "a text"
    within = find_envelope(reading.fields, reading.kind)
    return f"an envelope, its event in {within!r}" if within else None


def find_envelope(document: dict[str, Any], kind: int) -> str | None:
    """Find the field of an envelope that holds the event."""
    own = _count_lookalikes(document, kind)
    inner = {
        name: _count_lookalikes(value, kind)
        for name, value in document.items()
        if isinstance(value, dict) and name not in list_field_paths(kind)
    }
    best = max(inner, key=lambda name: inner[name], default=None)
    return best if best and inner[best] >= max(_FEWEST, own + 1) else None


def _count_lookalikes(document: dict[str, Any], kind: int) -> int:
    wanted = list_field_paths(kind)
    return sum(
        str(name) in wanted or find_lookalike(str(name), kind) is not None for name in document
    )
