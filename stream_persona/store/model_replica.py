"""Keeps a process's copy of the model up to date with the published shards, off the event loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from stream_persona.model.fitting import ModelFitter
from stream_persona.model.river_adapter import ADDITIVE
from stream_persona.model.river_model import fit
from stream_persona.model.shard import merge_shards
from stream_persona.store import examples
from stream_persona.store.duty_cycle import DutyCycle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.river_model import RiverPredictor
    from stream_persona.model.shard import Shard
    from stream_persona.model.weights import Weights
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables

#: While labelled customers keep moving, new weights take at most this share of the time, and
#: calibrations this one.
DERIVE_DUTY_CYCLE: Final = 1 / 40
CALIBRATE_DUTY_CYCLE: Final = 1 / 80
#: A calibration that pays takes at most this share: the last one, once they are at rest, and each
#: one for which the labelled customers' evidence has grown by so much since the one before. A young
#: shop's first names depend on it; the number of such calibrations is the logarithm of its labels.
SOON_DUTY_CYCLE: Final = 1 / 5
GROWTH: Final = 2.0
#: Folding a River classifier again takes at most this share of the time.
REFOLD_DUTY_CYCLE: Final = 1 / 10


class ModelReplica:
    """A replica of the package's own model.

    It derives weights from all shards. While these keep moving, the calibration lags behind, less
    so while they grow; once they are at rest, it is theirs as well. ``clock`` gives seconds that
    never go back.
    """

    def __init__(self, taxonomy: Taxonomy, clock: Callable[[], float]) -> None:
        self._fitter = ModelFitter(taxonomy)
        self._clock = clock
        self._deriving = DutyCycle(DERIVE_DUTY_CYCLE, clock)
        self._calibrating = DutyCycle(CALIBRATE_DUTY_CYCLE, clock)
        self._calibrating_soon = DutyCycle(SOON_DUTY_CYCLE, clock)
        self._calibrated_evidence = 0
        self._moved = False

    @property
    def weights(self) -> Weights:
        """The weights in use."""
        return self._fitter.weights

    @property
    def labelled(self) -> dict[str, int]:
        """The number of labelled customers of each persona."""
        return self._fitter.labelled

    @property
    def settled(self) -> bool:
        """Whether the weights and their calibration are those of the shards last given."""
        return not self._moved and self._fitter.settled

    async def follow(self, shards: Sequence[Shard], *, changed: bool) -> bool:
        """Derive new weights if the shards have changed and it is time; whether it did.

        ``shards`` are those of all partitions; ``changed`` is whether they have changed since
        the last call.
        """
        self._moved |= changed
        calibrate = self._may_calibrate(pays=not changed or self._have_grown(shards))
        if not (calibrate or self._may_derive(changed=changed)):
            return False
        self._moved, began = False, self._clock()
        # Shards go on growing in the time that the thread takes.
        (total, panel), evidence = merge_shards(shards), _sum_evidence(shards)
        await asyncio.to_thread(self._fitter.update, total, panel, calibrate=calibrate)
        self._record(self._clock() - began, calibrated=calibrate)
        if calibrate:
            self._calibrated_evidence = evidence
        return True

    def awaits_panels(self, shards: Sequence[Shard]) -> bool:
        """Whether a calibration is due because the shards have grown, with panels as they are."""
        return self._have_grown(shards) and self._calibrating_soon.is_due()

    def _have_grown(self, shards: Sequence[Shard]) -> bool:
        return _sum_evidence(shards) >= GROWTH * max(self._calibrated_evidence, 1)

    def _may_derive(self, *, changed: bool) -> bool:
        return self._moved and (not changed or self._deriving.is_due())

    def _may_calibrate(self, *, pays: bool) -> bool:
        cycle = self._calibrating_soon if pays else self._calibrating
        return not self.settled and cycle.is_due()

    def _record(self, seconds: float, *, calibrated: bool) -> None:
        self._deriving.record(seconds)
        if calibrated:
            self._calibrating.record(seconds)
            self._calibrating_soon.record(seconds)


def _sum_evidence(shards: Sequence[Shard]) -> int:
    return sum(shard.sums.evidence for shard in shards)


class RiverReplica:
    """A replica of the River classifier in ``settings.model``; used as a ``ModelReplica`` is.

    It is folded from the labelled customers' records. The shards of the package's own model go on
    being published beside it: they change whenever a labelled customer does, and only then is there
    anything to fold again. ``clock`` gives seconds that never go back.
    """

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, tables: Tables, clock: Callable[[], float]
    ) -> None:
        """Make the classifier, of no customers.

        Raises:
            SettingsError: there is no such classifier.
        """
        self._specification = settings.model
        self._partitions = settings.partitions
        self._taxonomy = taxonomy
        self._tables = tables
        self._clock = clock
        self._folding = DutyCycle(REFOLD_DUTY_CYCLE, clock)
        self._moved = False
        self.weights: RiverPredictor = fit(self._specification, (), taxonomy.names)
        self.labelled: dict[str, int] = {}

    def awaits_panels(self, shards: Sequence[Shard]) -> bool:  # noqa: ARG002
        """Return False: it is not calibrated."""
        return False

    async def follow(self, shards: Sequence[Shard], *, changed: bool) -> bool:  # noqa: ARG002
        """Fold again if the shards have changed and it is time; whether the weights are new.

        The records are at least as new as the shards of the caller, so once nothing moves any more,
        every process has folded the same.

        Raises:
            UnavailableError: Redis stayed away.
            SettingsError: the classifier can't learn these customers.
        """
        self._moved |= changed
        if not self._moved or not self._folding.is_due():
            return False
        began, before = self._clock(), self.weights.version
        known = await examples.read_examples(self._tables, self._partitions, self._taxonomy)
        self.weights = await asyncio.to_thread(
            fit, self._specification, known, self._taxonomy.names
        )
        self.labelled = dict(sorted(Counter(example.persona for example in known).items()))
        self._moved = False
        self._folding.record(self._clock() - began)
        return self.weights.version != before


def make_replica(
    settings: Settings, taxonomy: Taxonomy, tables: Tables, clock: Callable[[], float]
) -> ModelReplica | RiverReplica:
    """Make the replica of the model in the settings.

    A process that follows it has called ``limit_blas_threads``. ``clock`` gives seconds that never
    go back.

    Raises:
        SettingsError: there is no such model.
    """
    if settings.model == ADDITIVE:
        return ModelReplica(taxonomy, clock)
    return RiverReplica(settings, taxonomy, tables, clock)
