"""What a worker does to customers without events: scored again, at their due time, or restored.

Each step takes turns with the batches of events: it loads, decides, writes and publishes while
nothing else is processed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from stream_persona.clocks import Clocks
    from stream_persona.domain.record import Record
    from stream_persona.pipeline.types import Outcome
    from stream_persona.worker.challengers import ChallengerPanel
    from stream_persona.worker.nobody import NobodyForgetter
    from stream_persona.worker.owned_partition import OwnedPartition
    from stream_persona.worker.partitions import OwnedPartitions
    from stream_persona.worker.stored_records import StoredRecords

    Homes = Mapping[str, int]


class IdleCustomers:
    """The idle customers of a worker; ``processing`` is held while anything is processed."""

    def __init__(
        self,
        partitions: OwnedPartitions,
        records: StoredRecords,
        nobody: NobodyForgetter,
        challengers: ChallengerPanel,
        processing: asyncio.Lock,
        clocks: Clocks,
    ) -> None:
        self._partitions = partitions
        self._records = records
        self._nobody = nobody
        self._challengers = challengers
        self._processing = processing
        self._clocks = clocks

    async def score(
        self, homes: Homes, score: Callable[[Homes, Mapping[str, Record]], Outcome]
    ) -> Outcome:
        """Score customers by their partitions, and write what has changed.

        ``score`` is given those that are ours still, and the records of those that have one. Where
        nothing has changed, live events don't wait for a write.
        """
        async with self._processing:
            homes, owned = self._keep_owned(homes)
            outcome = score(homes, await self._records.load(homes, owned))
            if outcome.records:
                now = self._clocks.epoch_ms()
                self._challengers.judge(outcome.trials, outcome.model_updates, now)
                await self._records.write_now(outcome, homes, owned)
        return outcome

    async def check(self, homes: Homes) -> None:
        """Restore damaged data of customers; forget ids that no customer can have."""
        async with self._processing:
            homes, owned = self._keep_owned(homes)
            await self._records.restorer.check(homes, owned)
            now = self._clocks.epoch_ms()
            unlearned = await self._nobody.forget(homes, owned, now)
            self._challengers.judge((), unlearned, now)

    async def restore_noted(self, partitions: int) -> None:
        """Restore what was found damaged where it could not be restored at once.

        ``partitions`` is how many there are.
        """
        restorer = self._records.restorer
        if not await restorer.find_noted(partitions):
            return
        async with self._processing:
            homes, owned = self._keep_owned(await restorer.find_noted(partitions))
            await restorer.check(homes, owned)
            await restorer.strike(homes, owned)

    def _keep_owned(self, homes: Homes) -> tuple[dict[str, int], dict[int, OwnedPartition]]:
        """Select the customers of partitions that are ours still; return these partitions too."""
        owned = dict(self._partitions.held)
        return {name: home for name, home in homes.items() if home in owned}, owned
