"""Labelled customers, the weights that are fitted to some of them, and who of the rest is named.

The fit is the product's own: sums of contributions, the panel of the lowest hashes, the calibration
with the policy's precision and coverage, and the taxonomy's seeds as the prior.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_persona.domain.features import Profiles
from stream_persona.domain.taxonomy import Policy, Taxonomy
from stream_persona.model.calibration import fit_calibration
from stream_persona.model.calibration_panel import Member
from stream_persona.model.classifier import make_seed_sums
from stream_persona.model.shard import PANEL
from stream_persona.model.statistics import FOLDS, Contributions, Sums, hash_customer
from stream_persona.model.weights import Weights

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: The confidence at which a persona is named while nothing is measured.
UNMEASURED = Policy().min_confidence


@dataclass
class Customers:
    """Labelled customers, row by row: their ids, personas and profiles."""

    ids: list[str]
    personas: list[str]
    profiles: Profiles

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, numbers: Sequence[int]) -> "Customers":
        """Return some of them, in this order."""
        return Customers(
            [self.ids[row] for row in numbers],
            [self.personas[row] for row in numbers],
            self.profiles.select_rows(numbers),
        )

    def numbers(self, classes: Sequence[str]) -> Ints:
        """Return the column of each one's persona among ``classes``, (rows,)."""
        return np.array([classes.index(persona) for persona in self.personas], np.int64)


def sum_contributions(customers: Customers, sign: int = 1) -> Sums:
    """Return the sums of what the customers contribute, or their negative with ``sign`` -1."""
    sums = Sums()
    folds = [hash_customer(name) % FOLDS for name in customers.ids]
    rows = Contributions.of(customers.profiles, folds)
    sums.add_rows(rows, customers.personas, [sign] * len(customers))
    return sums


def choose_panel(customers: Customers, size: int = PANEL) -> list[Member]:
    """Return the customers of the lowest hashes: those on whom the calibration is measured."""
    keys = [hash_customer(name) for name in customers.ids]
    lowest = sorted(range(len(keys)), key=keys.__getitem__)[:size]
    return [
        Member(keys[i], keys[i] % FOLDS, customers.personas[i], customers.profiles.select_row(i))
        for i in lowest
    ]


def fit_weights(customers: Customers, taxonomy: Taxonomy, panel: int = PANEL) -> Weights:
    """Fit weights to labelled customers, and their calibration to so many of them."""
    return calibrate(sum_contributions(customers), choose_panel(customers, panel), taxonomy)


def calibrate(sums: Sums, panel: Sequence[Member], taxonomy: Taxonomy) -> Weights:
    """Derive the weights of these sums, calibrated on a panel."""
    names, policy, prior = taxonomy.names, taxonomy.policy, make_seed_sums(taxonomy)
    stacked = sums.stack(names)
    calibration = fit_calibration(
        panel,
        stacked,
        names,
        prior,
        precision=policy.target_precision,
        coverage=policy.candidate_coverage,
    )
    return calibration.derive_weights(stacked, names, prior)


def predict_prior(weights: Weights, rows: int) -> Floats:
    """Return what is predicted of customers without evidence, (rows, classes)."""
    prior = np.exp(weights.log_prior)
    return np.tile(prior / prior.sum(), (rows, 1))


def naming_thresholds(weights: Weights) -> Floats:
    """Return the least confidence at which each persona is named, (classes,)."""
    return np.array([UNMEASURED if each is None else each for each in weights.thresholds])


def named(weights: Weights, probabilities: Floats) -> Flags:
    """Return whether the likeliest persona of each row (rows, classes) is named, (rows,)."""
    least = naming_thresholds(weights)[probabilities.argmax(axis=1)]
    return np.asarray(probabilities.max(axis=1) >= least)
