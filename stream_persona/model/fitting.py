"""What all parts of the model know together: merged sums, calibration, weights.

A part is one partition's share: its sums, and its members of the calibration panel, which are the
labelled customers of the lowest hashes. All of it is a pure function of the labelled customers'
records, so every worker and the API derive the same weights, bit for bit.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from stream_persona.model.calibration import Calibration, calibrated
from stream_persona.model.calibration_panel import Member
from stream_persona.model.classifier import PersonaClassifier, seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.weights import Weights


class ModelFitter:
    """The weights of all parts together; the calibration may lag behind, and ``settled`` tells."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        # Of the process, from now on: matrices as small as the model's take BLAS's threads, which
        # wait by spinning, twice as long as one; and each number of threads has bits of its own.
        threadpool_limits(1, user_api="blas")
        self._taxonomy = taxonomy
        self._seeds = seeds(taxonomy)
        self._calibration = Calibration()
        self._calibrated_for = ""
        self._sums_version = ""
        self.labelled: dict[str, int] = {}
        self.weights = self._derive(PersonaClassifier(), [])

    @property
    def settled(self) -> bool:
        """Whether the calibration belongs to the present sums."""
        return self._calibrated_for == self._sums_version

    def update(self, total: PersonaClassifier, panel: Sequence[Member], *, calibrate: bool) -> None:
        """New weights; heavy, so call it in a thread, with sums that nobody else touches."""
        self.weights = self._derive(total, panel if calibrate else None)
        self.labelled = total.labels()

    def _derive(self, total: PersonaClassifier, panel: Sequence[Member] | None) -> Weights:
        taxonomy, policy = self._taxonomy, self._taxonomy.policy
        stacked = total.stacked(taxonomy.names)
        self._sums_version = hashlib.blake2b(total.canonical(), digest_size=8).hexdigest()
        if panel is not None:
            self._calibration = calibrated(
                panel, stacked, taxonomy.names, self._seeds,
                precision=policy.target_precision, coverage=policy.candidate_coverage,
            )  # fmt: skip
            self._calibrated_for = self._sums_version
        now = self._calibration
        text = f"{self._sums_version} {now!r}"
        weights = now.weights(stacked, taxonomy.names, self._seeds)
        version = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        return replace(weights, version=version)
