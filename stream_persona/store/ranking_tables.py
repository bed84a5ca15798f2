"""The part of the port that rankers read: affinities of personas, and shoppers' own tastes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from stream_persona.domain.common_tastes import encode_common
from stream_persona.model.explain import list_common_tastes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.token_names import TokenNames
    from stream_persona.model.predictor import Predictor


class RankingTables(Protocol):
    """What is stored for rankers; every method may raise ``UnavailableError``."""

    async def save_affinities(self, lifts: Mapping[str, Mapping[str, float]]) -> None:
        """Replace the affinities of personas."""
        ...

    async def remove_affinities(self, but: Collection[str]) -> None:
        """Remove the affinities of all personas ``but`` these: nobody renews them any more."""
        ...

    async def load_tastes(self, customers: Sequence[str]) -> dict[str, bytes]:
        """Read the own tastes of those customers who have stored ones."""
        ...

    async def save_common_tastes(self, fields: Mapping[str, str]) -> None:
        """Replace the common shares that tastes are compared with; no fields: remove them."""
        ...

    async def remove_tastes(self) -> None:
        """Remove the common shares, then the tastes of all customers: nobody renews them."""
        ...


async def save_common(
    tables: RankingTables, predictor: Predictor, names: TokenNames, taxonomy: Taxonomy
) -> None:
    """Store the common shares of the categories and types whose names may be shown.

    Raises:
        UnavailableError: Redis stayed away.
    """
    shares = list_common_tastes(predictor, taxonomy, names)
    await tables.save_common_tastes(encode_common(shares, taxonomy.version))
