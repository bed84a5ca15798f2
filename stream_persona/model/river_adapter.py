"""Any River classifier over customers' profiles: made from a text, trained, and asked.

A *specification* is ``module:Class``, with constructor arguments if need be, which are literals:
``river.forest:ARFClassifier(n_models=5)``. It may also name an estimator that a module of your own
holds ready, such as a pipeline, which is cloned: ``my_shop.models:pipeline``. ``additive`` is the
package's own classifier. Nothing that is no River estimator is ever called.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

from river import base

from stream_persona.domain.features import SCALE
from stream_persona.errors import SettingsError
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.statistics import E, P, hash_customer, make_contribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stream_persona.domain.features import Profiles

#: The specification of the package's own classifier.
ADDITIVE: Final = "additive"
#: Drawn from where a specification sets no seed: every process must learn the same.
_SEED: Final = 1
_FORM: Final = "write module:Class or module:Class(name=value, ...)"

Form = Literal["counts", "logs", "whole"]


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled customer: the persona, when it was assigned, and the profile (one row)."""

    customer_id: str
    persona: str
    profile: Profiles
    assigned_at: int = 0


class Classifier(Protocol):
    """The methods that we call of a River classifier, or of a pipeline that ends in one."""

    def learn_one(self, x: dict[Any, float], y: str) -> None:
        """Learn one customer."""
        ...

    def predict_proba_one(self, x: dict[Any, float]) -> Mapping[Any, float]:
        """Return probabilities of the classes seen."""
        ...

    def clone(self) -> Classifier:
        """Return an untrained copy with the same parameters."""
        ...


class Learner:
    """A River classifier that learns examples and answers in the order of ``personas``.

    It trains a clone: ``make_classifier`` itself is never trained.
    """

    def __init__(self, classifier: Classifier, personas: Sequence[str]) -> None:
        # Some classifiers keep counts in their parameters, so only an untrained one may be cloned.
        self._untrained = classifier
        self._classifier = classifier.clone()
        self._personas = tuple(personas)
        self._form = find_form(classifier)

    def make_fresh(self) -> Learner:
        """Return a learner of the same classifier, untrained."""
        return Learner(self._untrained, self._personas)

    def learn(self, persona: str, profile: Profiles) -> None:
        """Learn that a customer of this profile (one row) is of ``persona``."""
        self._classifier.learn_one(make_features(profile, self._form), persona)

    def predict_probabilities(self, profile: Profiles) -> tuple[float, ...]:
        """Return the posterior for a profile of one row; sums to 1."""
        found = self._classifier.predict_proba_one(make_features(profile, self._form))
        return normalize_row([found.get(persona, 0.0) for persona in self._personas])


def refold(learner: Learner, examples: Iterable[Example]) -> Learner:
    """Return a learner of exactly these examples, whatever their order and what it was before."""
    fresh = learner.make_fresh()
    for example in sort_by_hash(examples):
        fresh.learn(example.persona, example.profile)
    return fresh


def sort_by_hash(examples: Iterable[Example]) -> list[Example]:
    """Sort examples by a hash of their customers' ids: an order that depends on the set alone.

    Ids themselves may come in groups (by country, by age), which misleads classifiers that learn
    in steps.
    """
    return sorted(examples, key=lambda e: (hash_customer(e.customer_id), e.customer_id))


def find_form(classifier: object) -> Form:
    """Return the form in which a classifier takes a profile (see ``make_features``)."""
    last = _find_last_step(classifier)
    if isinstance(last, PersonaClassifier):
        return "whole"
    from river import naive_bayes  # noqa: PLC0415 - slow: only where a River classifier is used

    counting = (naive_bayes.MultinomialNB, naive_bayes.ComplementNB, naive_bayes.BernoulliNB)
    return "counts" if isinstance(last, counting) else "logs"


def make_features(profile: Profiles, form: Form) -> dict[Any, float]:
    """Return a profile of one row as River takes it, keyed by slots in their order.

    ``counts``, for the naive Bayes family, are the decayed counts of tokens, of at most 100 events:
    a heavy shopper weighs no more in them than in our own sums. ``logs``, for everything else
    (linear models, trees, neighbours), are log(1 + 200 q) of the shares q: from 0 to about 5,
    whatever the number of events. Both are exactly what a customer contributes to the sums, so a
    change of these shows when to fold again. ``whole`` has the unbounded counts and the number of
    events, for ``PersonaClassifier``.
    """
    if form == "whole":
        events = float(profile.events[0])
        counts = (profile.shares[1:] * events).tolist()
        return {"events": events, **dict(zip(profile.slots[1:].tolist(), counts, strict=True))}
    part = make_contribution(profile)
    values = (part.moments[E if form == "counts" else P] / SCALE).tolist()
    return dict(zip(part.slots.tolist(), values, strict=True))


def normalize_row(row: Sequence[float]) -> tuple[float, ...]:
    """Scale a row to a sum of 1; what is no positive number counts as 0, and no sum as uniform.

    >>> normalize_row([1, 3]), normalize_row([float("nan"), 2]), normalize_row([0, 0])
    ((0.25, 0.75), (0.0, 1.0), (0.5, 0.5))
    """
    kept = [p if math.isfinite(p) and p > 0 else 0.0 for p in map(float, row)]
    total = sum(kept)
    if not 0 < total < math.inf:
        return tuple(1 / len(kept) for _ in kept)
    return tuple(p / total for p in kept)


def parse_specifications(text: str) -> tuple[str, ...]:
    """Split a list at its commas, but not at those in parentheses; leave out what comes twice."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def make_classifier(specification: str) -> Classifier:
    """Make the River classifier that a specification names; binary ones are run one-vs-rest.

    Raises:
        SettingsError: there is none; one sentence says why.
    """
    if specification.strip() == ADDITIVE:
        return cast("Classifier", PersonaClassifier())
    path, name, arguments = _parse(specification)
    try:
        found = getattr(importlib.import_module(path), name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any module, which may do anything
        raise _make_error(
            specification, f"it cannot be imported ({_shorten_to_line(error)})"
        ) from None
    made = _construct(found, arguments, specification)
    last = _find_last_step(made)
    if last._multiclass:  # noqa: SLF001 - River's own mark
        return cast("Classifier", made)
    from river import multiclass  # noqa: PLC0415 - the same

    return cast("Classifier", multiclass.OneVsRestClassifier(made))


def _parse(specification: str) -> tuple[str, str, dict[str, Any]]:
    """Return module, name and arguments."""
    found = re.fullmatch(r"([\w.]+):(\w+)(\(.*\))?", specification.strip(), re.DOTALL)
    if found is None:
        raise _make_error(specification, _FORM)
    try:
        call = ast.parse(f"it{found[3] or '()'}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise _make_error(specification, _FORM)
        given = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords if word.arg}
        if len(given) != len(call.keywords):
            raise _make_error(specification, _FORM)
    except (ValueError, SyntaxError, TypeError, MemoryError):
        raise _make_error(specification, _FORM) from None
    return found[1], found[2], given


def _construct(found: object, arguments: dict[str, Any], specification: str) -> Any:  # noqa: ANN401
    """Construct a new classifier of what was found, if that is one."""
    from river import compose  # noqa: PLC0415 - the same

    is_class = inspect.isclass(found) and issubclass(found, base.Classifier)
    if not is_class and not isinstance(found, base.Classifier | compose.Pipeline):
        raise _make_error(
            specification, "neither a class nor an estimator for classes bears this name"
        )
    try:
        made: Any = (
            cast("Any", found)(**_with_seed(found, arguments)) if is_class
            else cast("Any", found).clone(arguments)
        )  # fmt: skip
        last = _find_last_step(made)
    except Exception as error:  # noqa: BLE001 - a constructor may fail in any way
        raise _make_error(specification, f"it cannot be made ({_shorten_to_line(error)})") from None
    if not isinstance(last, base.Classifier):
        raise _make_error(specification, f"the pipeline ends in a {type(last).__name__}")
    if type(last).predict_proba_one is base.Classifier.predict_proba_one:
        raise _make_error(specification, "it has no probabilities, only predictions")
    return made


def _with_seed(found: object, arguments: dict[str, Any]) -> dict[str, Any]:
    stochastic = "seed" in inspect.signature(cast("Any", found)).parameters
    return {"seed": _SEED, **arguments} if stochastic else arguments


def _find_last_step(made: Any) -> Any:  # noqa: ANN401 - River's estimators share no such base
    from river import compose  # noqa: PLC0415 - the same

    return list(made.steps.values())[-1] if isinstance(made, compose.Pipeline) else made


def _shorten_to_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _make_error(specification: str, why: str) -> SettingsError:
    return SettingsError(f"{specification!r} is no River classifier that can be run: {why}")
