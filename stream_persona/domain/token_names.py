"""The names of tokens by slot, for people: no prediction depends on them.

What one shopper typed is nobody else's business. A token's name is shown once ``SHOWN_FROM`` known
customers carry that very token (``carried_names``), or if nobody's behaviour is needed to know it
(``public``). And a slot says nothing of *which* of its tokens a shopper carries: of a slot with
more than one, whether shown or not, no name is given as a reason.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

#: Most characters of a token's name; the rest of a longer one is not shown.
MAX_NAME: Final = 256
#: Carriers from which on a name is shown.
SHOWN_FROM: Final = 3
#: Carriers of a name that are remembered: as many deletions as are above ``SHOWN_FROM`` leave it
#: shown. With so many nothing more is recorded of it, and it costs nothing.
MOST_CARRIERS: Final = 8
#: Features whose values are not made by shoppers.
CLOSED: Final = ("hour", "weekday", "price", "quantity", "basket_size")
_CLOSED_TOKENS: Final = tuple(f"{feature}:" for feature in CLOSED)
#: No token is so: it stands for more than one.
_SEVERAL: Final = ""


class Name(NamedTuple):
    """A token as it was found: ``display`` is it as it came, ``token`` as all are compared."""

    slot: int
    token: str
    display: str


def make_name(slot: int, token: str, display: str) -> Name:
    """Make the name of a token; long ones are cut."""
    if len(token) > MAX_NAME or len(display) > MAX_NAME:
        token, display = drop_parts(token), drop_parts(display)
    return Name(slot, token, display)


class ShownName(Struct, frozen=True, order=True, array_like=True, gc=False):
    """A token that may be shown, and how many of its ``carriers`` are known."""

    slot: int
    token: str
    display: str
    carriers: int


class Listing(Struct, frozen=True, array_like=True):
    """All names that may be shown, and the slots that hold more than one token.

    ``deletions`` differs between listings from before and after a deletion that took carriers. Who
    has lost a name by it is shown the next listing, though it may have the same names.
    """

    names: tuple[ShownName, ...] = ()
    crowded: tuple[int, ...] = ()
    deletions: str = ""


class TokenNames:
    """The names to show of slots, and the names found that still need carriers.

    ``public`` are the tokens by slot that are shown always, and how, ``settled`` those that need no
    more carriers, with their slots, ``found`` the names of the last event that do. ``learned``
    moves whenever another name is shown, or one no more.
    """

    def __init__(self, public: Mapping[int, Mapping[str, str]] | None = None) -> None:
        self.public: Mapping[int, Mapping[str, str]] = public or {}
        self._public_tokens = {t: slot for slot, tokens in self.public.items() for t in tokens}
        self._listed: dict[str, ShownName] = {}
        self._by_slot: dict[int, dict[str, str]] = {}
        self._crowded: frozenset[int] = frozenset()
        #: The one token that this process has found in a slot since the last listing;
        #: ``_SEVERAL`` where there were more. The listing knows of them only after a while.
        self._seen: dict[int, str] = {}
        #: The same between the listing before and the last one, which may not know of these yet.
        self._seen_before: dict[int, str] = {}
        self.settled: Mapping[str, int] = self._public_tokens
        self._tokens: dict[int, tuple[str, ...]] = {}
        self._renamed: set[int] = set()
        self.found: list[Name] = []
        self.learned = 0
        for slot in self.public:
            self._rebuild(slot)

    @property
    def tokens(self) -> Mapping[int, tuple[str, ...]]:
        """Slot -> the names in it that may be shown, though perhaps not as a shopper's."""
        return self._tokens

    def find_sole_name(self, slot: int) -> str | None:
        """Return the name of a slot that holds no other token; None where nothing can be shown."""
        tokens = self._by_slot.get(slot, {})
        if len(tokens) != 1 or slot in self._crowded:
            return None
        ((token, display),) = tokens.items()
        is_alone = self._seen.get(slot, token) == token == self._seen_before.get(slot, token)
        return display if is_alone else None

    def name_slot(self, slot: int) -> str:
        """Name what a shopper with this slot carries; ``slot:17`` where nothing can be shown."""
        return self.find_sole_name(slot) or f"slot:{slot}"

    def join_names(self, slot: int) -> str:
        """Join the tokens of a slot that may be shown, as ``a | b``; or return ``slot:17``."""
        return " | ".join(sorted(self._by_slot.get(slot, ()))) or f"slot:{slot}"

    def note(self, name: Name) -> bool:
        """Note that an event has a token; whether enough is known of its name.

        If not, it is added to ``found``, and must be each time.
        """
        slot, token, _ = name
        seen = self._seen.get(slot)
        if seen != token:
            self._see(slot, token, seen)
        if self.settled.get(token) == slot or token.startswith(_CLOSED_TOKENS):
            return True
        self.found.append(name)
        return False

    def take_found(self) -> tuple[Name, ...]:
        """Return what was found since the last call that needs more carriers."""
        found, self.found = tuple(self.found), []
        return found

    def see(self, names: Iterable[tuple[int, str]]) -> None:
        """Note that others have found these slots and tokens."""
        for slot, token in names:
            seen = self._seen.get(slot)
            if seen != token:
                self._see(slot, token, seen)

    def take_renamed(self) -> set[int]:
        """Return the slots whose shown name has come, changed or gone since the last call."""
        renamed, self._renamed = self._renamed, set()
        return renamed

    def show(self, listing: Listing) -> None:
        """Show what is listed, and nothing else.

        What was found before the last listing, and is not in this one, is carried no more.
        """
        hidden = (slot for slot, seen in self._seen_before.items() if self._hides(slot, seen))
        found = {slot: self.find_sole_name(slot) for slot in hidden}
        listed, crowded = {name.token: name for name in listing.names}, frozenset(listing.crowded)
        moved = {slot for slot in crowded ^ self._crowded if slot in self._by_slot}
        for token, before in self._listed.items():
            name = listed.get(token)
            if name is None or (name.slot, name.display) != (before.slot, before.display):
                self._by_slot[before.slot].pop(token)
                moved.add(before.slot)
        for token, name in listed.items():
            if self._by_slot.setdefault(name.slot, {}).get(token) != name.display:
                self._by_slot[name.slot][token] = name.display
                moved.add(name.slot)
        self._listed, self._crowded = listed, crowded
        self._seen, self._seen_before = {}, self._seen
        moved |= {slot for slot, name in found.items() if self.find_sole_name(slot) != name}
        many = (each for each in listing.names if each.carriers >= MOST_CARRIERS)
        self.settled = {each.token: each.slot for each in many} | self._public_tokens
        self._note_renamed(moved)

    def lose(self, lost: Mapping[str, int]) -> None:
        """Count that tokens have lost carriers: some names are shown no more."""
        gone, reopened = set(), set()
        for token, carriers in lost.items():
            listed = self._listed.get(token)
            if listed is None:
                continue
            left = listed.carriers - carriers
            if left < MOST_CARRIERS and token not in self._public_tokens:
                reopened.add(token)
            if left < SHOWN_FROM:
                del self._listed[token]
                self._by_slot[listed.slot].pop(token)
                gone.add(listed.slot)
            else:
                self._listed[token] = ShownName(listed.slot, token, listed.display, left)
        if not reopened.isdisjoint(self.settled):
            self.settled = {t: at for t, at in self.settled.items() if t not in reopened}
        self._note_renamed(gone)

    def unsee(self, slots: Iterable[int]) -> None:
        """Forget which tokens were found in slots, where one of them is carried no more."""
        moved = set()
        for slot in slots:
            name = self.find_sole_name(slot)
            self._seen.pop(slot, None)
            self._seen_before.pop(slot, None)
            if self.find_sole_name(slot) != name:
                moved.add(slot)
        self._note_renamed(moved)

    def _see(self, slot: int, token: str, seen: str | None) -> None:
        """Note a token of a slot that is not the one ``seen`` there, if any."""
        if seen == _SEVERAL:
            return
        found = token if seen is None else _SEVERAL
        name = self.find_sole_name(slot) if self._hides(slot, found) else None
        self._seen[slot] = found
        if name is not None:
            self._note_renamed({slot})

    def _hides(self, slot: int, found: str) -> bool:
        """Whether a slot may be named, were it not for a token that was found in it."""
        names = () if slot in self._crowded else self._by_slot.get(slot, ())
        return bool(names) and found not in names

    def _rebuild(self, slot: int) -> None:
        """Put the names of one slot together anew: those of everybody's, and those listed."""
        tokens = self._by_slot.setdefault(slot, {})
        for token, display in self.public.get(slot, {}).items():
            tokens.setdefault(token, display)
        if tokens:
            self._tokens[slot] = tuple(sorted(tokens.values()))
        else:
            del self._by_slot[slot]
            self._tokens.pop(slot, None)

    def _note_renamed(self, slots: AbstractSet[int]) -> None:
        """Put the names of slots together anew, and note that they are others."""
        for slot in slots:
            self._rebuild(slot)
        self.learned += bool(slots)
        self._renamed |= slots


def drop_parts(name: str) -> str:
    """Cut a long name; at its end stands a hash, so that no two become one.

    >>> len(drop_parts("x" * 1_000)), drop_parts("brand:acme")
    (256, 'brand:acme')
    """
    if len(name) <= MAX_NAME:
        return name
    mark = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{name[: MAX_NAME - 1 - len(mark)]}…{mark}"
