"""The whole report on a sample, as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_persona.inspection.contents import describe_contents
from stream_persona.inspection.fields import count_fields, describe_fields, find_absent
from stream_persona.inspection.identities import describe_ids, describe_keys
from stream_persona.inspection.meaning import FieldTokens, describe_assignments, describe_meaning
from stream_persona.inspection.repeats import describe_repeats
from stream_persona.inspection.sample import KIND_NAMES, read_all
from stream_persona.inspection.shapes import describe_readability
from stream_persona.inspection.suggestions import suggest
from stream_persona.inspection.times import describe_times

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.inspection.sample import Reading, Sample


def make_report(
    sample: Sample,
    taxonomy: Taxonomy,
    topics: Mapping[str, int],
    partitions: int,
    now: int,
    nobody_ids: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what a sample holds, what would become of it, and what helps.

    ``topics`` are kinds by the names that a row's ``topic`` may have, ``partitions`` the number of
    the settings, ``now`` epoch milliseconds, ``nobody_ids`` those of the settings, if any.
    """
    readings = read_all(sample, topics)
    counted = FieldTokens(taxonomy)
    tokens = [counted.add(reading) for reading in readings]
    counts = count_fields(readings, tokens)
    report = {
        "name": sample.name,
        "format": sample.format or "topic",
        "readable": describe_readability(readings, sample),
        "fields": describe_fields(counts),
        "absent": {
            KIND_NAMES[kind]: absent
            for kind, paths in counts.items()
            if (absent := find_absent(kind, paths))
        },
        "ids": describe_ids(readings, nobody_ids),
        "times": describe_times(readings, now),
        "repeats": describe_repeats(readings),
        "contents": describe_contents(readings, taxonomy.features.category_separator),
        "meaning": describe_meaning(readings, tokens, counted, taxonomy),
        "assignments": describe_assignments(readings, taxonomy),
        "topic": _describe_topic(sample, readings, partitions),
    }
    return report | {"suggestions": suggest(report)}


def _describe_topic(
    sample: Sample, readings: Sequence[Reading], partitions: int
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
