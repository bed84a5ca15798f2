"""Compares the model and its challengers on all labelled customers: same trials, same figures.

No model is judged on a customer that it has learned. Either the customers fall into five folds by
a hash of their ids, and each fold is predicted by a model of the other four; or they come in the
order of their assignments, in blocks, each predicted before it is learned. All are judged on the
records as they are stored now, including what happened after the assignment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from stream_persona.errors import InputError
from stream_persona.model.calibration_panel import Member, concatenate
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.evaluation import Prequential
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.river_adapter import ADDITIVE, Example, Learner, make_classifier
from stream_persona.model.shard import PANEL
from stream_persona.model.statistics import FOLDS, hash_customer, make_contribution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stream_persona.domain.taxonomy import Taxonomy

    Progress = Callable[[int], None]
    Clock = Callable[[], float]
    Rows = Sequence[Sequence[float]]

#: Challengers where neither the comparison nor the settings name any.
DEFAULT_CHALLENGERS: Final = (
    "river.naive_bayes:MultinomialNB",
    "river.naive_bayes:ComplementNB",
    "river.naive_bayes:BernoulliNB",
    "river.linear_model:SoftmaxRegression",
)
PRIOR: Final = "class prior"
#: Fewer labelled customers than this are not compared.
LEAST: Final = 10
_BLOCKS: Final = 20


@dataclass(frozen=True)
class ComparisonRow:
    """One model's figures over all trials, and its microseconds a customer.

    ``learn_us`` is everything from examples to a model that predicts, calibration included, for
    each customer learned. ``failure`` is empty, or one sentence on why the model failed: the
    figures are then those of the trials before.
    """

    model: str
    trials: int
    log_loss: float
    accuracy: float
    macro_f1: float
    ece: float
    learn_us: float
    predict_us: float
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a comparison: learn ``study``, with a new model if ``anew``; predict ``exam``."""

    anew: bool
    study: Sequence[Example]
    exam: Sequence[Example]


class Contestant(Protocol):
    """A model that can be compared."""

    def learn(self, known: Sequence[Example]) -> None:
        """Learn these examples as well."""
        ...

    def score(self, asked: Sequence[Example]) -> Rows:
        """Return probabilities for each example, in the order of the personas."""
        ...


class Prior:
    """Predicts the shares of the personas among the examples learned."""

    def __init__(self, personas: Sequence[str]) -> None:
        self._seen = dict.fromkeys(personas, 0)

    def learn(self, known: Sequence[Example]) -> None:
        """Count the personas."""
        for example in known:
            self._seen[example.persona] += 1

    def score(self, asked: Sequence[Example]) -> Rows:
        """Return the same for every example."""
        total = sum(self._seen.values()) + len(self._seen)
        return [[(n + 1) / total for n in self._seen.values()]] * len(asked)


class Additive:
    """Predicts with the package's own model and its calibration, as workers derive it."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._fitter = ModelFitter(taxonomy)
        self._sums = PersonaClassifier()
        self._panel: list[Member] = []

    def learn(self, known: Sequence[Example]) -> None:
        """Add the contributions, derive the weights, calibrate."""
        for example in known:
            key = hash_customer(example.customer_id)
            self._sums.add(make_contribution(example.profile, key % FOLDS), example.persona)
            self._panel.append(Member(key, key % FOLDS, example.persona, example.profile))
        self._panel = sorted(self._panel, key=lambda member: member.key)[:PANEL]
        if known:
            self._fitter.update(self._sums, self._panel, calibrate=True)

    def score(self, asked: Sequence[Example]) -> Rows:
        """Predict all at once."""
        rows = concatenate([example.profile for example in asked])
        found: list[list[float]] = self._fitter.weights.predict_probabilities(rows).tolist()
        return found


class Rival:
    """Predicts with a River classifier."""

    def __init__(self, specification: str, personas: Sequence[str]) -> None:
        self._learner = Learner(make_classifier(specification), personas)

    def learn(self, known: Sequence[Example]) -> None:
        """Learn one after another."""
        for example in known:
            self._learner.learn(example.persona, example.profile)

    def score(self, asked: Sequence[Example]) -> Rows:
        """Predict one after another."""
        return [self._learner.predict_probabilities(example.profile) for example in asked]


def make_contestants(
    specifications: Sequence[str], taxonomy: Taxonomy
) -> dict[str, Callable[[], Contestant]]:
    """Return factories of contestants by name: the class prior, and what specifications name.

    Raises:
        SettingsError: one is no River classifier.
    """
    found: dict[str, Callable[[], Contestant]] = {PRIOR: lambda: Prior(taxonomy.names)}
    for name in specifications:
        if name == ADDITIVE:
            found[name] = lambda: Additive(taxonomy)
        else:
            make_classifier(name)
            found[name] = lambda name=name: Rival(name, taxonomy.names)  # type: ignore[misc]
    return found


def split_into_folds(known: Sequence[Example]) -> Iterator[Step]:
    """Yield five folds by a hash of the ids: learn four, predict the fifth.

    It is another hash than that of the calibration's folds.
    """
    fold = {each.customer_id: hash_customer(f"fold {each.customer_id}") % FOLDS for each in known}
    for number in sorted(set(fold.values())):
        study = [each for each in known if fold[each.customer_id] != number]
        yield Step(anew=True, study=study, exam=[e for e in known if fold[e.customer_id] == number])


def split_into_blocks(known: Sequence[Example]) -> Iterator[Step]:
    """Yield blocks in the order of the assignments' event times: predict one, then learn it."""
    ordered = sorted(known, key=lambda each: (each.assigned_at, each.customer_id))
    size, last = -(-len(ordered) // _BLOCKS), list[Example]()
    for start in range(0, len(ordered), size):
        block = ordered[start : start + size]
        yield Step(anew=not start, study=last, exam=block)
        last = block


def judge(
    name: str,
    make: Callable[[], Contestant],
    steps: Sequence[Step],
    personas: Sequence[str],
    progress: Progress,
    clock: Clock,
) -> ComparisonRow:
    """Take one contestant through all steps."""
    quality, watch, failure = Prequential(personas), _Stopwatch(clock), ""
    contestant = make()
    for step in steps:
        contestant = make() if step.anew else contestant
        try:
            watch.learn(contestant, step.study)
            rows = watch.score(contestant, step.exam)
        except Exception as error:  # noqa: BLE001 - a classifier may fail in any way
            failure = " ".join(str(error).split()) or type(error).__name__
            break
        for example, row in zip(step.exam, rows, strict=True):
            quality.judge(example.persona, row)
        progress(len(step.exam))
    made = quality.snapshot()
    learn_us, predict_us = watch.get_microseconds()
    return ComparisonRow(
        name, made.trials, made.log_loss, made.accuracy, made.macro_f1, made.ece,
        learn_us, predict_us, failure,
    )  # fmt: skip


class _Stopwatch:
    """Measures the time of learning and of predicting a customer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds = [0.0, 0.0]
        self._customers = [0, 0]

    def learn(self, contestant: Contestant, study: Sequence[Example]) -> None:
        start = self._clock()
        contestant.learn(study)
        self._add(0, start, len(study))

    def score(self, contestant: Contestant, exam: Sequence[Example]) -> Rows:
        start = self._clock()
        rows = contestant.score(exam)
        self._add(1, start, len(exam))
        return rows

    def get_microseconds(self) -> list[float]:
        pairs = zip(self._seconds, self._customers, strict=True)
        return [1e6 * seconds / max(1, number) for seconds, number in pairs]

    def _add(self, what: int, start: float, number: int) -> None:
        self._seconds[what] += self._clock() - start
        self._customers[what] += number


def compare(
    known: Sequence[Example],
    models: dict[str, Callable[[], Contestant]],
    taxonomy: Taxonomy,
    clock: Clock,
    progress: Progress = lambda _: None,
    *,
    in_time: bool = False,
) -> list[ComparisonRow]:
    """Return a row for each model; ``in_time`` takes blocks in the order of time, not folds.

    ``clock`` gives seconds, by which learning and predicting are measured. ``progress`` is called
    with each number of customers predicted.

    Raises:
        InputError: there are too few labelled customers to compare anything.
    """
    personas = {example.persona for example in known}
    if len(known) < LEAST or len(personas) == 1:
        raise InputError(
            f"at least {LEAST} labelled customers of two personas are needed to compare models, "
            f"found {len(known)} of {len(personas)}: assign some, see stream-persona assign --help"
        )
    steps = list(split_into_blocks(known) if in_time else split_into_folds(known))
    return [
        judge(name, make, steps, taxonomy.names, progress, clock) for name, make in models.items()
    ]
