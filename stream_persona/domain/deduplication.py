"""The last event ids of a customer's inputs: a producer's retry has a new offset and an old id."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Recent event ids kept per customer and input, at most.
MAX_RECENT: Final = 16

#: Hash and event time of an input's last events, one after another, in the order of its offsets.
Recent = tuple[int, ...]


def event_hash(event_id: str) -> int:
    """32 bits of an event id: enough among the few ids of one customer's recent minutes.

    A CRC differs for any two ids that differ in four neighbouring bytes alone, as counters do.
    """
    return zlib.crc32(event_id.encode())


def with_recent(recent: Recent, key: int, at: int, window: int) -> Recent | None:
    """Add an id to the last ones of an input; None when it is among them: a producer's retry.

    An input keeps its order on every run, so which ids are dropped does not depend on other inputs.
    """
    newest = at if at > 0 else 0  # noqa: FURB136 - a call for each event would be measurable
    if recent:
        times = recent[1::2]
        last = max(times)
        newest = last if last > newest else newest  # noqa: FURB136
        if min(times) <= newest - window:
            recent = _drop_older(recent, times, newest - window)
        if key in recent and key in recent[::2]:  # the first alone would also find times
            return None
    if at <= newest - window:
        return recent
    if len(recent) >= 2 * MAX_RECENT:
        recent = recent[2:]
    return (*recent, key, at)


def _drop_older(recent: Recent, times: Sequence[int], after: int) -> Recent:
    """Keep those whose times are after ``after``; mostly the oldest come first."""
    first = 0
    for at in times:
        if at > after:
            break
        first += 1
    rest = times[first:]
    if not rest or min(rest) > after:
        return recent[2 * first :]
    kept = [number for number, at in enumerate(times) if at > after]
    return tuple([each for i in kept for each in recent[2 * i : 2 * i + 2]])
