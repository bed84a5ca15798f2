"""Fits the model: from the merged statistics of all partitions to weights and calibration.

All of it is a pure function of the labelled customers' records, so every worker and the API derive
the same weights, bit for bit.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stream_persona.model.calibration import Calibration, fit_calibration
from stream_persona.model.classifier import PersonaClassifier, make_seed_sums

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.calibration_panel import Member
    from stream_persona.model.weights import Weights


class ModelFitter:
    """Derives weights and calibration from the merged statistics of all partitions.

    Calibrating takes longer than deriving weights, so it may be left out of an update; then the
    last calibration stays in use, and ``settled`` is False until the next.
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._taxonomy = taxonomy
        self._seeds = make_seed_sums(taxonomy)
        self._calibration = Calibration()
        self._inputs = self._calibrated_inputs = _Inputs("", {})
        self.labelled: dict[str, int] = {}
        self.weights = self._derive(PersonaClassifier(), [], calibrate=True)

    @property
    def settled(self) -> bool:
        """Whether the calibration is that of the last update's sums and panel."""
        return self._calibrated_inputs.is_same(self._inputs)

    def update(self, total: PersonaClassifier, panel: Sequence[Member], *, calibrate: bool) -> None:
        """Derive new weights, and with ``calibrate`` a new calibration.

        This takes up to seconds: call it in a thread, with sums that nothing else changes.
        """
        self.weights = self._derive(total, panel, calibrate=calibrate)
        self.labelled = total.count_labels()

    def _derive(
        self, total: PersonaClassifier, panel: Sequence[Member], *, calibrate: bool
    ) -> Weights:
        taxonomy, policy = self._taxonomy, self._taxonomy.policy
        stacked = total.stack(taxonomy.names)
        version = hashlib.blake2b(total.encode_canonically(), digest_size=8).hexdigest()
        self._inputs = _Inputs(version, {member.key: member for member in panel})
        if calibrate:
            self._calibration = fit_calibration(
                panel, stacked, taxonomy.names, self._seeds,
                precision=policy.target_precision, coverage=policy.candidate_coverage,
            )  # fmt: skip
            self._calibrated_inputs = self._inputs
        weights = self._calibration.derive_weights(stacked, taxonomy.names, self._seeds)
        return replace(weights, version=_hash_version(version, self._calibration))


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a calibration is made of: a version of the sums, and the panel by key.

    A worker reads the panel of its own shards later than it adds to their sums.
    """

    sums_version: str
    panel: Mapping[int, Member]

    def is_same(self, other: _Inputs) -> bool:
        """Whether a calibration of the other inputs would be the same."""
        return (
            self.sums_version == other.sums_version
            and self.panel.keys() == other.panel.keys()
            and all(other.panel[key].is_same(member) for key, member in self.panel.items())
        )


def _hash_version(sums_version: str, calibration: Calibration) -> str:
    return hashlib.blake2b(f"{sums_version} {calibration!r}".encode(), digest_size=6).hexdigest()
