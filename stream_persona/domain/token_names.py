"""The names of tokens by slot, for people: no prediction depends on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream_persona.domain.binning import canonical_token

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Most characters of a token's name; the rest of a longer one is not shown.
MAX_NAME: Final = 256
#: Most names of one slot: a third token of it is not shown.
_MAX_SHARED: Final = 2


class TokenNames:
    """Remembers which tokens were seen in which slot, each as it came first.

    ``learned`` counts the names, so that it moves whenever there is a new one.
    """

    def __init__(self) -> None:
        self._tokens: dict[int, tuple[str, ...]] = {}
        self._new: list[tuple[int, str]] = []
        self.learned = 0

    @property
    def tokens(self) -> Mapping[int, tuple[str, ...]]:
        """Slot -> the tokens seen in it; more than one where two share it."""
        return self._tokens

    def name(self, slot: int) -> str:
        """The token of a slot, ``a | b`` where two share it, ``slot:17`` where none is known."""
        return " | ".join(self._tokens.get(slot, (f"slot:{slot}",)))

    def learn(self, slot: int, token: str) -> bool:
        """Remember a token's name; False when it is known or the slot shows two already.

        It is known in any spelling.
        """
        known = self._tokens.get(slot, ())
        if token in known or len(known) >= _MAX_SHARED:
            return False
        if known and canonical_token(token) in map(canonical_token, known):
            return False
        self._tokens[slot] = tuple(sorted((*known, token)))
        self.learned += 1
        return True

    def discover(self, slot: int, token: str, display: str) -> None:  # noqa: ARG002
        """Learn the name of a token that was just read; a new one is kept for ``take_new``.

        ``token`` is its canonical form, ``display`` the one in which it came.
        """
        name = display if len(display) <= MAX_NAME else f"{display[: MAX_NAME - 1]}…"
        if self.learn(slot, name):
            self._new.append((slot, name))

    def take_new(self) -> list[tuple[int, str]]:
        """Return slots and names discovered since the last call: others have yet to learn them."""
        new, self._new = self._new, []
        return new
