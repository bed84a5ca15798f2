"""The models that are compared: ours, the prior, River's classifiers and the batch bound.

Each is a function of a task and a split, and gives what it predicts of the test households after
n events, and what it costs. River's get the coarse tokens' decayed counts of each training
household once, in a seeded order.
"""

import pickle
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import lightgbm
import numpy as np
from numpy.typing import NDArray
from river import compose, forest, linear_model, naive_bayes, optim, preprocessing
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stream_persona.domain.features import Profiles
from stream_persona.domain.log_share import LOG_GAIN
from stream_persona.domain.slots import COARSE_SLOTS, SLOTS
from stream_persona.model.calibration import fit_calibration
from stream_persona.model.estimator import derive
from stream_persona.model.shard import PANEL
from stream_persona.model.statistics import Sums, make_contribution
from stream_persona.model.weights import Weights
from tests.benchmarks.tasks import TIMES, Task, key_and_fold

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The rate that suits the test households of B7 and L4 best: generous to a peer.
SOFTMAX_RATE = 0.001
_TREES = 10
_LEAST_HOUSEHOLDS = 8


class Split(NamedTuple):
    """Rows of a task's households, and the number of the split."""

    train: Ints
    test: Ints
    seed: int


@dataclass
class Result:
    """Probabilities (test households, classes) by time; microseconds and bytes of the model."""

    probabilities: dict[str, Floats]
    learn_us: float = 0.0
    predict_us: float = 0.0
    single_us: float = 0.0
    bytes: float = 0.0


def timed(call: Callable[[], Any], times: int = 1) -> tuple[Any, float]:
    """Make a call; return its result, and the least microseconds that it took."""
    least, found = float("inf"), None
    for _ in range(times):
        start = time.perf_counter()
        found = call()
        least = min(least, 1e6 * (time.perf_counter() - start))
    return found, least


# --- ours ---


def learn(task: Task, rows: Sequence[int]) -> Sums:
    """Learn from some households, each in its own fold; return the sums."""
    sums, seen = Sums(), task.seen(rows)
    for i, row in enumerate(rows):
        _, fold = key_and_fold(task.customers[row])
        sums.add(make_contribution(seen.select_row(i), fold), task.classes[task.labels[row]])
    sums.stack(task.classes)  # sums up what still waits
    return sums


def ours(task: Task, split: Split) -> dict[str, Result]:
    """The additive classifier with its calibration, with default gains, and its prior alone."""
    train = split.train.tolist()
    sums, learning = timed(lambda: learn(task, train))
    weights = derive(sums, task.classes)
    panel = sorted(task.members(train), key=lambda member: member.key)[:PANEL]
    stacked = sums.stack(task.classes)
    fitted = fit_calibration(panel, stacked, task.classes).derive_weights(stacked, task.classes)
    size = len(sums.to_bytes())
    prior = np.exp(weights.log_prior)[None, :] / np.exp(weights.log_prior).sum()
    by_time = {name: prior.repeat(len(split.test), axis=0) for name in TIMES}
    learn_us = learning / len(train)
    return {
        "ours": predict(task, split, fitted, learn_us, size),
        "ours_default_gains": predict(task, split, weights, learn_us, size),
        "prior": Result(by_time, bytes=8 * len(task.classes)),
    }


def predict(task: Task, split: Split, weights: Weights, learn_us: float, size: float) -> Result:
    """Predict the test households with these weights: all at once, and timed one by one as well."""
    seen = {name: task.seen(split.test, name) for name in TIMES}
    found = {name: weights.predict_probabilities(profiles) for name, profiles in seen.items()}
    end = seen["end"]
    _, batch = timed(lambda: weights.predict_probabilities(end), 3)
    single = [end.select_row(row) for row in range(min(len(end), 100))]
    _, alone = timed(lambda: [weights.predict_probabilities(one) for one in single])
    return Result(found, learn_us, batch / len(end), alone / len(single), size)


# --- River's ---


def softmax() -> Any:
    model = linear_model.SoftmaxRegression(optim.SGD(SOFTMAX_RATE))
    return compose.Pipeline(preprocessing.StandardScaler(), model)


#: Name to how the model is made from the number of the split.
RIVER: dict[str, Callable[[int], Any]] = {
    "multinomial_nb": lambda _: naive_bayes.MultinomialNB(),
    "complement_nb": lambda _: naive_bayes.ComplementNB(),
    "bernoulli_nb": lambda _: naive_bayes.BernoulliNB(),
    "softmax": lambda _: softmax(),
    "arf": lambda seed: forest.ARFClassifier(n_models=_TREES, seed=seed),
}


def river(name: str, task: Task, split: Split) -> dict[str, Result]:
    """One of River's classifiers, after one look at each training household."""
    model = RIVER[name](split.seed)
    order = np.random.default_rng(split.seed).permutation(split.train).tolist()
    rows = list(inputs(name, task, split.train, task.seen(order)))
    labels = task.labels[order].tolist()

    def learn() -> None:
        for x, y in zip(rows, labels, strict=True):
            model.learn_one(x, y)

    _, learning = timed(learn)
    found, took = {}, 0.0
    for at in TIMES:
        test = list(inputs(name, task, split.train, task.seen(split.test, at)))
        answers, took = timed(partial(answered, model, test))
        found[at] = as_rows(answers, len(task.classes))
    size = len(zlib.compress(pickle.dumps(model), 1))
    micros = took / len(split.test)
    return {name: Result(found, learning / len(order), micros, micros, size)}


def answered(model: Any, rows: Sequence[dict[int, float]]) -> list[dict[int, float]]:
    return [model.predict_proba_one(x) for x in rows]


def as_rows(answers: Sequence[dict[int, float]], classes: int) -> Floats:
    """River's answers as an array; without an answer all are equal."""
    rows = np.zeros((len(answers), classes))
    for row, answer in zip(rows, answers, strict=True):
        row[list(answer)] = list(answer.values())
    sums = rows.sum(axis=1, keepdims=True)
    return np.where(sums > 0, rows / np.where(sums > 0, sums, 1.0), 1.0 / classes)


def inputs(name: str, task: Task, train: Ints, seen: Profiles) -> Iterator[dict[int, float]]:
    """Decayed counts of coarse tokens; for softmax the roots of their shares, zeros and all."""
    if name != "softmax":
        yield from counts_of(seen)
        return
    slots = columns(task.seen(train), fine=False)
    for row in np.sqrt(shares(seen, slots)).tolist():
        yield dict(zip(slots.tolist(), row, strict=True))


def counts_of(seen: Profiles) -> Iterator[dict[int, float]]:
    """Slot to decayed count, of the coarse tokens."""
    bounds = zip(seen.starts.tolist(), seen.middles.tolist(), seen.events.tolist(), strict=False)
    for start, middle, events in bounds:
        part = slice(start + 1, middle)
        counts = seen.shares[part] * events
        yield dict(zip(seen.slots[part].tolist(), counts.tolist(), strict=True))


# --- the batch bound ---


def columns(seen: Profiles, *, fine: bool) -> Ints:
    """Slots that enough households have."""
    number = np.bincount(seen.slots, minlength=SLOTS)
    number[0] = 0
    if not fine:
        number[COARSE_SLOTS:] = 0
    return np.flatnonzero(number >= _LEAST_HOUSEHOLDS)


def shares(seen: Profiles, slots: Ints) -> Floats:
    """Shares of some slots, (rows, slots)."""
    position = np.full(SLOTS, -1)
    position[slots] = np.arange(len(slots))
    rows = np.repeat(np.arange(len(seen)), np.diff(seen.starts))
    at = position[seen.slots]
    dense = np.zeros((len(seen), len(slots)))
    dense[rows[at >= 0], at[at >= 0]] = seen.shares[at >= 0]
    return dense


def logistic(strength: float) -> Any:
    """Logistic regression on scaled columns."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))


def boosted(seed: int, *, fine: bool) -> Any:
    """Gradient-boosted trees, small and much regularised: there are few households."""
    own: dict[str, Any] = {
           "n_estimators": 120, "num_leaves": 6, "min_child_samples": 20, "colsample_bytree": 0.1,
           "reg_lambda": 10.0} if fine else {
           "n_estimators": 150, "num_leaves": 8, "min_child_samples": 15, "colsample_bytree": 0.3,
           "reg_lambda": 5.0}  # fmt: skip
    return lightgbm.LGBMClassifier(
        **own, learning_rate=0.04, subsample=0.7, subsample_freq=1, verbose=-1, n_jobs=1,
        random_state=seed,
    )  # fmt: skip


#: Strengths of the logistic regressions, by task: weaker signals want more ridge.
STRENGTHS = {"B7": (0.003, 0.01), "L4": (0.0003, 0.001), "L2": (0.0005, 0.001),
             "L6": (0.0003, 0.001)}  # fmt: skip


def batch(task: Task, split: Split) -> dict[str, Result]:
    """Candidates for the bound, fitted on the training households' last records.

    The best of each task is the bound, by its log-loss on the test households: a generous one.
    """
    train = task.seen(split.train)
    coarse, every = columns(train, fine=False), columns(train, fine=True)
    views = {
        "coarse": lambda seen: np.log1p(LOG_GAIN * shares(seen, coarse)),
        "all": lambda seen: np.sqrt(shares(seen, every)),
    }
    labels, found = task.labels[split.train], {}
    seen = {at: task.seen(split.test, at) for at in TIMES}
    for view, features in views.items():
        models = {f"lr_{c:g}": logistic(c) for c in STRENGTHS[task.name]}
        models["lgbm"] = boosted(split.seed, fine=view == "all")
        x, tests = features(train), {at: features(profiles) for at, profiles in seen.items()}
        for name, model in models.items():
            _, took = timed(partial(model.fit, x, labels))
            answers = {at: model.predict_proba(test) for at, test in tests.items()}
            found[f"{name}_{view}"] = Result(answers, took / len(labels))
    return {**found, "average": average(task, found)}


def average(task: Task, found: dict[str, Result]) -> Result:
    """The mean of both boosted models and the less regularised regressions."""
    strongest = f"lr_{STRENGTHS[task.name][-1]:g}"
    chosen = [found[f"{name}_{view}"] for name in ("lgbm", strongest) for view in ("coarse", "all")]
    return Result(
        {at: np.mean([each.probabilities[at] for each in chosen], axis=0) for at in TIMES},
        sum(each.learn_us for each in chosen),
    )
