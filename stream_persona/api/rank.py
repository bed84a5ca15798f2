"""``POST /v1/rank``: a caller's items in the order that suits a shopper, as the client's ``rank``.

The decision is that of ``client.decision``. Affinities are those of the model in use, the same that
workers write to ``persona-affinity:*``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictStr

from stream_persona.api.own_tastes import OwnTastesReader
from stream_persona.api.public_records import load_public_record
from stream_persona.client.decision import Choice, hold_out, rank_for, uses_affinities
from stream_persona.client.models import HOLDOUT, UNKNOWN, Shopper, parse_shopper
from stream_persona.client.own_tastes import BESIDE_BASKET, MOST_OWN, RECOMMENDED, Own
from stream_persona.client.ranking import MOST_STRENGTH, STRENGTH, Affinities
from stream_persona.domain.events import MAX_ATTRIBUTES, MAX_ID_BYTES, check_id, encode
from stream_persona.domain.identity import NobodyIds
from stream_persona.errors import DamagedRecordError, QueryError
from stream_persona.model.explain import compute_affinities

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_persona.api.model_reader import ModelReader
    from stream_persona.client.decision import Ranking
    from stream_persona.client.ranking import Ranked, Reason
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.predictor import Predictor
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables

logger = logging.getLogger(__name__)

#: Most items of a request.
MOST_ITEMS: Final = 1_000
#: Seconds that a request waits for affinities of a new model before it uses those of the last one.
PATIENCE: Final = 0.05
#: Most of a score or a price, so that no product of them overflows.
MOST_NUMBER: Final = 1e100
#: Most characters of a text.
MOST_TEXT: Final = 1_024

EXAMPLE: Final[dict[str, JsonValue]] = {
    "customer_id": "CUST-04812",
    "items": [
        {"product_id": "P-1", "category": "books/novels", "price": 12.0, "score": 0.9},
        {"product_id": "P-17", "category": "baby/diapers", "brand": "Tiny", "score": 0.8},
    ],
    "strength": 1.0,
}

_Text = Annotated[StrictStr, Field(max_length=MOST_TEXT)]


class RankItem(BaseModel):
    """An item with the fields of an event's item; other fields come back as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, JsonValue]

    product_id: Annotated[StrictStr, Field(max_length=MAX_ID_BYTES)] | None = None
    category: Annotated[
        _Text | None, Field(description="Its levels joined, as in events: `baby/diapers`.")
    ] = None
    brand: _Text | None = None
    price: Annotated[
        float | None, Field(strict=True, ge=0, le=MOST_NUMBER, description="Of one piece.")
    ] = None
    attributes: Annotated[dict[_Text, _Text] | None, Field(max_length=MAX_ATTRIBUTES)] = None
    score: Annotated[
        float | None,
        Field(
            strict=True,
            ge=-MOST_NUMBER,
            le=MOST_NUMBER,
            description="The caller's own; the inverse of the item's place without it.",
        ),
    ] = None


class RankRequest(BaseModel):
    """Items to put into the order that suits a customer."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": EXAMPLE})

    customer_id: Annotated[StrictStr, Field(max_length=MAX_ID_BYTES)]
    items: Annotated[tuple[RankItem, ...], Field(min_length=1, max_length=MOST_ITEMS)]
    strength: Annotated[
        float,
        Field(
            strict=True,
            ge=0,
            le=MOST_STRENGTH,
            description="How far the shopper's personas move scores; 0 moves none.",
        ),
    ] = STRENGTH
    own: Annotated[
        float,
        Field(
            strict=True,
            ge=0,
            le=MOST_OWN,
            description="How far the shopper's own tastes move scores; 0 moves none. We recommend "
            f"{RECOMMENDED} for a search and for recommendations, {BESIDE_BASKET} beside a basket.",
        ),
    ] = 0.0
    ambiguous: Annotated[
        Literal["baseline", "mixture"] | None,
        Field(
            description="Whether personas move no item of an ambiguous shopper, or the mixture of "
            "their personas does; by default as the API is set, else `baseline`."
        ),
    ] = None

    def list_items(self) -> list[dict[str, Any]]:
        """Return the items as they come back."""
        return [item.model_dump(exclude_unset=True) for item in self.items]


class Ranker:
    """Ranks by the public record of a customer and the model in use."""

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, tables: Tables, reader: ModelReader
    ) -> None:
        self._holdout, self._salt = settings.rank_holdout, settings.rank_salt
        self._separator = taxonomy.features.category_separator
        self._nobody = NobodyIds(settings.nobody)
        self._taxonomy = taxonomy
        self._tables = tables
        self._reader = reader
        self._ambiguous = settings.rank_ambiguous
        self._own = OwnTastesReader(taxonomy, tables, reader)
        self._derivation: asyncio.Task[None] | None = None
        self._derived_from: tuple[str, int] | None = None
        self._affinities = Affinities({})

    async def rank(self, request: RankRequest) -> bytes:
        """Rank a request's items; return the answer as JSON.

        Raises:
            DecodeError: the customer id is malformed.
            QueryError: an item holds what can't be sent back.
            UnavailableError: Redis stayed away.
        """
        shopper = await self._look_up(request.customer_id)
        choice = self.choose(request.strength, request.own, request.ambiguous)
        if uses_affinities(shopper, choice.ambiguous):
            await self._renew_affinities()
        own = await self.load_own(shopper, choice.own)
        items = request.list_items()
        ranking = rank_for(
            shopper, items, self._affinities, choice.strength, self._separator,
            own=own, ambiguous=choice.ambiguous,
        )  # fmt: skip
        return _encode(ranking, choice)

    def choose(self, strength: float, own: float, ambiguous: str | None) -> Choice:
        """Return how a request is ranked: what it says nothing of is as the API is set."""
        return Choice(strength, own, ambiguous or self._ambiguous)

    async def load_own(self, shopper: Shopper, strength: float) -> Own:
        """Load a shopper's own tastes.

        Raises:
            UnavailableError: Redis stayed away.
            TopologyError: the record was folded by another taxonomy's half-life.
        """
        if strength and shopper.customer_id in self._nobody:
            return Own(strength, fallback=UNKNOWN)
        return await self._own.load(shopper, strength)

    async def find_shopper(self, customer_id: str) -> Shopper:
        """Return a customer as rankings take them, the hold-out included.

        Raises:
            DecodeError: the customer id is malformed.
            UnavailableError: Redis stayed away.
        """
        return await self._look_up(customer_id)

    async def find_affinities(self) -> tuple[tuple[str, int] | None, Affinities]:
        """Return the affinities of the model in use, or the last ones while deriving takes long.

        Before them is what they were derived from: the model's version and the names learned.
        """
        await self._renew_affinities()
        return self._derived_from, self._affinities

    async def _look_up(self, customer_id: str) -> Shopper:
        if customer_id in self._nobody:
            return Shopper(customer_id)
        check_id(customer_id)
        held_out = hold_out(customer_id, self._holdout, self._salt)
        if held_out is not None:
            return held_out
        try:
            record = await load_public_record(self._tables, customer_id, self._taxonomy)
        except DamagedRecordError:
            record = b""  # which nobody can read
        return parse_shopper(customer_id, record)

    async def _renew_affinities(self) -> None:
        """Use the affinities of the model in use, or the last ones while deriving takes long."""
        await self._reader.load_names()
        weights, names = self._reader.model.weights, self._reader.names
        source = (weights.version, names.learned)
        if self._derived_from != source and self._derivation is None:
            # Other names may be shown while the thread runs, which would move what it reads.
            shown = {slot: names.join_names(slot) for slot in weights.weighted_slots.tolist()}
            self._derivation = asyncio.create_task(self._derive(source, weights, shown))
            self._derivation.add_done_callback(_log_failure)
        if (derivation := self._derivation) is not None:
            timeout = PATIENCE if self._derived_from else None
            await asyncio.wait([derivation], timeout=timeout)
            if self._derived_from is None:
                derivation.result()  # it has failed, and there is nothing else to rank by

    async def _derive(
        self, source: tuple[str, int], weights: Predictor, names: Mapping[int, str]
    ) -> None:
        try:  # a large model takes a fraction of a second: off the event loop
            self._affinities = await asyncio.to_thread(
                lambda: Affinities(compute_affinities(weights, names.__getitem__))
            )
            self._derived_from = source
        finally:
            self._derivation = None


def _log_failure(derivation: asyncio.Task[None]) -> None:
    if not derivation.cancelled() and (error := derivation.exception()):
        logger.warning("the affinities of the model in use can't be derived: %s", error)


def _encode(ranking: Ranking, choice: Choice) -> bytes:
    answer = {
        "customer_id": ranking.shopper.customer_id,
        "persona": ranking.shopper.persona,
        "fallback": ranking.fallback,
        "strength": choice.strength,
        "own": choice.own,
        "own_fallback": ranking.own_fallback,
        "ambiguous": choice.ambiguous,
        "group": "holdout" if ranking.fallback == HOLDOUT else "treatment",
        "items": _list_items(ranking.items),
    }
    try:
        return encode(answer)
    except (OverflowError, RecursionError, ValueError):
        raise QueryError(
            "items: a field holds a number, a text or a nesting that can't be sent back"
        ) from None


def _list_items(items: Iterable[Ranked]) -> list[dict[str, Any]]:
    """As ``as_dict``, of many, whose reasons are the same ones again and again."""
    reasons: dict[int, list[dict[str, Any]]] = {}
    found = []
    for item, position, score, affinity, why, own, why_own in items:
        shown = reasons.get(id(why))
        if shown is None:
            shown = reasons[id(why)] = _as_dicts(why)
        found.append({
            "item": item, "position": position, "score": score, "affinity": affinity, "why": shown,
            "own": own, "why_own": _as_dicts(why_own) if why_own else [],
        })  # fmt: skip
    return found


def as_dict(ranked: Ranked) -> dict[str, Any]:
    """Return an item of an answer."""
    return {
        "item": ranked.item, "position": ranked.position, "score": ranked.score,
        "affinity": ranked.affinity, "why": _as_dicts(ranked.why), "own": ranked.own,
        "why_own": _as_dicts(ranked.why_own),
    }  # fmt: skip


def _as_dicts(reasons: Iterable[Reason]) -> list[dict[str, Any]]:
    return [{"feature": feature, "value": value, "lift": lift} for feature, value, lift in reasons]
