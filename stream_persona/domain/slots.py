"""The slots in which tokens are counted: their number, their hashing, and caches of both.

There is a fixed number of hashed slots: coarse, frequent tokens in a wide range of their own,
fine ones (products, search words) in the rest. Slot 0 counts the events.
"""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from stream_persona.domain.binning import (
    BANDS,
    canonicalize_field,
    canonicalize_token,
    list_seed_tokens,
)
from stream_persona.domain.token_names import make_name

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from stream_persona.domain.taxonomy import Features, Persona
    from stream_persona.domain.token_names import Name, TokenNames

K = TypeVar("K", bound="Hashable")

#: Slots of coarse and of fine tokens; a slot is a 16-bit number.
COARSE_SLOTS: Final = 57_344
FINE_SLOTS: Final = 8_192
SLOTS: Final = COARSE_SLOTS + FINE_SLOTS
#: The slot that counts events.
EVENTS: Final = 0

#: Weights of signals are whole multiples of 1 / WEIGHT_UNITS.
WEIGHT_UNITS: Final = 4

#: How slots and weights of tokens are packed: they are read event by event and folded many at
#: once, and bytes are joined without a Python object for each number.
SLOT_TYPE: Final = np.dtype(np.uint16)
WEIGHT_TYPE: Final = np.dtype(np.int32)

#: Most values that the caches of all fields hold together before all are emptied, and most
#: characters of a value that is kept: attributes have any names and any values.
_MAX_CACHED: Final = 100_000
_MAX_CACHED_LENGTH: Final = 64


def hash_to_slot(token: str, *, fine: bool) -> int:
    """Return the slot of a token: the same on every machine.

    >>> hash_to_slot("category:baby", fine=False), hash_to_slot("query:shoes", fine=True)
    (23163, 62083)
    """
    digest = int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest())
    return COARSE_SLOTS + digest % FINE_SLOTS if fine else 1 + digest % (COARSE_SLOTS - 1)


def make_fine(features: Features) -> frozenset[str]:
    """Return the features whose tokens are fine, as ``is_fine`` compares them."""
    return frozenset(map(canonicalize_field, features.fine))


def is_fine(field: str, fine: Iterable[str]) -> bool:
    """Whether the tokens of a field are fine: it is one of the features, or an attribute of one."""
    field = canonicalize_field(field)
    return field in fine or field.partition(".")[0] in fine


def find_seed_slots(persona: Persona, features: Features) -> set[int]:
    """Return the slots of all of a persona's seeds."""
    fine, separator = make_fine(features), features.category_separator
    return {
        hash_to_slot(token, fine=is_fine(field, fine))
        for field, values in persona.seeds.items()
        for value in values
        for token in list_seed_tokens(field, value, separator)
    }


def pack(number: int, kind: np.dtype[np.generic]) -> bytes:
    """Pack a slot or a weight; numpy would take ten times as long for one."""
    return number.to_bytes(kind.itemsize, sys.byteorder)


class SlotCache:
    """Finds the packed slot of a field's value, and hashes it at most once while it is cached.

    Values are cached as they came, so that what they have in common is worked out once for each
    spelling. ``len`` is the number of cached values. ``names`` is asked of each token that is
    hashed, and, as long as it needs more carriers of its name, whenever an event has it. A value of
    which nothing is left has no slot: no bytes.
    """

    def __init__(self, features: Features, names: TokenNames) -> None:
        self._names = names
        self._own = frozenset(features.fields)
        self._fine = make_fine(features)
        self._slots: dict[str, dict[str, bytes]] = {field: {} for field in features.fields}
        self._unsettled: dict[tuple[str, str], tuple[bytes, Name | None]] = {}
        self._open: dict[tuple[str, Hashable], tuple[bytes, tuple[Name, ...]]] = {}
        self._derived: list[dict[Any, Any]] = []
        self._cached = 0

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def get_field_cache(self, field: str) -> dict[str, bytes] | None:
        """Return the cache of a field of the taxonomy, value -> packed slot; None for another."""
        return self._slots.get(field) if field in self._own else None

    def derive(self) -> dict[Any, Any]:
        """Return a new cache of values derived from slots; it is emptied with all others."""
        cache: dict[Any, Any] = {}
        self._derived.append(cache)
        return cache

    def find(self, field: str, value: str) -> bytes:
        """Return the packed slot of ``field:value``."""
        cache = self._slots.get(field)
        slot = None if cache is None else cache.get(value)
        return self.compute(field, value) if slot is None else slot

    def compute(self, field: str, value: str) -> bytes:
        """Find the slot of the canonical ``field:value``, note its name, cache it if settled."""
        known = self._unsettled.get((field, value))
        packed, name = self._hash(field, value) if known is None else known
        if name is None or self._names.note(name):
            self._unsettled.pop((field, value), None)
            if self.has_room(field, value):
                self._slots.setdefault(field, {})[value] = packed
        elif known is None and self.has_room(field, value):
            self._unsettled[field, value] = packed, name
        return packed

    def find_joined(
        self, cache: dict[K, bytes], field: str, key: K, make: Callable[[], bytes]
    ) -> bytes:
        """Find the packed slots that ``make`` joins for a key, and note the names of their tokens.

        ``cache`` has them once none of these names needs more carriers. Until then they are kept
        with the names that do: a name costs little while it is noted, and most stay rare.
        """
        known, begun = self._open.get((field, key)), len(self._names.found)
        if known is None:
            packed = make()
            if not self.has_room(field, str(key)):
                return packed
        else:
            packed, unsettled = known
            for name in unsettled:
                self._names.note(name)
        if len(self._names.found) == begun:
            self._open.pop((field, key), None)
            cache[key] = packed
        elif known is None:
            self._open[field, key] = packed, tuple(self._names.found[begun:])
        return packed

    def _hash(self, field: str, value: str) -> tuple[bytes, Name | None]:
        """Return the packed slot of a value, and its name; of no token: no bytes, and None."""
        display = f"{field}:{value}"
        token = canonicalize_token(display)
        if not token:
            return b"", None
        slot = hash_to_slot(token, fine=is_fine(field, self._fine))
        name = make_name(slot, token, token if field in BANDS else display)
        return pack(slot, SLOT_TYPE), name

    def has_room(self, field: str, value: str) -> bool:
        """Count one more value unless it is too long to be cached; empty the caches when full."""
        if len(field) > _MAX_CACHED_LENGTH or len(value) > _MAX_CACHED_LENGTH:
            return False
        self._cached += 1
        if self._cached > _MAX_CACHED:
            self.clear()
            self._cached = 1
        return True

    def clear(self) -> None:
        """Empty all caches; those of the taxonomy's own fields stay the same objects."""
        for cache in (*self._slots.values(), *self._derived, self._unsettled, self._open):
            cache.clear()
        self._cached = 0
        self._slots = {field: self._slots[field] for field in self._own}
