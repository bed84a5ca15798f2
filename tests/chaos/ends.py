"""Checks what time alone has ended: assignments, and evidence for a name."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import orjson

from stream_persona.domain.record import Record
from tests.chaos.changes import Change, Collector


def check_due(
    changes: Iterable[Change],
    public: Mapping[str, bytes],
    oracle: Mapping[str, Record],
    ends: Mapping[str, int],
    verdict: Collector,
) -> None:
    """Check that nobody keeps what has ended, and that each end was published once.

    ``oracle`` holds the records of the time at which the public ones were read, ``ends`` when the
    only assignment of some customers was to end.
    """
    for name, record in oracle.items():
        found = orjson.loads(public[name]) if name in public else None
        if found is None:
            continue
        is_pinned = found["source"] == "assigned"
        if is_pinned != (record.active_label() is not None):
            verdict.add("due", name, f"the public record is {found['source']}")
        if not is_pinned and record.faded_at and found["persona"] is not None:
            verdict.add("due", name, "is named, and its evidence has faded")
    lives = _split_into_lives(changes)
    for name in ends:
        for sources, expiries in lives.get(name, ()):
            was_pinned = "assigned" in sources
            if expiries != was_pinned:
                verdict.add("due", name, f"{expiries} changes of the cause expiry")
            verdict.figures["expiries"] += expiries


def _split_into_lives(changes: Iterable[Change]) -> dict[str, list[tuple[list[str], int]]]:
    """The sources that each customer's changes had, and how many were expiries, life by life."""
    lives: dict[str, list[dict[str, tuple[str, str]]]] = defaultdict(lambda: [{}])
    for change in changes:
        if change.content is None:
            lives[change.customer].append({})
            continue
        content = orjson.loads(change.content)
        said = content["current"]["source"], content["cause"]
        lives[change.customer][-1][change.change_id] = said
    return {
        name: [
            ([source for source, _ in life.values()], [c for _, c in life.values()].count("expiry"))
            for life in own
        ]
        for name, own in lives.items()
    }
