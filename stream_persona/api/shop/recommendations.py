"""``GET /v1/recommendations/{customer_id}``: the products of the catalogue that suit a shopper.

The answer is what ``POST /v1/rank`` gives for all products at once, in the order of their
popularity: its order, and its figures. What may come first for a shopper is chosen by ``likings``,
and then ranked as ``/v1/rank`` does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stream_persona.api.rank import as_dict
from stream_persona.api.shop.likings import NO_LIKINGS, choose
from stream_persona.api.shop.own_factors import OwnFactors
from stream_persona.client.decision import BASELINE, rank_for, uses_affinities
from stream_persona.client.models import HOLDOUT
from stream_persona.client.own_tastes import OFF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stream_persona.api.rank import Ranker
    from stream_persona.api.shop.catalogue import Catalogue
    from stream_persona.api.shop.catalogue_file import CatalogueFile
    from stream_persona.api.shop.likings import Likings, LikingsReader
    from stream_persona.client.decision import Ranking
    from stream_persona.client.models import Shopper
    from stream_persona.client.own_tastes import Own


@dataclass(frozen=True)
class Asked:
    """What a request asks for.

    ``strength``, ``own`` and ``ambiguous`` are as in ``POST /v1/rank``; ``exclude`` are ids of
    products that are not wanted.
    """

    customer_id: str
    limit: int
    strength: float
    own: float = 0.0
    ambiguous: str = BASELINE
    exclude: Sequence[str] = ()


class Recommender:
    """Recommends by the public record of a customer, the catalogue and the model in use."""

    def __init__(self, catalogue: CatalogueFile, ranker: Ranker, likings: LikingsReader) -> None:
        self._catalogue = catalogue
        self._ranker = ranker
        self._likings = likings
        self._own = OwnFactors()

    async def recommend(self, asked: Asked) -> dict[str, Any]:
        """Answer a request.

        Raises:
            HTTPException: 404, no catalogue is set.
            DecodeError: the customer id is malformed.
            UnavailableError: Redis stayed away.
        """
        catalogue, likings = self._catalogue.get(), NO_LIKINGS
        shopper = await self._ranker.find_shopper(asked.customer_id)
        if uses_affinities(shopper, asked.ambiguous):
            likings = await self._likings.find(catalogue)
            catalogue = likings.catalogue or catalogue
        own = await self._ranker.load_own(shopper, asked.own)
        factors = await self._own.find(catalogue, own)
        return recommend(catalogue, likings, shopper, asked, OwnFactor(own, factors))


class OwnFactor(NamedTuple):
    """A shopper's own tastes, and by what they multiply the score of each product, if any."""

    tastes: Own = OFF
    factors: NDArray[np.float64] | None = None


def recommend(
    catalogue: Catalogue,
    likings: Likings,
    shopper: Shopper,
    asked: Asked,
    own: OwnFactor = OwnFactor(),  # noqa: B008 - immutable
) -> dict[str, Any]:
    """Return the answer; a product's position is its place among those that are wanted."""
    known = (catalogue.positions.get(name) for name in asked.exclude)
    excluded = np.array(sorted({each for each in known if each is not None}), np.int32)
    factors = _find_factors(likings, shopper, asked, own)
    chosen = choose(catalogue.scores, factors, asked.limit, excluded)
    items = [catalogue.item(position) for position in chosen.tolist()]
    ranking = _rank(likings, shopper, items, catalogue.separator, asked, own)
    places = chosen - np.searchsorted(excluded, chosen)
    return {
        "customer_id": asked.customer_id,
        "persona": shopper.persona,
        "fallback": ranking.fallback,
        "group": "holdout" if ranking.fallback == HOLDOUT else "treatment",
        "strength": asked.strength,
        "own": own.tastes.strength,
        "own_fallback": ranking.own_fallback,
        "ambiguous": asked.ambiguous,
        "items": [
            as_dict(ranked._replace(position=int(places[ranked.position])))
            for ranked in ranking.items[: asked.limit]
        ],
    }


def _rank(
    likings: Likings, shopper: Shopper, items: Sequence[dict[str, Any]], separator: str,
    asked: Asked, own: OwnFactor,
) -> Ranking:  # fmt: skip
    return rank_for(
        shopper, items, likings.affinities, asked.strength, separator,
        own=own.tastes, ambiguous=asked.ambiguous,
    )  # fmt: skip


def _find_factors(
    likings: Likings, shopper: Shopper, asked: Asked, own: OwnFactor
) -> NDArray[np.float64] | None:
    """Return by what the score of each product is multiplied; None where nothing moves any."""
    if _rank(likings, shopper, (), "/", asked, own).fallback is not None:
        return own.factors
    alone = {shopper.persona or "": 1.0}
    shares = alone if shopper.source == "assigned" else shopper.distribution
    liked = likings.mix(shares) ** asked.strength
    return liked if own.factors is None else liked * own.factors
