"""Numbers as times: how large one is shows its unit.

==============  ==================================================
a number below  counts since 1970
==============  ==================================================
1e11            seconds (to the year 5138)
1e14            milliseconds (from March 1973 on, to the year 5138)
1e17            microseconds (from March 1973 on, to the year 5138)
any other       nanoseconds (from March 1973 on, to the year 9999)
==============  ==================================================

Fractions count, down to the millisecond that a time lies in. It needs nothing but the standard
library.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

#: Where numbers of a unit end, and those of the next one begin.
SECONDS_END: Final = 100_000_000_000
MILLISECONDS_END: Final = 100_000_000_000_000
MICROSECONDS_END: Final = 100_000_000_000_000_000
#: Where the year 10000 begins, in epoch milliseconds.
END: Final = 253_402_300_800_000

#: What a time may look like, for messages.
FORMS: Final = (
    "a time is RFC 3339 with an offset, such as 2025-11-24T16:00:00Z, or a number of epoch seconds "
    "(below 1e11), milliseconds (below 1e14), microseconds (below 1e17) or nanoseconds"
)
OUT_OF_RANGE: Final = "a time lies before 1970 or after 9999, in UTC"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def parse_number(number: float) -> int:
    """Parse a number as a time; return epoch milliseconds.

    >>> [parse_number(n) for n in (1764000000, 1764000000.5, 1764000000000, 1764000000000000)]
    [1764000000000, 1764000000500, 1764000000000, 1764000000000]

    Raises:
        ValueError: it is negative, after the year 9999, or no number at all.
    """
    if not 0 <= number < END * 1_000_000:
        raise ValueError(OUT_OF_RANGE)
    # By way of whole microseconds: a fraction of seconds has no exact milliseconds.
    if number < SECONDS_END:
        microseconds = round(number * 1_000_000)
    elif number < MILLISECONDS_END:
        microseconds = round(number * 1_000)
    elif number < MICROSECONDS_END:
        microseconds = int(number)
    else:
        microseconds = int(number // 1_000)
    return microseconds // 1_000


def as_field(time: datetime | float) -> datetime | int:
    """Return a time as events hold it: so that what is written of it is read as the same again.

    Numbers of any unit become epoch milliseconds, but for the few that would be read as another
    unit's: those of the years up to 1973, and from 5138 on.

    Raises:
        ValueError: it is before 1970, or after the year 9999.
    """
    if isinstance(time, datetime):
        if not 0 <= to_milliseconds(time) < END:
            raise ValueError(OUT_OF_RANGE)
        return time
    at = parse_number(time)
    return at if SECONDS_END <= at < MILLISECONDS_END else _EPOCH + timedelta(milliseconds=at)


def to_milliseconds(time: datetime | int) -> int:
    """Convert an aware datetime to epoch milliseconds; an integer is taken as it is."""
    return time if isinstance(time, int) else (time - _EPOCH) // _MILLISECOND


def format_rfc3339(at: int) -> str:
    """Format epoch milliseconds by RFC 3339, in UTC to the millisecond."""
    minute, rest = divmod(at, 60_000)
    digits = str(100_000 + rest)
    return f"{_format_minute(minute)}{digits[1:3]}.{digits[3:]}Z"


@lru_cache(maxsize=4_096)
def _format_minute(minute: int) -> str:
    """Return the text of a minute, up to where its seconds follow."""
    return (_EPOCH + timedelta(minutes=minute)).isoformat()[:17]
