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
from stream_persona.client.decision import Choice, find_mixture, rank_for, uses_affinities
from stream_persona.client.models import HOLDOUT
from stream_persona.client.own_tastes import OFF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from stream_persona.api.rank import Ranker
    from stream_persona.api.shop.catalogue import Catalogue
    from stream_persona.api.shop.catalogue_file import CatalogueFile
    from stream_persona.api.shop.likings import Likings, LikingsReader
    from stream_persona.client.models import Shopper
    from stream_persona.client.own_tastes import Own


@dataclass(frozen=True)
class Asked:
    """What a request asks for.

    ``choice`` is as in ``POST /v1/rank``; ``exclude`` are ids of products that are not wanted.
    """

    customer_id: str
    limit: int
    choice: Choice
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
        if uses_affinities(shopper, asked.choice.ambiguous):
            likings = await self._likings.find(catalogue)
            catalogue = likings.catalogue or catalogue
        own = await self._ranker.load_own(shopper, asked.choice.own)
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
    choice = asked.choice
    known = (catalogue.positions.get(name) for name in asked.exclude)
    excluded = np.array(sorted({each for each in known if each is not None}), np.int32)
    mixture, _ = find_mixture(shopper, likings.affinities, choice.ambiguous)
    factors = _find_factors(likings, mixture, choice.strength, own.factors)
    chosen = choose(catalogue.scores, factors, asked.limit, excluded)
    items = [catalogue.decode_item(position) for position in chosen.tolist()]
    ranking = rank_for(
        shopper, items, likings.affinities, choice.strength, catalogue.separator,
        own=own.tastes, ambiguous=choice.ambiguous,
    )  # fmt: skip
    places = chosen - np.searchsorted(excluded, chosen)
    return {
        "customer_id": asked.customer_id,
        "persona": shopper.persona,
        "fallback": ranking.fallback,
        "group": "holdout" if ranking.fallback == HOLDOUT else "treatment",
        "strength": choice.strength,
        "own": own.tastes.strength,
        "own_fallback": ranking.own_fallback,
        "ambiguous": choice.ambiguous,
        "items": [
            as_dict(ranked._replace(position=int(places[ranked.position])))
            for ranked in ranking.items[: asked.limit]
        ],
    }


def _find_factors(
    likings: Likings,
    mixture: Mapping[str, float] | None,
    strength: float,
    own: NDArray[np.float64] | None,
) -> NDArray[np.float64] | None:
    """Return by what the score of each product is multiplied; None where nothing moves any."""
    if mixture is None:
        return own
    liked = likings.mix(mixture) ** strength
    return liked if own is None else liked * own
