"""Where events come in, as one number: the keys of ``Record.positions``.

An input is a kind of events and what stands for a partition, ``kind << 16 | partition``:

==============================  =================================================================
a topic of ours                 the partition's number; all bits above the kind are 0
a topic of a source             the same, with 44 bits of a hash of the topic's name above the kind
a replayed file                 ``FILE_BIT``, with 44 bits of a hash of its content above the kind
==============================  =================================================================

A source's number is made of its topic's name alone, so it is the same whatever other sources there
are, before and after, and two names in millions of topics would be needed for one to be taken for
the other.

One message of a source may hold several events. Its offset leaves room for them: the ``n`` events
of one customer and kind have the last ``n`` places behind it, so that an input's next place is the
next message's once all of them are applied. A message counts as it was mapped first.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The bit in what stands for a partition that marks it as a file's.
FILE_BIT: Final = 1 << 15
#: Bits of a place within a message of a source; and so, most events of a customer and kind in it.
PLACE_BITS: Final = 10
MOST_EVENTS: Final = 1 << PLACE_BITS
#: Numbers of partitions, and offsets, of a source are below these.
PARTITIONS_END: Final = FILE_BIT
OFFSETS_END: Final = 1 << 62 - PLACE_BITS

_HASH_SHIFT: Final = 19


def number_source_partition(topic: str, partition: int) -> int:
    """Return what stands for a partition of a source's topic."""
    return _hash(topic) << _HASH_SHIFT | partition


def is_own_topic(key: int) -> bool:
    """Whether an input is a topic of ours."""
    return key >> _HASH_SHIFT == 0


def is_of_source(key: int) -> bool:
    """Whether an input is the topic of a source."""
    return key >> _HASH_SHIFT > 0 and not key & FILE_BIT


def is_of_file(key: int) -> bool:
    """Whether an input is a replayed file."""
    return bool(key & FILE_BIT)


def describe_source(key: int, topics: Iterable[str]) -> str:
    """Name the topic and partition of a source's input; ``topics`` are the known ones."""
    names = {_hash(topic): topic for topic in topics}
    hashed = key >> _HASH_SHIFT
    return f"{names.get(hashed, f'source-{hashed:011x}')}/{key & FILE_BIT - 1}"


def place_events(offset: int, kinds: Iterable[int]) -> Iterator[int]:
    """Yield the place of each event of one customer in a message, given their kinds in order."""
    own = tuple(kinds)
    left = Counter(own)
    for kind in own:
        yield (offset + 1 << PLACE_BITS) - left[kind]
        left[kind] -= 1


def find_offset(place: int) -> int:
    """Return the offset of the message of a source that a place is in."""
    return place >> PLACE_BITS


def _hash(topic: str) -> int:
    digest = hashlib.blake2b(topic.encode(), digest_size=8, person=b"source").digest()
    return int.from_bytes(digest) >> 20
