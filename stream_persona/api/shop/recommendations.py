"""``GET /v1/recommendations/{customer_id}``: the products of the catalogue that suit a shopper.

The answer is what ``POST /v1/rank`` gives for all products at once, in the order of their
popularity: its order, and its figures. What may come first for a shopper is chosen by ``likings``,
and then ranked as ``/v1/rank`` does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stream_persona.api.rank import as_dict
from stream_persona.api.shop.likings import NO_LIKINGS, choose
from stream_persona.client.decision import rank_for
from stream_persona.client.models import HOLDOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stream_persona.api.rank import Ranker
    from stream_persona.api.shop.catalogue import Catalogue
    from stream_persona.api.shop.catalogue_file import CatalogueFile
    from stream_persona.api.shop.likings import Likings, LikingsReader
    from stream_persona.client.decision import Ranking
    from stream_persona.client.models import Shopper


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
    ambiguous: str = "baseline"
    exclude: Sequence[str] = ()


class Recommender:
    """Recommends by the public record of a customer, the catalogue and the model in use."""

    def __init__(self, catalogue: CatalogueFile, ranker: Ranker, likings: LikingsReader) -> None:
        self._catalogue = catalogue
        self._ranker = ranker
        self._likings = likings

    async def recommend(self, asked: Asked) -> dict[str, Any]:
        """Answer a request.

        Raises:
            HTTPException: 404, no catalogue is set.
            DecodeError: the customer id is malformed.
            UnavailableError: Redis stayed away.
        """
        catalogue, likings = self._catalogue.get(), NO_LIKINGS
        shopper = await self._ranker.find_shopper(asked.customer_id)
        if shopper.persona is not None:
            likings = await self._likings.find(catalogue)
            catalogue = likings.catalogue or catalogue
        return recommend(catalogue, likings, shopper, asked)


def recommend(
    catalogue: Catalogue, likings: Likings, shopper: Shopper, asked: Asked
) -> dict[str, Any]:
    """Return the answer; a product's position is its place among those that are wanted."""
    known = (catalogue.positions.get(name) for name in asked.exclude)
    excluded = np.array(sorted({each for each in known if each is not None}), np.int32)
    ranking, chosen = _rank(catalogue, likings, shopper, asked, excluded)
    places = chosen - np.searchsorted(excluded, chosen)
    return {
        "customer_id": asked.customer_id,
        "persona": shopper.persona,
        "fallback": ranking.fallback,
        "group": "holdout" if ranking.fallback == HOLDOUT else "treatment",
        "strength": asked.strength,
        "own": 0.0,
        "items": [
            {"own": 1.0, "why_own": []}
            | as_dict(ranked._replace(position=int(places[ranked.position])))
            for ranked in ranking.items[: asked.limit]
        ],
    }


def _rank(
    catalogue: Catalogue, likings: Likings, shopper: Shopper, asked: Asked,
    excluded: NDArray[np.int32],
) -> tuple[Ranking, NDArray[np.int32]]:  # fmt: skip
    """Rank what may come first; return that too, in the order of popularity."""
    affinities, separator = likings.affinities, catalogue.separator
    fallback = rank_for(shopper, (), affinities, asked.strength, separator).fallback
    factors = find_own_factors(catalogue, shopper)
    if fallback is None:
        own_persona = {shopper.persona or "": 1.0}
        shares = own_persona if shopper.source == "assigned" else shopper.distribution
        liked = likings.mix(shares) ** asked.strength
        factors = liked if factors is None else liked * factors
    chosen = choose(catalogue.scores, factors, asked.limit, excluded)
    items = [catalogue.item(position) for position in chosen.tolist()]
    return rank_for(shopper, items, affinities, asked.strength, separator), chosen


def find_own_factors(catalogue: Catalogue, shopper: Shopper) -> NDArray[np.float64] | None:  # noqa: ARG001
    """Return by what a shopper's own tastes multiply the score of each product; None for none.

    What is chosen by it has to be ranked by it as well, which ``rank_for`` does.
    """
    return None
