"""The last ids of a customer's inputs: a producer's retry has a new offset and an old id.

An id is known for seven days of arrival, and among the last 128 of its input. Event times count for
nothing here: a shop that tries an old order again sends an old time with it. Of an input without
arrivals, the number alone is the limit.

The ids of an input are one run of bytes: their number, then a hash of each, oldest first, then the
hours in which they arrived, each with how many did. An input keeps its order on every run, so which
ids are known does not depend on other inputs.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

#: Ids kept per customer and input, at most, and for how long.
MAX_RECENT: Final = 128
KNOWN_HOURS: Final = 7 * 24
#: Added to the number of an input: ids of its orders are kept beside those of its events. It stands
#: for a kind of its own (``Delivery.source``), since the numbers of files use all bits above.
ORDER_IDS: Final = 7 << 16

_HOUR_MS: Final = 3_600_000
_ID: Final = struct.Struct("<I")
#: An hour since 1970, in three bytes and above a count in the lowest one.
_RUN: Final = struct.Struct("<I")
#: The hour of an id whose arrival is not known: it makes room when the number is reached.
_UNKNOWN: Final = (1 << 24) - 1

#: A number of ids as a byte: to make one takes longer than to look it up.
_NUMBERS: Final = tuple(bytes((number,)) for number in range(MAX_RECENT + 1))

#: The last ids of one input, as above; without any, no bytes.
RecentIds = bytes


def hash_id(text: str) -> bytes:
    """Hash an id to 4 bytes: enough among the few ids of one customer's recent days.

    A CRC differs for any two ids that differ in four neighbouring bytes alone, as counters do.
    """
    return _ID.pack(zlib.crc32(text.encode()))


def knows_id(recent: RecentIds, hashed: bytes, arrived_at: int | None) -> bool:
    """Whether an id is among the last ones of its input: an event with it is a retry.

    ``arrived_at`` (epoch milliseconds) is that of the event; None where it is not known.
    """
    if not recent or hashed not in recent:
        return False
    number, forgotten = recent[0], 0
    if arrived_at is not None:
        forgotten = _count_forgotten(_read_hour_counts(recent), arrived_at // _HOUR_MS)
    ids = recent[1 + 4 * forgotten : 1 + 4 * number]
    at = ids.find(hashed)
    while at > 0 and at % 4:
        at = ids.find(hashed, at + 1)
    return at >= 0


def with_id(recent: RecentIds, hashed: bytes, arrived_at: int | None) -> RecentIds:
    """Add an id to the last ones of its input; those that are too old, or too many, are left out.

    ``arrived_at`` is epoch milliseconds, None where it is not known.
    """
    hour = _UNKNOWN if arrived_at is None else min(arrived_at // _HOUR_MS, _UNKNOWN - 1)
    if not recent:
        return b"\x01" + hashed + _RUN.pack(hour << 8 | 1)
    number, newest = recent[0], len(recent) - 4
    end = 1 + 4 * number
    first, last = _RUN.unpack_from(recent, end)[0], _RUN.unpack_from(recent, newest)[0]
    is_known = arrived_at is None or first >> 8 >= hour - KNOWN_HOURS
    if last >> 8 != hour or not is_known:
        return _with_other_hours(recent, hashed, hour, arrived_at)
    # Nearly all ids arrive in the hour of the one before: then no others need be looked at.
    if number < MAX_RECENT:
        rest, hours = recent[1:end], recent[end:newest]
        return b"".join((_NUMBERS[number + 1], rest, hashed, hours, _RUN.pack(last + 1)))
    if end == newest:
        return b"".join((recent[:1], recent[5:end], hashed, recent[end:]))
    left = _RUN.pack(first - 1) if first & 255 > 1 else b""
    hours = left + recent[end + 4 : newest] + _RUN.pack(last + 1)
    return b"".join((recent[:1], recent[5:end], hashed, hours))


def _with_other_hours(
    recent: RecentIds, hashed: bytes, hour: int, arrived_at: int | None
) -> RecentIds:
    """Add an id where hours come or go, or the first one loses some of its ids."""
    number, runs = recent[0], _read_hour_counts(recent)
    dropped = 0 if arrived_at is None else _count_forgotten(runs, hour)
    if number - dropped == MAX_RECENT:
        dropped += 1
    if dropped:
        runs = _drop_first(runs, dropped)
    if runs and runs[-1] >> 8 == hour:
        runs[-1] += 1
    else:
        runs.append(hour << 8 | 1)
    ids = recent[1 + 4 * dropped : 1 + 4 * number]
    return b"".join(
        (_NUMBERS[number + 1 - dropped], ids, hashed, struct.pack(f"<{len(runs)}I", *runs))
    )


def count_ids(recent: RecentIds) -> int:
    """Count the last ids of an input."""
    return recent[0] if recent else 0


def _read_hour_counts(recent: RecentIds) -> list[int]:
    """Return the hours, each ``hour << 8 | count``, in the order of arrival."""
    data = recent[1 + 4 * recent[0] :]
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def _count_forgotten(runs: list[int], hour: int) -> int:
    """Count the first ids, as far as they arrived too long before an hour."""
    count = 0
    for run in runs:
        if run >> 8 >= hour - KNOWN_HOURS:  # an unknown one is greater than any
            break
        count += run & 255
    return count


def _drop_first(runs: list[int], count: int) -> list[int]:
    """Leave out the hours of the first ids."""
    for i, run in enumerate(runs):
        if count < (own := run & 255):
            return [run - count, *runs[i + 1 :]]
        count -= own
    return []


def from_former(recent: tuple[int, ...]) -> RecentIds:
    """Convert the form of earlier records: hash and event time of each, one after another.

    >>> knows_id(from_former((7, 3_600_000)), _ID.pack(7), 3_600_000)
    True
    """
    converted = b""
    for key, at in zip(recent[::2], recent[1::2], strict=True):
        converted = with_id(converted, _ID.pack(key), max(at, 0))
    return converted
