"""Forgets what is stored of ids that stand for nobody, and of those that no customer can have.

An earlier version, or another list of such ids, has made shoppers of them. Lookups do not show
these, nothing is added to them any more, and no command can be about them; a thorough sweep forgets
them as a deletion would.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stream_persona.domain.events import DELETION, Deletion
from stream_persona.domain.identity import NobodyIds, is_customer
from stream_persona.pipeline import process
from stream_persona.pipeline.types import Delivery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.tokenizer import Tokenizer
    from stream_persona.pipeline.types import ModelUpdate
    from stream_persona.settings import Settings
    from stream_persona.worker.owned_partition import OwnedPartition
    from stream_persona.worker.stored_records import StoredRecords

logger = logging.getLogger(__name__)


class NobodyForgetter:
    """Forgets records of nobody; it is called while nothing else is processed."""

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, tokenizer: Tokenizer, records: StoredRecords
    ) -> None:
        self._nobody = NobodyIds(settings.nobody)
        self._taxonomy = taxonomy
        self._tokenizer = tokenizer
        self._records = records

    async def forget(
        self, homes: Mapping[str, int], owned: Mapping[int, OwnedPartition], now: int
    ) -> Sequence[ModelUpdate]:
        """Forget those of some customers who can be none; return what the model unlearns.

        ``homes`` are their partitions, ``now`` is in epoch milliseconds.
        """
        names = {name: home for name, home in homes.items() if self._is_nobody(name)}
        stored = await self._records.load(names, owned)
        deletions = [
            _make_deletion(name, record, names[name], now)
            for name, record in stored.items()
            if not record.is_marker
        ]
        if not deletions:
            return ()
        outcome = process.apply_events(deletions, stored, self._taxonomy, self._tokenizer)
        await self._records.write_now(outcome, names, owned)
        logger.info("%d records of ids that can be no customer's are forgotten", len(deletions))
        return outcome.model_updates

    def _is_nobody(self, name: str) -> bool:
        return not is_customer(name, self._nobody)


def _make_deletion(name: str, record: Record, home: int, now: int) -> Delivery:
    """Make a deletion that is later than everything, at the next position of its input."""
    at = max(now, record.counts.clock, record.label.at if record.label else 0)
    offset = record.positions.get(DELETION << 16 | home, 0)
    return Delivery.of(Deletion("nobody", name, at), DELETION, home, offset)
