"""Whether a shopper's items are ranked, and by what: the one decision of clients and API.

=============================  ===============================  ==================================
the shopper                    the persona's factor             ``fallback``
=============================  ===============================  ==================================
is held out                    none, nor that of own tastes     ``holdout``
has no persona                 none                             why the lookup has none
is ambiguous, with "mixture"   that of the distribution         None
has one, but no affinities     none                             ``unreachable``
has shares that are no numbers none                             ``unreadable``
has an assigned persona        that of the assigned one alone   None
has a predicted persona        that of the distribution         None
=============================  ===============================  ==================================

Own tastes are a factor of their own (``own_tastes``), off unless asked for, for anybody who is not
held out; ``own_fallback`` is why they moved nothing though they were. Without both factors the
items stay in the caller's order, with the caller's scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stream_persona.client import ranking
from stream_persona.client.models import (
    AMBIGUOUS,
    HOLDOUT,
    UNKNOWN,
    UNREACHABLE,
    UNREADABLE,
    Shopper,
)
from stream_persona.client.own_tastes import OFF, apply_own
from stream_persona.client.ranking import STRENGTH, Ranked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.client.own_tastes import Own
    from stream_persona.client.ranking import Affinities


#: What is done for ambiguous shoppers: keep the baseline, or rank by the mixture of their personas.
BASELINE, MIXTURE = "baseline", "mixture"
AMBIGUOUS_RANKINGS: Final = (BASELINE, MIXTURE)


class Choice(NamedTuple):
    """How a ranking is to be made: how far personas and own tastes move scores, and whose."""

    strength: float = STRENGTH
    own: float = 0.0
    ambiguous: str = BASELINE


class Ranking(NamedTuple):
    """Items for a shopper, the best first.

    ``fallback`` is why no persona has moved them, ``own_fallback`` why own tastes, though asked
    for, have not.
    """

    items: tuple[Ranked, ...]
    shopper: Shopper
    fallback: str | None = None
    own_fallback: str | None = None

    @property
    def order(self) -> list[Mapping[str, Any]]:
        """The caller's items in their new order."""
        return [ranked.item for ranked in self.items]


def hold_out(customer_id: str, share: float, salt: str) -> Shopper | None:
    """Return the shopper to rank for where a customer is held out; None for all others."""
    if not ranking.is_held_out(customer_id, share, salt):
        return None
    return Shopper(customer_id, fallback=HOLDOUT)


def uses_affinities(shopper: Shopper, ambiguous: str) -> bool:
    """Whether a shopper's items are moved by personas, as soon as affinities are known."""
    if shopper.persona is not None:
        return True
    return shopper.fallback == AMBIGUOUS and ambiguous == MIXTURE


def rank_for(
    shopper: Shopper,
    items: Sequence[Mapping[str, Any]],
    affinities: Affinities,
    strength: float,
    separator: str,
    *,
    own: Own = OFF,
    ambiguous: str = BASELINE,
) -> Ranking:
    """Rank items for a shopper who was looked up or held out."""
    mixture, fallback = find_mixture(shopper, affinities, ambiguous)
    if mixture is None:
        ranked = ranking.keep_order(items)
    else:
        ranked = ranking.rank(items, mixture, affinities, strength, separator)
    own_fallback = own.fallback
    if shopper.fallback == HOLDOUT and own.strength:
        own_fallback = HOLDOUT
    elif own.tastes is not None:
        ranked = apply_own(ranked, own, separator)
    return Ranking(tuple(ranked), shopper, fallback, own_fallback)


def find_mixture(
    shopper: Shopper, affinities: Affinities, ambiguous: str
) -> tuple[Mapping[str, float] | None, str | None]:
    """Return the shares of personas to rank by; or None, and the reason.

    Affinities of other personas than these move nothing either.
    """
    if not uses_affinities(shopper, ambiguous):
        return None, shopper.fallback or UNKNOWN
    if not affinities:
        return None, UNREACHABLE
    mixture = shopper.distribution
    if shopper.persona is not None and shopper.source == "assigned":
        mixture = {shopper.persona: 1.0}
    if any(not isinstance(share, int | float) for share in mixture.values()):
        return None, UNREADABLE
    if not affinities.has_any(mixture):
        return None, UNREACHABLE
    return mixture, None
