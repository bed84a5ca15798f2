"""Folds customers once more from the input topics, since their stored records are damaged.

A damaged private record is lost, with the positions that it held. So its customer is folded from
everything that the topics hold of them, by the function that folds live events: the folded part is
the same to the byte as it was, or newer. The published part is the last change in the topic of
changes, so that revisions go on. Where the topics no longer reach back, there is no more than what
they hold: that is counted and logged, and the damaged bytes are set aside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from stream_persona.domain import record_codec
from stream_persona.domain.features import compute_profiles
from stream_persona.domain.inputs import is_of_file
from stream_persona.domain.record import Record
from stream_persona.pipeline import process, training
from stream_persona.pipeline.decision import Cause
from stream_persona.pipeline.logged_change import restore_published
from stream_persona.pipeline.messages import encode_public_record
from stream_persona.pipeline.process import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.tokenizer import Tokenizer
    from stream_persona.kafka.log_reader import EventLog
    from stream_persona.kafka.whole_log import WholeHistory
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables
    from stream_persona.worker.metrics import Metrics
    from stream_persona.worker.owned_partition import OwnedPartition

logger = logging.getLogger(__name__)

#: Customers in whose records positions of replayed files are looked for.
_SAMPLE: Final = 1_000


#: Scores records with the model in use, for a cause.
Scorer = Callable[["Mapping[str, Record]", Cause], Outcome]


class Refolding:
    """Makes the outcomes that restore damaged records; nothing may be written meanwhile."""

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        tables: Tables,
        tokenizer: Tokenizer,
        log: EventLog,
        metrics: Metrics,
        score: Scorer,
    ) -> None:
        self._settings = settings
        self._taxonomy = taxonomy
        self._tables = tables
        self.tokenizer = tokenizer
        self._log = log
        self._metrics = metrics
        self._score = score

    async def fold_again(
        self, homes: Mapping[str, int], owned: Mapping[int, OwnedPartition]
    ) -> Outcome:
        """Fold those of some customers whose records are damaged; ``homes`` are their partitions.

        A record that is in memory is written again as it is. The outcome has an empty record for
        a customer that the topics hold nothing of.

        Raises:
            UnavailableError: Redis stayed away, or the broker did not give the events.
        """
        blobs = await self._tables.load(list(homes))
        _, damaged = record_codec.decode_intact(blobs, self._taxonomy.fingerprint)
        cached = {name: owned[homes[name]].cache.get(name) for name in damaged}
        kept = {name: record for name, record in cached.items() if record is not None}
        lost = {name: homes[name] for name in damaged if name not in kept}
        history = await self._log.read_whole(lost) if lost else None
        self._metrics.damaged.labels("record").inc(len(damaged))
        for name in kept:
            logger.warning("the stored record of %r was damaged: it is written again", name)
        if history is None:
            return Outcome(kept, public_records=encode_public(kept))
        partial = await self._find_partial(lost, history)
        await self._tables.set_aside({name: damaged[name] for name in partial})
        self._report(lost, partial)
        folded = await self._fold(lost, history, partial)
        new = {n: each for n, each in folded.items() if n not in owned[homes[n]].labelled}
        scored = self._score(folded, Cause.BEHAVIOUR)
        return Outcome(
            kept | folded | scored.records,
            [*_find_tombstones(folded, history), *scored.messages],
            encode_public(kept | folded) | scored.public_records,
            [*training.derive_updates(new, self._taxonomy), *scored.model_updates],
            scored.causes,
        )

    async def _fold(
        self, lost: Collection[str], history: WholeHistory, partial: Collection[str]
    ) -> dict[str, Record]:
        """Fold all that there is of customers; their last changes are those in the topic."""
        taxonomy = self._taxonomy
        folded = process.apply_events(history.deliveries, {}, taxonomy, self.tokenizer).records
        records = {name: folded.get(name, Record()) for name in lost}
        profiles = compute_profiles([each.counts for each in records.values()], taxonomy.features)
        evidence = dict(zip(records, profiles.events.tolist(), strict=True))
        public = await self._tables.load_public_records(list(records))
        for name, record in records.items():
            change = restore_published(
                name, record, history.changes.get(name), public.get(name), evidence[name],
                whole=name not in partial,
            )  # fmt: skip
            if change is not None:
                records[name] = record_codec.with_change(record, change)
        return records

    async def _find_partial(self, lost: Mapping[str, int], history: WholeHistory) -> dict[str, str]:
        """Find those that the topics may not hold in full, each with the reason."""
        if lost and await self._has_files():
            return dict.fromkeys(lost, "events that were replayed from files are not in them")
        expired = [name for name, home in lost.items() if home in history.expired]
        return dict.fromkeys(expired, "their oldest events have expired")

    def _report(self, lost: Collection[str], partial: Mapping[str, str]) -> None:
        self._metrics.incomplete.inc(len(partial))
        for name in lost:
            if name not in partial:
                logger.warning("the stored record of %r was damaged: it is folded again", name)
                continue
            logger.error(
                "the stored record of %r was damaged, and the topics may not hold all of it (%s): "
                "it is folded from what they hold, and the damaged bytes are kept for 30 days as "
                "persona-damaged:%s", name, partial[name], name,
            )  # fmt: skip

    async def _has_files(self) -> bool:
        """Whether customers have events of replayed files; these are not in the topics."""
        _, names = await self._tables.scan(0, _SAMPLE)
        blobs = await self._tables.load(names[:_SAMPLE])
        records, _ = record_codec.decode_intact(blobs, self._taxonomy.fingerprint)
        return any(is_of_file(key) for each in records.values() for key in each.positions)


def encode_public(records: Mapping[str, Record]) -> dict[str, bytes | None]:
    """Encode the public records that private ones lead to; None where there is none."""
    return {
        name: encode_public_record(name, each.published) if each.published else None
        for name, each in records.items()
    }


def _find_tombstones(
    folded: Mapping[str, Record], history: WholeHistory
) -> list[tuple[str, bytes | None]]:
    """Find the tombstones of deleted customers whose last message precedes their deletion."""
    return [
        (name, None)
        for name, each in folded.items()
        if each.deleted_at and each.published is None and name in history.changes
    ]
