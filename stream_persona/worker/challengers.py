"""River classifiers that are evaluated beside the model in use, on the same assignments.

They publish nothing. Each assignment is first predicted, then learned (prequential evaluation).
The model in use is evaluated at once. Challengers take their trials from a queue and predict in a
thread, so that a slow one does not keep the stream waiting; one that fails is dropped with one
sentence in the log. They can't unlearn: when a labelled customer leaves, they are folded again from
the stored records of all labelled customers. In between they learn from this worker's own
partitions. Who leaves another worker's is found among the stored labels, once the model has moved;
who was labelled otherwise there, with the fold of the hour.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from stream_persona.model.evaluation import Prequential, import_figures
from stream_persona.model.river_adapter import (
    Example,
    Learner,
    make_classifier,
    parse_specifications,
    sort_by_hash,
)
from stream_persona.store import examples
from stream_persona.store.duty_cycle import DutyCycle
from stream_persona.store.worker_status import CURRENT, ModelStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.river_adapter import Classifier
    from stream_persona.pipeline.process import ModelUpdate, PrequentialTrial
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables
    from stream_persona.worker.metrics import Metrics

logger = logging.getLogger(__name__)

#: Trials that may wait for slow challengers; beyond that the oldest are dropped.
_MOST_WAITING: Final = 10_000
#: Folding challengers again takes at most this share of the time; and so many seconds lie between
#: two folds.
_REFOLD_DUTY_CYCLE: Final = 1 / 10
_REFOLD_SECONDS: Final = 10.0
#: Looking whether another worker's customers have left takes at most this share of the time; and so
#: many seconds lie between two looks.
_LOOK_DUTY_CYCLE: Final = 1 / 100
_LOOK_SECONDS: Final = 10.0
#: They are also folded again once there are so many times the labelled customers of the last fold,
#: and after so many seconds in which the model has moved.
_GROWTH: Final = 1.1
_LONGEST_SECONDS: Final = 3_600.0


class Challenger:
    """One River classifier, evaluated on each trial before it learns from it.

    ``failure`` is empty, or the sentence that says why it was dropped.
    """

    def __init__(self, name: str, classifier: Classifier, personas: Sequence[str]) -> None:
        self.name = name
        self.quality = Prequential(personas)
        self.failure = ""
        self._learner = Learner(classifier, personas)
        self._learned: dict[str, str] = {}

    @property
    def customers(self) -> int:
        """The number of customers that it has learned."""
        return len(self._learned)

    def knows_others_than(self, labelled: AbstractSet[str]) -> bool:
        """Whether it has learned a customer who is not among these."""
        return not self._learned.keys() <= labelled

    def judge(self, trial: PrequentialTrial | Example, at: int = 0) -> bool | None:
        """Predict a trial, evaluate the prediction, and learn from the trial.

        A customer who was learned with this persona before (a fold was quicker) is no test.

        Returns:
            Whether that raised an alarm, dated ``at`` (epoch ms); None when nothing was evaluated.
        """
        if self.failure or self._learned.get(trial.customer_id) == trial.persona:
            return None
        try:
            row = self._learner.predict_probabilities(trial.profile)
            self._learner.learn(trial.persona, trial.profile)
        except Exception as error:  # noqa: BLE001 - a challenger may fail in any way
            self._fail(error)
            return None
        self._learned[trial.customer_id] = trial.persona
        return self.quality.judge(trial.persona, row, at)

    def refold(self, known: Iterable[Example]) -> None:
        """Learn exactly these customers anew, in the order of ``sort_by_hash``."""
        if self.failure:
            return
        fresh, learned = self._learner.make_fresh(), dict[str, str]()
        try:
            for example in sort_by_hash(known):
                fresh.learn(example.persona, example.profile)
                learned[example.customer_id] = example.persona
        except Exception as error:  # noqa: BLE001 - the same
            self._fail(error)
            return
        self._learner, self._learned = fresh, learned

    def _fail(self, error: Exception) -> None:
        self.failure = " ".join(str(error).split()) or type(error).__name__
        self._learned = {}
        logger.warning("challenger %s is out, the stream goes on: %s", self.name, self.failure)


class ChallengerPanel:
    """The model in use and its challengers, evaluated on the same assignments.

    A worker calls ``judge`` for each batch, and ``work`` from time to time, in a task of its own;
    ``now`` dates alarms, in epoch ms.
    """

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """Refuse a wrong setting at once; ``clock`` gives seconds that never go back.

        Raises:
            SettingsError: a challenger is no River classifier.
        """
        names = taxonomy.names
        self.current = Prequential(names)
        self.challengers = [
            Challenger(name, make_classifier(name), names)
            for name in parse_specifications(settings.challengers)
        ]
        self._partitions = settings.partitions
        self._taxonomy = taxonomy
        self._metrics = metrics
        self._clock = clock
        self._refolding = DutyCycle(_REFOLD_DUTY_CYCLE, clock, _REFOLD_SECONDS)
        self._looking = DutyCycle(_LOOK_DUTY_CYCLE, clock, _LOOK_SECONDS)
        self._folded_at = clock()
        #: The models at the last fold and at the last look at who is labelled.
        self._folded_version = self._looked_version = ""
        self._waiting: deque[PrequentialTrial] = deque(maxlen=_MOST_WAITING)
        self._working = asyncio.Lock()
        self._stale = True  # the challengers of a new process know nothing
        self._known = 0  # labelled customers at the last fold
        self._prepared = False  # the figures are imported

    def judge(
        self, trials: Sequence[PrequentialTrial], model_updates: Sequence[ModelUpdate], now: int = 0
    ) -> None:
        """Evaluate the model in use on a batch's trials; queue them for the challengers."""
        for trial in trials:
            alarm = self.current.judge(trial.persona, trial.probabilities, now)
            self._count(CURRENT, alarm=alarm)
        if trials:
            self._metrics.record_quality(CURRENT, self.current.snapshot())
        if not self.challengers:
            return
        gone = find_departed(model_updates)
        if gone:
            kept = (trial for trial in self._waiting if trial.customer_id not in gone)
            self._waiting = deque(kept, maxlen=_MOST_WAITING)
            self._stale = True
        self._waiting.extend(trials)

    async def work(self, tables: Tables, customers: int, now: int = 0, version: str = "") -> None:
        """Evaluate the challengers on what waits; fold them again when customers have left.

        ``customers`` is the number of labelled ones, of all partitions, as the model of ``version``
        knows them.

        Raises:
            UnavailableError: Redis stayed away.
        """
        if customers and not self._prepared:  # there may be trials soon, which would wait for it
            await asyncio.to_thread(import_figures)
            self._prepared = True
        if not self.challengers:
            return
        async with self._working:
            waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
            for challenger in self.challengers:
                await asyncio.to_thread(self._judge, challenger, waiting, now)
            await self._look_for_departed(tables, version)
            is_due = self._stale or customers > self._known * _GROWTH or self._is_old(version)
            if is_due and self._refolding.is_due():
                await self._refold(tables, customers, version)

    def list_statuses(self) -> list[ModelStatus]:
        """Return the counts of the model in use, and then those of its challengers."""
        rivals = (
            ModelStatus.of(c.name, c.quality.get_counts(), c.failure) for c in self.challengers
        )
        return [ModelStatus.of(CURRENT, self.current.get_counts()), *rivals]

    async def _look_for_departed(self, tables: Tables, version: str) -> None:
        """Check whether a learned customer has left, on whichever worker; note it if so."""
        if self._stale or version == self._looked_version or not self._looking.is_due():
            return
        began, self._looked_version = self._clock(), version
        labelled = set[str]()
        for partition in range(self._partitions):
            labelled.update(await tables.load_labelled(partition))
        self._stale |= any(each.knows_others_than(labelled) for each in self.challengers)
        self._looking.record(self._clock() - began)

    def _is_old(self, version: str) -> bool:
        """Whether the last fold is of another model, and long ago."""
        is_late = self._clock() >= self._folded_at + _LONGEST_SECONDS
        return is_late and version != self._folded_version

    async def _refold(self, tables: Tables, customers: int, version: str) -> None:
        began = self._clock()
        self._stale = False  # a customer who leaves from here on makes it so again
        known = await examples.read_examples(tables, self._partitions, self._taxonomy)
        for challenger in self.challengers:
            await asyncio.to_thread(challenger.refold, known)
        self._known, self._folded_version, self._folded_at = customers, version, began
        self._refolding.record(self._clock() - began)

    def _judge(self, challenger: Challenger, trials: Sequence[PrequentialTrial], now: int) -> None:
        for trial in trials:
            alarm = challenger.judge(trial, now)
            if alarm is not None:
                self._count(challenger.name, alarm=alarm)
        if challenger.quality.trials:
            self._metrics.record_quality(challenger.name, challenger.quality.snapshot())

    def _count(self, name: str, *, alarm: bool) -> None:
        self._metrics.trials.labels(name).inc()
        if alarm:
            self._metrics.drift_alarms.labels(name).inc()
            logger.warning("the %s model's predictions of assignments have become worse", name)


def find_departed(model_updates: Iterable[ModelUpdate]) -> set[str]:
    """Find the customers that a batch unlearned and did not learn again as they were before."""
    left: dict[str, str] = {}
    for update in model_updates:
        if update.sign < 0:
            left[update.customer_id] = update.persona
        elif left.get(update.customer_id) == update.persona:
            del left[update.customer_id]
    return set(left)
