"""Follows what the workers write to Redis: the model's parts, the names of slots, records."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from stream_persona.api import predict
from stream_persona.domain import record_codec
from stream_persona.domain.features import Counts
from stream_persona.domain.token_names import TokenNames
from stream_persona.errors import ConfigError, UnavailableError
from stream_persona.store.model_replica import following
from stream_persona.store.shards import read_shards

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.predictor import Predictor as Weights
    from stream_persona.model.shard import Part
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """The weights of all parts together, and the labelled customers of each persona."""

    weights: Weights
    labelled: dict[str, int] = field(default_factory=dict)


class Reader:
    """The model as the workers last published it, and shoppers as it sees them.

    ``ready`` says whether the last look at Redis succeeded.
    """

    def __init__(self, settings: Settings, taxonomy: Taxonomy, tables: Tables) -> None:
        self._partitions = range(settings.partitions)
        self._interval = settings.model_interval
        self._taxonomy = taxonomy
        self._tables = tables
        self._parts: dict[int, tuple[bytes, Part]] = {}
        self._follower = following(settings, taxonomy, tables)
        self.names = TokenNames()
        self._names_at = -math.inf
        self._nameless: set[int] = set()
        self._named: str | None = None
        self._looked = ("", -math.inf)
        self.model = Model(self._follower.weights)
        self.ready = False

    @property
    def parts(self) -> list[Part]:
        """The parts of the model; nobody changes them, new ones take their places."""
        return [part for _, part in self._parts.values()]

    async def follow(self) -> None:
        """Refresh for ever; a Redis that is away or refuses us makes it unready, not ended."""
        try:
            while True:
                await self._try()
                await asyncio.sleep(self._interval)
        finally:
            self.ready = False

    async def refresh(self) -> None:
        """Read the parts that have moved; derive new weights if any has.

        Raises:
            UnavailableError: Redis stayed away.
            ConfigError: it refuses us, or what is there is not of this deployment.
        """
        stamps = await self._tables.stamps(self._partitions)
        self._parts, changed = await read_shards(self._tables, stamps, self._parts, self._taxonomy)
        if changed:
            await self._read_names()
        if await self._follower.follow(self.parts, changed=changed):
            self.model = Model(self._follower.weights, self._follower.labelled)

    async def shopper(self, customer_id: str) -> predict.Shopper:
        """A customer, from the private record; of one never heard of nothing is known.

        Raises:
            UnavailableError: Redis stayed away.
            TopologyError: the record was folded by another taxonomy's half-life.
        """
        blobs = list((await self._tables.load([customer_id])).values())
        found = record_codec.decode_records(blobs, self._taxonomy.fingerprint)
        counts = found[0].counts if found else Counts.empty()
        shopper = predict.known(counts, self._taxonomy, self.names.name)
        await self._find_names(shopper)
        return shopper

    async def name_all(self) -> None:
        """Look for names of all that the model has learned: they are written after its parts.

        Raises:
            UnavailableError: Redis stayed away.
        """
        weights, now = self.model.weights, time.monotonic()
        looked_for, until = self._looked
        if self._named == weights.version or (looked_for == weights.version and now < until):
            return
        self._looked = (weights.version, now + self._interval)
        if await self._find(set(weights.weighted_slots.tolist())):
            self._named = weights.version

    async def _find_names(self, shopper: predict.Shopper) -> None:
        """Look for names that workers have found meanwhile; not again and again for the same."""
        weighted = self.model.weights.weighted_slots
        await self._find(set(np.intersect1d(shopper.profile.slots, weighted).tolist()))

    async def _find(self, speaking: set[int]) -> bool:
        """Whether all of these slots have names."""
        missing = speaking - self.names.tokens.keys()
        due = time.monotonic() - self._names_at > self._interval
        if missing and (due or missing - self._nameless):
            await self._read_names()
            missing -= self.names.tokens.keys()
            self._nameless = missing
        return not missing

    async def _read_names(self) -> None:
        self._names_at = time.monotonic()
        for slot, token in await self._tables.names():
            self.names.learn(slot, token)

    async def _try(self) -> None:
        try:
            await self.refresh()
        except (UnavailableError, ConfigError) as error:
            if self.ready:
                logger.warning("the model can't be followed for now: %s", error)
            self.ready = False
        else:
            self.ready = True
