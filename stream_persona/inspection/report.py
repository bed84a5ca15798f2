"""The whole report on a sample, as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_persona.files.row_reader import KIND_NAMES
from stream_persona.inspection.contents import describe_contents
from stream_persona.inspection.fields import count_fields, describe_fields, find_absent
from stream_persona.inspection.identities import describe_ids, describe_keys
from stream_persona.inspection.mapping import find_names, map_all
from stream_persona.inspection.meaning import FieldTokens, describe_assignments, describe_meaning
from stream_persona.inspection.repeats import describe_repeats
from stream_persona.inspection.sample import read_all
from stream_persona.inspection.shapes import describe_readability
from stream_persona.inspection.suggestions import suggest
from stream_persona.inspection.times import describe_times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.inspection.fields import FieldCount
    from stream_persona.inspection.mapping import Names
    from stream_persona.inspection.sample import InputSample, Reading


def make_report(
    sample: InputSample,
    taxonomy: Taxonomy,
    topics: Mapping[str, int],
    partitions: int,
    now: int,
    nobody_ids: Sequence[str] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Return what a sample holds, what would become of it, and what helps.

    Ids, times, repetitions and contents are those of fields that are ours or look like it.
    ``topics`` are kinds by the names that a row's ``topic`` may have, ``partitions`` the number of
    the settings, ``now`` epoch milliseconds, ``nobody_ids`` those of the settings, if any;
    ``progress`` is called with numbers of messages that are done.
    """
    readings = read_all(sample, topics)
    counted = FieldTokens(taxonomy)
    tokens = [counted.add(reading) for reading in _tick(readings, progress)]
    counts = count_fields(readings, tokens)
    fields = describe_fields(counts)
    names = find_names(fields)
    mapped = map_all(readings, names)
    report = {
        "name": sample.name,
        "format": sample.format or "topic",
        "sources": [dict(each) for each in sample.mapping],
        "readable": describe_readability(readings, sample),
        "fields": fields,
        "absent": _describe_absent(counts),
        "when_mapped": _describe_mapped(mapped, names, taxonomy),
        "ids": describe_ids(mapped, nobody_ids),
        "times": describe_times(readings, mapped, names, now),
        "repeats": describe_repeats(mapped),
        "contents": describe_contents(mapped, taxonomy.features.category_separator),
        "meaning": describe_meaning(readings, tokens, counted, taxonomy),
        "assignments": describe_assignments(readings, taxonomy),
        "topic": _describe_topic(sample, mapped, partitions),
    }
    return report | {"suggestions": suggest(report)}


def _tick(readings: Sequence[Reading], progress: Callable[[int], None]) -> Iterator[Reading]:
    """Yield readings, and show that each is done."""
    for reading in readings:
        yield reading
        progress(1)


def _describe_absent(counts: Mapping[int, Mapping[str, FieldCount]]) -> dict[str, Any]:
    """Return what events of each kind might have, and lack."""
    found = {KIND_NAMES[kind]: find_absent(kind, paths) for kind, paths in counts.items()}
    return {name: absent for name, absent in found.items() if absent}


def _describe_mapped(
    mapped: Sequence[Reading], names: Names, taxonomy: Taxonomy
) -> dict[str, Any] | None:
    """Return what there would be if fields that look like ours were; None if none do."""
    if not any(names.values()):
        return None
    counted = FieldTokens(taxonomy)
    tokens = [counted.add(reading) for reading in mapped]
    meaning = describe_meaning(mapped, tokens, counted, taxonomy)
    return {
        "readable": sum(reading.error is None for reading in mapped),
        "without_useful_token": meaning["without_useful_token"]["events"],
        "seeds_matched": meaning["seeds_matched"],
    }


def _describe_topic(
    sample: InputSample, readings: Sequence[Reading], partitions: int
) -> dict[str, Any] | None:
    """Return how a topic is set up; None of a file."""
    if sample.topic is None:
        return None
    by_broker = sum(each.message.arrived_at is not None for each in readings)
    return {
        "partitions": sample.topic.partitions,
        "partitions_of_the_settings": partitions,
        "configs": dict(sample.topic.configs),
        "dated_by_the_broker": by_broker,
        "keys": describe_keys(readings),
    }
