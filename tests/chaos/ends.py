"""Checks what time alone has ended: assignments, and evidence for a name."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

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
        if is_pinned != (record.find_active_label() is not None):
            verdict.add("due", name, f"the public record is {found['source']}")
        if not is_pinned and record.faded_at and found["persona"] is not None:
            verdict.add("due", name, "is named, and its evidence has faded")
    lives = _split_into_lives(changes)
    for name in ends:
        for life in lives.get(name, ()):
            wrong, expiries = _judge_life(life)
            if wrong:
                verdict.add("due", name, f"the causes {wrong} at the ends of assignments")
            verdict.figures["expiries"] += expiries


def _judge_life(life: Sequence[tuple[str, str]]) -> tuple[list[str], int]:
    """Find what is wrong with the causes of a life's changes, and count its expiries.

    Where an assignment ends, and nowhere else, the cause is ``expiry``.
    """
    before = ["predicted", *(source for source, _ in life)]
    ended = [was == "assigned" != now for was, (now, _) in zip(before, life, strict=False)]
    causes = [cause for _, cause in life]
    wrong = [
        cause for cause, ends in zip(causes, ended, strict=True) if (cause == "expiry") != ends
    ]
    return wrong, causes.count("expiry")


def _split_into_lives(changes: Iterable[Change]) -> dict[str, list[list[tuple[str, str]]]]:
    """The source and the cause of each of a customer's changes, life by life."""
    lives: dict[str, list[dict[str, tuple[str, str]]]] = defaultdict(lambda: [{}])
    for change in changes:
        if change.content is None:
            lives[change.customer].append({})
            continue
        content = orjson.loads(change.content)
        published = content["current"]["source"], content["cause"]
        lives[change.customer][-1][change.change_id] = published
    return {name: [list(life.values()) for life in own] for name, own in lives.items()}
