"""The model and its challengers on all labelled customers: the same trials, the same figures.

Nobody is judged on a customer that it has learned. Either the customers fall into five folds by a
hash of their ids, and each is judged by what has learned the other four; or they come in the order
of their assignments, in blocks, each judged before it is learned. Everything is judged on the
records as they are stored now, with what happened after the assignment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from stream_persona.errors import InputError
from stream_persona.model.calibration_panel import Member, joined
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.evaluation import Prequential
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.river_adapter import ADDITIVE, Example, Learner, classifier
from stream_persona.model.shard import PANEL
from stream_persona.model.statistics import FOLDS, contribution, customer_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stream_persona.domain.taxonomy import Taxonomy

    Tell = Callable[[int], None]
    Clock = Callable[[], float]
    Rows = Sequence[Sequence[float]]

#: Challengers of a comparison that names none, in a shop that has none.
USUAL: Final = (
    "river.naive_bayes:MultinomialNB",
    "river.naive_bayes:ComplementNB",
    "river.naive_bayes:BernoulliNB",
    "river.linear_model:SoftmaxRegression",
)
PRIOR: Final = "class prior"
#: Fewer labelled customers than this tell nothing.
LEAST: Final = 10
_BLOCKS: Final = 20


@dataclass(frozen=True)
class Row:
    """What became of one model: figures over all trials, microseconds a customer.

    ``learn_us`` is everything from examples to a model that answers, calibration included, for
    each customer learned; ``failure`` is the sentence for which a model is out, its figures then
    are those of the trials before.
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
    """Learn some (having forgotten everything before, if ``anew``), then be judged on others."""

    anew: bool
    study: Sequence[Example]
    exam: Sequence[Example]


class Contestant(Protocol):
    """What can be compared."""

    def learn(self, known: Sequence[Example]) -> None:
        """Learn these as well."""
        ...

    def score(self, asked: Sequence[Example]) -> Rows:
        """Probabilities for each, in the order of the personas."""
        ...


class Prior:
    """The shares of the personas among those learned."""

    def __init__(self, personas: Sequence[str]) -> None:
        self._seen = dict.fromkeys(personas, 0)

    def learn(self, known: Sequence[Example]) -> None:
        """Count."""
        for example in known:
            self._seen[example.persona] += 1

    def score(self, asked: Sequence[Example]) -> Rows:
        """The same for everybody."""
        total = sum(self._seen.values()) + len(self._seen)
        return [[(n + 1) / total for n in self._seen.values()]] * len(asked)


class Additive:
    """The package's own model with its calibration, as workers derive it."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._learned = ModelFitter(taxonomy)
        self._sums = PersonaClassifier()
        self._panel: list[Member] = []

    def learn(self, known: Sequence[Example]) -> None:
        """Add the contributions, derive the weights, calibrate."""
        for example in known:
            key = customer_key(example.customer_id)
            self._sums.add(contribution(example.profile, key % FOLDS), example.persona)
            self._panel.append(Member(key, key % FOLDS, example.persona, example.profile))
        self._panel = sorted(self._panel, key=lambda member: member.key)[:PANEL]
        if known:
            self._learned.update(self._sums, self._panel, calibrate=True)

    def score(self, asked: Sequence[Example]) -> Rows:
        """All at once."""
        rows = joined([example.profile for example in asked])
        found: list[list[float]] = self._learned.weights.probabilities(rows).tolist()
        return found


class Rival:
    """A River classifier."""

    def __init__(self, specification: str, personas: Sequence[str]) -> None:
        self._learner = Learner(classifier(specification), personas)

    def learn(self, known: Sequence[Example]) -> None:
        """One after another."""
        for example in known:
            self._learner.learn(example.persona, example.profile)

    def score(self, asked: Sequence[Example]) -> Rows:
        """One after another."""
        return [self._learner.probabilities(example.profile) for example in asked]


def contestants(
    specifications: Sequence[str], taxonomy: Taxonomy
) -> dict[str, Callable[[], Contestant]]:
    """The class prior and what the specifications name, each as something that makes a new one.

    Raises:
        SettingsError: one is no River classifier.
    """
    found: dict[str, Callable[[], Contestant]] = {PRIOR: lambda: Prior(taxonomy.names)}
    for name in specifications:
        if name == ADDITIVE:
            found[name] = lambda: Additive(taxonomy)
        else:
            classifier(name)
            found[name] = lambda name=name: Rival(name, taxonomy.names)  # type: ignore[misc]
    return found


def folds(known: Sequence[Example]) -> Iterator[Step]:
    """Five folds by a hash of the ids: learn four, be judged on the fifth.

    It is another hash than that of the calibration's folds.
    """
    fold = {each.customer_id: customer_key(f"fold {each.customer_id}") % FOLDS for each in known}
    for number in sorted(set(fold.values())):
        study = [each for each in known if fold[each.customer_id] != number]
        yield Step(anew=True, study=study, exam=[e for e in known if fold[e.customer_id] == number])


def blocks(known: Sequence[Example]) -> Iterator[Step]:
    """In the order of the assignments' event times: be judged on a block, then learn it."""
    ordered = sorted(known, key=lambda each: (each.assigned_at, each.customer_id))
    size, last = -(-len(ordered) // _BLOCKS), list[Example]()
    for start in range(0, len(ordered), size):
        block = ordered[start : start + size]
        yield Step(anew=not start, study=last, exam=block)
        last = block


def judged(
    name: str,
    make: Callable[[], Contestant],
    steps: Sequence[Step],
    personas: Sequence[str],
    tell: Tell,
    clock: Clock,
) -> Row:
    """One contestant through all steps."""
    quality, watch, failure = Prequential(personas), _Watch(clock), ""
    contestant = make()
    for step in steps:
        contestant = make() if step.anew else contestant
        try:
            watch.learn(contestant, step.study)
            rows = watch.score(contestant, step.exam)
        except Exception as error:  # noqa: BLE001 - a classifier may fail in any way, and is then out
            failure = " ".join(str(error).split()) or type(error).__name__
            break
        for example, row in zip(step.exam, rows, strict=True):
            quality.judge(example.persona, row)
        tell(len(step.exam))
    made = quality.snapshot()
    learn_us, predict_us = watch.microseconds()
    return Row(
        name, made.trials, made.log_loss, made.accuracy, made.macro_f1, made.ece,
        learn_us, predict_us, failure,
    )  # fmt: skip


class _Watch:
    """Takes the time of learning and of predicting, for each customer."""

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

    def microseconds(self) -> list[float]:
        pairs = zip(self._seconds, self._customers, strict=True)
        return [1e6 * seconds / max(1, number) for seconds, number in pairs]

    def _add(self, what: int, start: float, number: int) -> None:
        self._seconds[what] += self._clock() - start
        self._customers[what] += number


def compared(
    known: Sequence[Example],
    models: dict[str, Callable[[], Contestant]],
    taxonomy: Taxonomy,
    clock: Clock,
    tell: Tell = lambda _: None,
    *,
    in_time: bool = False,
) -> list[Row]:
    """A row for each model; ``in_time`` takes blocks in the order of time instead of folds.

    ``clock`` gives seconds, from which the times of learning and predicting are taken.

    Raises:
        InputError: there are too few labelled customers to compare anything.
    """
    personas = {example.persona for example in known}
    if len(known) < LEAST or len(personas) == 1:
        raise InputError(
            f"at least {LEAST} labelled customers of two personas are needed to compare models, "
            f"found {len(known)} of {len(personas)}: assign some, see stream-persona assign --help"
        )
    steps = list(blocks(known) if in_time else folds(known))
    return [judged(name, make, steps, taxonomy.names, tell, clock) for name, make in models.items()]
