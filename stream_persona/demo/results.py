"""The demo's results: the last posterior of each shopper, and how right the held-back ones are.

No I/O and no clock. Synthetic shoppers are counted apart and never evaluated.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stream_persona.demo.study import Study

#: The prefix of the ids of synthetic shoppers.
SYNTHETIC: Final = "SIM-"
#: The number of shifts that are kept for display, and of reasons in each.
_RECENT: Final = 12
_REASONS: Final = 3
_NEW: Final = "new"
_AMBIGUOUS: Final = "ambiguous"
_UNNAMED: Final = {_NEW, _AMBIGUOUS}


@dataclass(frozen=True)
class Shift:
    """A customer who got another persona, for display."""

    customer_id: str
    before: str
    after: str
    confidence: float
    reasons: str


@dataclass(frozen=True)
class HoldoutScore:
    """The predictions for the ``evaluated`` held-back shoppers, compared with the study.

    ``accuracy`` takes the most probable persona, ``majority_accuracy`` always the most common
    one among the assigned; the log-losses (in nats) are those of the distribution and of the
    shares among the assigned. ``named`` have a persona, which is right for the share
    ``named_accuracy`` of them. The figures are None while no shopper can be evaluated.
    """

    evaluated: int
    accuracy: float | None
    majority_accuracy: float | None
    log_loss: float | None
    prior_log_loss: float | None
    named: int
    named_accuracy: float | None


class Results:
    """The last posterior of every shopper, by customer id."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._latest: dict[str, Mapping[str, Any]] = {}
        self.changes: Counter[str] = Counter()
        self.recent: deque[Shift] = deque(maxlen=_RECENT)

    def add_change(self, change: Mapping[str, Any]) -> None:
        """Take a change, as published to dashboards."""
        customer = change["customer_id"]
        if "current" not in change:  # the customer was deleted
            self._latest.pop(customer, None)
            return
        current = change["current"]
        self._latest[customer] = current
        self.changes["synthetic" if customer.startswith(SYNTHETIC) else change["cause"]] += 1
        before, after = _find_name(change["previous"]), _find_name(current)
        if change["cause"] != "assignment" and before != after and {before, after} != _UNNAMED:
            reasons = _format_reasons(change["why"])
            self.recent.append(Shift(customer, before, after, current["confidence"], reasons))

    def add_record(self, customer_id: str, record: Mapping[str, Any]) -> None:
        """Take a public record, which replaces what earlier changes gave."""
        self._latest[customer_id] = record

    @property
    def customers(self) -> list[str]:
        """Every customer with a posterior."""
        return list(self._latest)

    @property
    def shoppers(self) -> int:
        """Real shoppers with a record."""
        return len(self._select_real())

    @property
    def synthetic(self) -> int:
        """Synthetic shoppers with a record."""
        return len(self._latest) - self.shoppers

    @property
    def named(self) -> int:
        """Real shoppers with a persona, assigned or predicted."""
        return sum(each["persona"] is not None for each in self._select_real())

    @property
    def ambiguous(self) -> int:
        """Real shoppers without a persona that is probable enough."""
        return sum(bool(each["ambiguous"]) for each in self._select_real())

    def score_holdout(self) -> HoldoutScore:
        """Compare the posteriors of held-back shoppers with the study."""
        truths, latest = self._study.held_back, self._latest
        known = [(truths[customer], latest[customer]) for customer in truths if customer in latest]
        named = [(truth, each) for truth, each in known if each["persona"] is not None]
        counts = Counter(self._study.assigned.values())
        prior = {name: counts[name] / max(1, counts.total()) for name in counts}
        return HoldoutScore(
            evaluated=len(known),
            accuracy=_compute_mean(
                [truth == _find_likeliest(each["distribution"]) for truth, each in known]
            ),
            majority_accuracy=_compute_mean([truth == self._study.majority for truth, _ in known]),
            log_loss=_compute_mean(
                [_compute_loss(each["distribution"], truth) for truth, each in known]
            ),
            prior_log_loss=_compute_mean([_compute_loss(prior, truth) for truth, _ in known]),
            named=len(named),
            named_accuracy=_compute_mean([truth == each["persona"] for truth, each in named]),
        )

    def _select_real(self) -> list[Mapping[str, Any]]:
        return [
            each for customer, each in self._latest.items() if not customer.startswith(SYNTHETIC)
        ]


def _find_name(posterior: Mapping[str, Any] | None) -> str:
    if posterior is None:
        return _NEW
    return str(posterior["persona"] or _AMBIGUOUS)


def _format_reasons(why: list[Mapping[str, Any]]) -> str:
    return ", ".join(f"{_format_feature(each)} ×{each['lift']:.2g}" for each in why[:_REASONS])


def _format_feature(reason: Mapping[str, Any]) -> str:
    feature = str(reason["feature"]).removeprefix("attributes.")
    return str(reason["value"]) if feature == "category" else f"{feature} {reason['value']}"


def _find_likeliest(distribution: Mapping[str, float]) -> str:
    return max(distribution, key=lambda name: distribution[name])


def _compute_loss(distribution: Mapping[str, float], truth: str) -> float:
    # Published probabilities are rounded to millionths.
    return -math.log(max(distribution.get(truth, 0.0), 1e-6))


def _compute_mean(values: list[float] | list[bool]) -> float | None:
    return sum(values) / len(values) if values else None
