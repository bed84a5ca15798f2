"""By what a shopper's own tastes multiply the score of each product of a catalogue.

The arithmetic is that of ``client.own_tastes``, for all products at once: it chooses what may come
first, which is then ranked exactly.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from stream_persona.client.own_tastes import LEAST_LOG, MOST_LOG, PRIOR_EVENTS
from stream_persona.domain.slots import SLOTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from stream_persona.api.shop.catalogue import Catalogue
    from stream_persona.client.own_tastes import Own
    from stream_persona.domain.common_tastes import CommonShare
    from stream_persona.domain.taste_bytes import StoredTastes


class _TasteTokens(NamedTuple):
    """Which tastes the products of a catalogue have: ``products[i]`` has ``tokens[rows[i]]``."""

    catalogue: Catalogue | None
    tokens: tuple[str, ...]
    products: NDArray[np.int32]
    rows: NDArray[np.int32]
    #: The root of the number of its tastes, by product.
    root: NDArray[np.float64]


_NONE: Final = _TasteTokens(None, (), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0))


class OwnFactors:
    """Computes the factors; keeps which products have which tastes until these are others."""

    def __init__(self) -> None:
        self._last = _NONE
        self._lock = asyncio.Lock()

    async def find(self, catalogue: Catalogue, own: Own) -> NDArray[np.float64] | None:
        """Return the factor of each product by position; None where own tastes move nothing."""
        if own.tastes is None or own.common is None or not own.strength:
            return None
        shares = own.common.shares
        async with self._lock:
            last = self._last
            if last.catalogue is not catalogue or last.tokens != tuple(shares):
                last = self._last = await asyncio.to_thread(_find_tastes, catalogue, shares)
        return _compute(last, own.tastes, shares, own.strength)


def _find_tastes(catalogue: Catalogue, shares: Mapping[str, CommonShare]) -> _TasteTokens:
    tokens = tuple(shares)
    known = {token: number for number, token in enumerate(tokens)}
    products, rows = catalogue.features.find_first(known)
    counts = np.bincount(products, minlength=len(catalogue))
    return _TasteTokens(catalogue, tokens, products, rows, np.sqrt(np.maximum(counts, 1)))


def _compute(
    found: _TasteTokens, tastes: StoredTastes, shares: Mapping[str, CommonShare], strength: float
) -> NDArray[np.float64]:
    slots = np.array([shares[token].slot for token in found.tokens], np.int64)
    common = np.array([shares[token].share for token in found.tokens])
    by_slot = np.full(SLOTS, np.nan)
    by_slot[list(tastes.shares)] = list(tastes.shares.values())
    own = by_slot[slots]
    own = np.where(np.isnan(own), np.minimum(common, tastes.floor), own)
    events = tastes.events
    logs = np.log((events * own + PRIOR_EVENTS * common) / ((events + PRIOR_EVENTS) * common))
    totals = np.bincount(found.products, logs[found.rows], len(found.root)) / found.root
    return np.asarray(np.exp(np.clip(totals, LEAST_LOG, MOST_LOG) * strength))
