"""River classifiers beside the model: silent, judged on the same assignments, score first.

The model in use is judged at once. Challengers are fed from a queue and asked in a thread, so
that a slow one does not keep the stream waiting, and one that fails is out with one sentence in
the log. They can't unlearn: when a labelled customer leaves, they are folded again from the stored
records of all labelled customers. What they learn meanwhile is of this worker's own partitions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from stream_persona.model.evaluation import Prequential
from stream_persona.model.river_adapter import (
    Example,
    Learner,
    classifier,
    in_order,
    specifications,
)
from stream_persona.store import examples
from stream_persona.store.duty_cycle import DutyCycle
from stream_persona.store.worker_status import CURRENT, ModelStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.river_adapter import Classifier
    from stream_persona.pipeline.process import ModelUpdate, Trial
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables
    from stream_persona.worker.metrics import Metrics

logger = logging.getLogger(__name__)

#: Trials that may wait for slow challengers; the oldest are let go beyond that.
_MOST_WAITING: Final = 10_000
#: Challengers are folded again at most so often, in seconds, and at a tenth of the time.
_REFOLD_SECONDS: Final = 10.0
#: They are also folded again when there are so many times the labelled customers they know.
_GROWTH: Final = 1.1


class Challenger:
    """One River classifier, judged on trials before it learns of them.

    ``failure`` is empty, or the sentence for which it is out.
    """

    def __init__(self, name: str, classifier: Classifier, personas: Sequence[str]) -> None:
        self.name = name
        self.quality = Prequential(personas)
        self.failure = ""
        self._learner = Learner(classifier, personas)
        self._learned: dict[str, str] = {}

    @property
    def customers(self) -> int:
        """Customers that it has learned."""
        return len(self._learned)

    def judge(self, trial: Trial | Example, at: int = 0) -> bool | None:
        """Predict, judge, learn; whether that raised an alarm (at this time), None when not judged.

        Who was learned with this persona before (a fold was quicker) is no test any more.
        """
        if self.failure or self._learned.get(trial.customer_id) == trial.persona:
            return None
        try:
            row = self._learner.probabilities(trial.profile)
            self._learner.learn(trial.persona, trial.profile)
        except Exception as error:  # noqa: BLE001 - a challenger may fail in any way, and is then out
            self._fail(error)
            return None
        self._learned[trial.customer_id] = trial.persona
        return self.quality.judge(trial.persona, row, at)

    def refold(self, known: Iterable[Example]) -> None:
        """Know exactly these customers, learned in the order of ``in_order``."""
        if self.failure:
            return
        fresh, learned = self._learner.fresh(), dict[str, str]()
        try:
            for example in in_order(known):
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


class Panel:
    """The model in use and its challengers, judged on the same assignments.

    A worker calls ``judge`` after each commit, and ``work`` now and then, in a task of its own;
    ``now`` is the time of alarms, in epoch ms.
    """

    def __init__(
        self,
        settings: Settings,
        taxonomy: Taxonomy,
        metrics: Metrics,
        pace: DutyCycle | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Refuse a wrong setting at once.

        Raises:
            SettingsError: a challenger is no River classifier.
        """
        names = taxonomy.names
        self.current = Prequential(names)
        self.challengers = [
            Challenger(name, classifier(name), names)
            for name in specifications(settings.challengers)
        ]
        self._partitions = settings.partitions
        self._taxonomy = taxonomy
        self._metrics = metrics
        self._pace = pace or DutyCycle(1 / 10, clock, _REFOLD_SECONDS)
        self._clock = clock
        self._waiting: deque[Trial] = deque(maxlen=_MOST_WAITING)
        self._working = asyncio.Lock()
        self._stale = True  # a worker that starts anew has forgotten all
        self._known = 0  # labelled customers at the last fold

    def judge(
        self, trials: Sequence[Trial], model_updates: Sequence[ModelUpdate], now: int = 0
    ) -> None:
        """Judge the model in use on a batch's trials; let the challengers hear of them later."""
        for trial in trials:
            alarm = self.current.judge(trial.persona, trial.probabilities, now)
            self._count(CURRENT, alarm=alarm)
        if trials:
            self._metrics.judged(CURRENT, self.current.snapshot())
        if not self.challengers:
            return
        gone = departed(model_updates)
        if gone:
            kept = (trial for trial in self._waiting if trial.customer_id not in gone)
            self._waiting = deque(kept, maxlen=_MOST_WAITING)
            self._stale = True
        self._waiting.extend(trials)

    async def work(self, tables: Tables, customers: int, now: int = 0) -> None:
        """Judge the challengers on what waits; fold those again whose customers have left.

        ``customers`` is the number of labelled ones, of all partitions.

        Raises:
            UnavailableError: Redis stayed away.
        """
        if not self.challengers:
            return
        async with self._working:
            waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
            for challenger in self.challengers:
                await asyncio.to_thread(self._judge, challenger, waiting, now)
            stale = self._stale or customers > self._known * _GROWTH
            if stale and self._pace.is_due():
                await self._refold(tables, customers)

    def statuses(self) -> list[ModelStatus]:
        """How good each has been so far: the model in use, and then its challengers."""
        rivals = (ModelStatus.of(c.name, c.quality.tally(), c.failure) for c in self.challengers)
        return [ModelStatus.of(CURRENT, self.current.tally()), *rivals]

    async def _refold(self, tables: Tables, customers: int) -> None:
        began = self._clock()
        self._stale = False  # whoever leaves from here on makes it so again
        known = await examples.read(tables, self._partitions, self._taxonomy)
        for challenger in self.challengers:
            await asyncio.to_thread(challenger.refold, known)
        self._known = customers
        self._pace.record(self._clock() - began)

    def _judge(self, challenger: Challenger, trials: Sequence[Trial], now: int) -> None:
        for trial in trials:
            alarm = challenger.judge(trial, now)
            if alarm is not None:
                self._count(challenger.name, alarm=alarm)
        if challenger.quality.trials:
            self._metrics.judged(challenger.name, challenger.quality.snapshot())

    def _count(self, name: str, *, alarm: bool) -> None:
        self._metrics.trials.labels(name).inc()
        if alarm:
            self._metrics.drift_alarms.labels(name).inc()
            logger.warning("the %s model's predictions of assignments have become worse", name)


def departed(model_updates: Iterable[ModelUpdate]) -> set[str]:
    """Customers of a batch whom the model has unlearned and not learned again as the same."""
    left: dict[str, str] = {}
    for lesson in model_updates:
        if lesson.sign < 0:
            left[lesson.customer_id] = lesson.persona
        elif left.get(lesson.customer_id) == lesson.persona:
            del left[lesson.customer_id]
    return set(left)
