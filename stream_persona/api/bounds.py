"""What callers may hold of a process, derived from the files that it may open.

A connection is an open file, and so is what an answer needs: a connection to Redis or to a broker,
a file of the page. Callers may therefore never have them all. The numbers are in
`deploy/README.md`, which a test compares with these.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Final, Self

#: Open files that are kept for Redis (a client has up to 100 connections), brokers, files and logs;
#: of a larger limit, this share.
RESERVED_FILES: Final = 160
RESERVED_SHARE: Final = 1 / 4
#: Connections that one process takes however many files it may open: each costs 4 kB and more.
MOST_CONNECTIONS: Final = 10_000
#: Connections that it takes however few these are.
LEAST_CONNECTIONS: Final = 32
#: Of all connections, the share that listeners of changes may have; of these, one caller's share.
LISTENERS_SHARE: Final = 3 / 4
CALLERS_SHARE: Final = 1 / 4

#: Bytes of a request's line and headers together.
HEAD_BYTES: Final = 16_384
#: Seconds until a request's head is there, from the connection or from the head's first byte.
HEAD_SECONDS: Final = 10.0
#: Seconds for its body; one more for each ``BODY_RATE`` bytes that have come.
BODY_SECONDS: Final = 10.0
BODY_RATE: Final = 10_000
#: Bytes of all bodies together that are being read or answered, small ones left out; a single body
#: may always be as large as the settings let it.
BODIES_BYTES: Final = 64_000_000
SMALL_BODY_BYTES: Final = 16_384
#: Seconds for which a connection may be idle between two requests.
IDLE_SECONDS: Final = 5
#: Seconds in which a caller must take what fills the buffers of an answer.
UNREAD_SECONDS: Final = 30.0
#: Seconds that a connection gets to take the last bytes once it is being closed.
CLOSING_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many connections and listeners a process takes, and listeners of one caller."""

    connections: int
    listeners: int
    of_caller: int

    @classmethod
    def of(cls, open_files: int) -> Self:
        """Derive them from the number of files that the process may open."""
        reserved = max(RESERVED_FILES, int(open_files * RESERVED_SHARE))
        connections = min(MOST_CONNECTIONS, max(LEAST_CONNECTIONS, open_files - reserved))
        listeners = int(connections * LISTENERS_SHARE)
        return cls(connections, listeners, max(1, int(listeners * CALLERS_SHARE)))

    @classmethod
    def of_process(cls) -> Self:
        """Derive them from this process's limit."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        unlimited = files == resource.RLIM_INFINITY
        return cls.of(4 * MOST_CONNECTIONS if unlimited else files)


def describe_too_long_head() -> str:
    """Describe the limit of a request's line and headers, for an answer 431."""
    return f"the request's line and headers are too long: at most {HEAD_BYTES:,} bytes"
