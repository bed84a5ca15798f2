"""Whether a shopper's items are ranked, and by what: the one decision of clients and API.

=============================  ==========================  =====================================
the shopper                    the items                   ``fallback``
=============================  ==========================  =====================================
is held out                    stay in the caller's order  ``holdout``
has no persona                 stay in the caller's order  why the lookup has none
has one, without affinities    stay in the caller's order  ``unreachable``
has shares that are no numbers stay in the caller's order  ``unreadable``
has an assigned persona        ranked by that one alone    None
has a predicted persona        ranked by the distribution  None
=============================  ==========================  =====================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stream_persona.client import ranking
from stream_persona.client.models import HOLDOUT, UNKNOWN, UNREACHABLE, UNREADABLE, Shopper
from stream_persona.client.ranking import Ranked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.client.ranking import Affinities


class Ranking(NamedTuple):
    """Items for a shopper, the best first; ``fallback`` is why they keep the caller's order."""

    items: tuple[Ranked, ...]
    shopper: Shopper
    fallback: str | None = None

    @property
    def order(self) -> list[Mapping[str, Any]]:
        """The caller's items in their new order."""
        return [ranked.item for ranked in self.items]


def hold_out(customer_id: str, share: float, salt: str) -> Shopper | None:
    """Return the shopper to rank for where a customer is held out; None for all others."""
    if not ranking.in_holdout(customer_id, share, salt):
        return None
    return Shopper(customer_id, fallback=HOLDOUT)


def rank_for(
    shopper: Shopper,
    items: Sequence[Mapping[str, Any]],
    affinities: Affinities,
    strength: float,
    separator: str,
) -> Ranking:
    """Rank items for a shopper who was looked up or held out."""
    if shopper.persona is None:
        return _baseline(shopper, items, shopper.fallback or UNKNOWN)
    if not affinities:
        return _baseline(shopper, items, UNREACHABLE)
    is_assigned = shopper.source == "assigned"
    distribution = {shopper.persona: 1.0} if is_assigned else shopper.distribution
    if any(not isinstance(share, int | float) for share in distribution.values()):
        return _baseline(shopper, items, UNREADABLE)
    ranked = ranking.rank(items, distribution, affinities, strength, separator)
    return Ranking(tuple(ranked), shopper)


def _baseline(shopper: Shopper, items: Sequence[Mapping[str, Any]], fallback: str) -> Ranking:
    return Ranking(tuple(ranking.keep_order(items)), shopper, fallback)
