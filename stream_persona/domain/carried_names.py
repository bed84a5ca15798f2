"""Which customers carry which tokens: carriers decide which names are shown; deletions remove them.

A partition's owner keeps, of each token that its customers carried, its name and a few of those
who carried it, as short hashes. With an event its tokens gain a carrier; with a deletion every
token loses the customer, and a token that nobody carries any more is gone. ``merge`` adds the
partitions up to what may be shown to people (``token_names``).

Only so many names are kept. A new one takes the place of the oldest that few carry, and finds none
where many carry all of them. Of one that is not kept nothing is left but its slot, since what is in
a slot beside a name decides whether it is shown.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import Struct

from stream_persona.domain.slots import hash_to_slot
from stream_persona.domain.token_names import (
    MAX_NAME,
    MOST_CARRIERS,
    SHOWN_FROM,
    Listing,
    Name,
    ShownName,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

#: Most names of all partitions together; of a single one there are at least ``_LEAST_ROOM``.
MOST_NAMES: Final = 100_000
_LEAST_ROOM: Final = 1_000
#: The field that counts changes, and what fields of slots without names begin with.
VERSION: Final = "version"
_SLOT: Final = "slot-"

_FIELD_BYTES: Final = 8
_CARRIER_BYTES: Final = 4


class CarriedName(Struct, frozen=True, array_like=True, gc=False):
    """A token with some of its carriers; the first one wrote ``display``."""

    slot: int
    token: str
    display: str
    carriers: tuple[int, ...]


_decoder = msgspec.msgpack.Decoder(CarriedName)


class NamesChange(NamedTuple):
    """What a batch changes: fields to store (None: to remove), and tokens that lost carriers.

    ``emptied`` are the slots of tokens that nobody carries any more.
    """

    fields: dict[str, bytes | None]
    lost: dict[str, int]
    emptied: set[int]


def compute_room(partitions: int) -> int:
    """Return the most names of one of so many partitions."""
    return max(_LEAST_ROOM, MOST_NAMES // partitions)


class CarriedNames:
    """The names of one partition; right only for as long as it is claimed.

    ``crowded`` are the slots of names that were evicted, or never kept.
    """

    def __init__(self, most: int, claim: int = 0) -> None:
        """Keep at most so many names; ``claim`` distinguishes versions of different owners."""
        self._most = most
        self._claim = claim
        self._changes = self._deletions = 0
        self._names: dict[str, CarriedName] = {}
        #: Tokens with too few carriers here to be shown, oldest first: these are evicted first.
        self._few: dict[str, None] = {}
        self.crowded: set[int] = set()

    @classmethod
    def load(cls, stored: Mapping[str, bytes], most: int, claim: int = 0) -> CarriedNames:
        """Load what was stored, field by field; damaged fields are left out."""
        loaded = cls(most, claim)
        for name in decode_names(stored):
            loaded._put(name)
        loaded.crowded = set(decode_crowded(stored))
        return loaded

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[CarriedName]:
        return iter(self._names.values())

    @property
    def version(self) -> str:
        """A text that moves with each change; ``read_deletions_version`` reads what is urgent."""
        return f"{self._claim} {self._changes} {self._deletions}"

    def apply(
        self, carried: Mapping[str, Sequence[Name]], forgotten: Collection[str] = ()
    ) -> NamesChange:
        """Forget customers, then add what customers carry."""
        changed, crowded = set[str](), set[int]()
        fields: dict[str, bytes | None] = {}
        emptied: set[int] = set()
        lost = self._forget({_hash(each) for each in forgotten}, emptied) if forgotten else {}
        self._deletions += bool(lost)
        changed |= lost.keys()
        for customer, names in carried.items():
            carrier = _hash(customer)
            for name in names:
                if self._add(name, carrier, crowded):
                    changed.add(name.token)
        while len(self._names) > self._most:
            gone = self._names[next(iter(self._few))]
            self._remove(gone.token)
            changed.add(gone.token)
            crowded.add(gone.slot)
        fields |= {f"{_SLOT}{slot}": b"1" for slot in crowded - self.crowded}
        self.crowded |= crowded
        if changed or fields:
            self._changes += 1
            fields |= {_name_field(token): self._encode(token) for token in sorted(changed)}
            fields[VERSION] = self.version.encode()
        return NamesChange(fields, lost, emptied)

    def _add(self, name: Name, carrier: int, crowded: set[int]) -> bool:
        """Add a carrier; return whether the name changes. One without room makes its slot crowded.

        It finds none where no kept name has few enough carriers to be evicted.
        """
        token = name.token
        known = self._names.get(token)
        if known is None:
            if len(self._names) - len(self._few) >= self._most:
                crowded.add(name.slot)
                return False
            self._put(CarriedName(name.slot, token, name.display, (carrier,)))
            return True
        if name.slot != known.slot:  # another taxonomy reads it as a feature of fewer values
            known = msgspec.structs.replace(known, slot=name.slot)
            self._put(known)
            return self._add(name, carrier, crowded) or True
        if carrier in known.carriers or len(known.carriers) >= MOST_CARRIERS:
            return False
        self._put(msgspec.structs.replace(known, carriers=(*known.carriers, carrier)))
        return True

    def _forget(self, gone: set[int], emptied: set[int]) -> dict[str, int]:
        """Take customers out of all names; return how many each token has lost.

        A display form that a removed customer wrote is replaced by the canonical form.
        """
        lost: dict[str, int] = {}
        for known in [each for each in self if not gone.isdisjoint(each.carriers)]:
            left = tuple(each for each in known.carriers if each not in gone)
            lost[known.token] = len(known.carriers) - len(left)
            if left:
                display = known.display if left[0] == known.carriers[0] else known.token
                self._put(CarriedName(known.slot, known.token, display, left))
            else:
                self._remove(known.token)
                emptied.add(known.slot)
        return lost

    def _put(self, name: CarriedName) -> None:
        self._names[name.token] = name
        if len(name.carriers) >= SHOWN_FROM:
            self._few.pop(name.token, None)
        else:
            self._few.setdefault(name.token)

    def _remove(self, token: str) -> None:
        del self._names[token]
        self._few.pop(token, None)

    def _encode(self, token: str) -> bytes | None:
        name = self._names.get(token)
        return None if name is None else msgspec.msgpack.encode(name)


def merge(
    partitions: Iterable[tuple[Iterable[CarriedName], Iterable[int]]],
    public: Mapping[int, Collection[str]],
    versions: Iterable[str] = (),
) -> Listing:
    """Add up the names and crowded slots of all partitions to what may be shown.

    ``public`` are the names, by slot, that nobody's behaviour has to show; ``versions`` those of
    the partitions.
    """
    known: dict[str, CarriedName] = {}
    carriers: dict[str, int] = {}
    crowded: set[int] = set()
    for names, slots in partitions:
        crowded.update(slots)
        for name in names:
            first = known.setdefault(name.token, name)
            if len(name.carriers) > len(first.carriers):
                known[name.token] = name
            carriers[name.token] = carriers.get(name.token, 0) + len(name.carriers)
    held = {slot: len(tokens) for slot, tokens in public.items()}
    for name in known.values():
        if name.token not in public.get(name.slot, ()):  # one that another taxonomy made public
            held[name.slot] = held.get(name.slot, 0) + 1
    crowded.update(slot for slot, count in held.items() if count > 1)
    shown = [
        ShownName(name.slot, name.token, name.display, carriers[name.token])
        for name in known.values()
        if carriers[name.token] >= SHOWN_FROM
    ]
    deletions = ", ".join(map(read_deletions_version, versions))
    return Listing(tuple(sorted(shown)), tuple(sorted(crowded)), _mark(deletions))


def decode_names(stored: Mapping[str, bytes]) -> Iterator[CarriedName]:
    """Yield what is stored of names; what is damaged, or of another slot or field, is left out."""
    for field, blob in stored.items():
        if field == VERSION or field.startswith(_SLOT):
            continue
        try:
            name = _decoder.decode(blob)
        except msgspec.DecodeError:
            continue
        is_cut = len(name.token) >= MAX_NAME  # of these the slot is not known
        slots = (
            {hash_to_slot(name.token, fine=fine) for fine in (False, True)} if not is_cut else set()
        )
        if field == _name_field(name.token) and (is_cut or name.slot in slots):
            yield name


def decode_crowded(stored: Mapping[str, bytes]) -> Iterator[int]:
    """Yield the slots of names that had to make room."""
    for field in stored:
        number = field.removeprefix(_SLOT)
        if number != field and number.isdecimal():
            yield int(number)


def read_deletions_version(version: str) -> str:
    """Return the part of a version that changes with deletions and owners alone."""
    claim, _, deletions = (*version.split(), "", "", "")[:3]
    return f"{claim} {deletions}"


def _mark(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=_FIELD_BYTES).hexdigest()


def _hash(customer: str) -> int:
    digest = hashlib.blake2b(
        customer.encode(), digest_size=_CARRIER_BYTES, person=b"carrier"
    ).digest()
    return int.from_bytes(digest)


def _name_field(token: str) -> str:
    """Return the field of a token: short, and without blanks."""
    return hashlib.blake2b(token.encode(), digest_size=_FIELD_BYTES, person=b"token").hexdigest()
