"""Fits the model: from the merged statistics of all partitions to weights and calibration.

All of it is a pure function of the labelled customers' records, so every worker and the API derive
the same weights, bit for bit.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from stream_persona.model.calibration import Calibration, calibrated
from stream_persona.model.classifier import PersonaClassifier, seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.calibration_panel import Member
    from stream_persona.model.weights import Weights


class ModelFitter:
    """Derives weights and calibration from the merged statistics of all partitions.

    Calibrating takes longer than deriving weights, so it may be left out of an update;
    ``settled`` tells whether the last one belongs to the present statistics.
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._taxonomy = taxonomy
        self._seeds = seeds(taxonomy)
        self._calibration = Calibration()
        self._calibrated_version = ""
        self._sums_version = ""
        self.labelled: dict[str, int] = {}
        self.weights = self._derive(PersonaClassifier(), [])

    @property
    def settled(self) -> bool:
        """Whether the calibration belongs to the present sums."""
        return self._calibrated_version == self._sums_version

    def update(self, total: PersonaClassifier, panel: Sequence[Member], *, calibrate: bool) -> None:
        """Derive new weights, and a new calibration from ``panel`` with ``calibrate``.

        This takes up to seconds: call it in a thread, with sums that nothing else changes.
        """
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
            self._calibrated_version = self._sums_version
        weights = self._calibration.weights(stacked, taxonomy.names, self._seeds)
        return replace(weights, version=_version(self._sums_version, self._calibration))


def _version(sums_version: str, calibration: Calibration) -> str:
    # Versions are stored and compared, so this text stays as it is when a field is renamed.
    text = (
        f"{sums_version} Calibration(gains={calibration.gains!r}, "
        f"loudness={calibration.evidence_scale!r}, threshold={calibration.threshold!r}, "
        f"candidate_floor={calibration.candidate_floor!r})"
    )
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
