"""The compact bytes of a shopper's own tastes: what ``persona-tastes:<customer>`` holds.

========  ==================================================================================
bytes     what
========  ==================================================================================
1         the format, ``FORMAT``
6         the taxonomy's version under which the slots were chosen
4         the effective number of events, in 256ths
2 each    the slots, ascending
1 each    the share of events with each slot, as a level (``find_level``), in the same order
4         a checksum of all that, and of the customer's id
========  ==================================================================================

Numbers are big-endian. There are no names: a slot is a hash (``domain.slots``). Shares stay as they
are while time passes, since counts and events decay at the same pace. It needs nothing but the
standard library, since clients read it.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = 1
#: The features whose tokens are tastes.
FEATURES: Final = ("category", "attributes.product_type")
#: Most tastes of a shopper: those with the greatest shares, of equal ones the first slots.
MOST_TASTES: Final = 256
#: Shares are whole multiples of 1 / UNITS, and no greater than MOST_UNITS of them.
UNITS: Final = 4_096
MOST_UNITS: Final = 65_535
#: Events are whole multiples of 1 / EVENT_UNITS.
EVENT_UNITS: Final = 256

_HEAD: Final = struct.Struct(">B6sI")
_CHECKSUM_BYTES: Final = 4
_TASTE_BYTES: Final = 3
_MOST_EVENTS: Final = (1 << 32) - 1
#: Levels of one power of two: a level is off by 3 % of its share, at most.
_STEPS_BITS: Final = 4


class TastesError(ValueError):
    """The bytes are not the tastes of this customer."""


class StoredTastes(NamedTuple):
    """A shopper's tastes: the share of their ``events`` by slot.

    ``floor`` is what the share of a slot that is missing may be: 0 unless some were left out.
    ``taxonomy`` is the version of the taxonomy that they are of.
    """

    taxonomy: str
    events: float
    shares: Mapping[int, float]
    floor: float = 0.0


def find_level(units: int) -> int:
    """Return the level of a share in units: whole below 16, then 16 to each power of two.

    >>> [find_level(units) for units in (0, 1, 15, 16, 31, 32, 33, 34, 65_535)]
    [0, 1, 15, 16, 31, 32, 32, 33, 207]
    """
    power = max(0, units.bit_length() - _STEPS_BITS - 1)
    return (power << _STEPS_BITS) + (units >> power)


def _find_share(level: int) -> float:
    """Return the share in the middle of a level."""
    power = max(0, (level >> _STEPS_BITS) - 1)
    least = (level - (power << _STEPS_BITS)) << power
    return (least + ((1 << power) - 1) / 2) / UNITS


_SHARES: Final = tuple(_find_share(level) for level in range(256))


def encode_tastes(
    customer_id: str, taxonomy: str, events: float, slots: bytes, levels: bytes
) -> bytes:
    """Encode tastes: ascending ``slots``, two bytes each, and the level of each share."""
    units = min(_MOST_EVENTS, round(events * EVENT_UNITS))
    head = _HEAD.pack(FORMAT, bytes.fromhex(taxonomy), units)
    content = head + slots + levels
    return content + _compute_checksum(customer_id, content)


def decode_tastes(customer_id: str, blob: bytes) -> StoredTastes:
    """Decode a customer's tastes.

    Raises:
        TastesError: the bytes are damaged, another customer's, or of another format.
    """
    content, checksum = blob[:-_CHECKSUM_BYTES], blob[-_CHECKSUM_BYTES:]
    count, rest = divmod(len(content) - _HEAD.size, _TASTE_BYTES)
    if count < 0 or rest or checksum != _compute_checksum(customer_id, content):
        raise TastesError("the tastes are damaged, or another customer's")
    form, taxonomy, units = _HEAD.unpack_from(content)
    if form != FORMAT:
        raise TastesError(f"tastes of format {form} are not known here")
    slots = struct.unpack_from(f">{count}H", content, _HEAD.size)
    shares = [_SHARES[level] for level in content[_HEAD.size + 2 * count :]]
    floor = min(shares) if count >= MOST_TASTES else 0.0
    by_slot = dict(zip(slots, shares, strict=True))
    return StoredTastes(taxonomy.hex(), units / EVENT_UNITS, by_slot, floor)


def _compute_checksum(customer_id: str, content: bytes) -> bytes:
    return zlib.crc32(content, zlib.crc32(customer_id.encode())).to_bytes(_CHECKSUM_BYTES)
