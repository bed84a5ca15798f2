"""Learning names of tokens that were stored: a slot that is not the token's own is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.domain.binning import canonical_token
from stream_persona.domain.slots import slot_of
from stream_persona.domain.token_names import MAX_NAME

if TYPE_CHECKING:
    from stream_persona.domain.token_names import TokenNames


def learn_stored(names: TokenNames, slot: int, token: str) -> bool:
    """Learn a name that was stored with a slot; False when it is known, or of another slot."""
    if token in names.tokens.get(slot, ()):
        return False
    shortened = len(token) >= MAX_NAME  # of these the slot is not known
    if not shortened and not is_of_slot(slot, token):
        return False
    return names.learn(slot, token)


def is_of_slot(slot: int, token: str) -> bool:
    """Whether a token is counted in a slot, or was before spellings were compared."""
    forms = {token, canonical_token(token)}
    return slot in {slot_of(form, fine=fine) for form in forms for fine in (False, True)}
