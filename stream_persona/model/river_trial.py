"""Tries a River classifier on made-up customers, so that one that can't work is refused at start.

Each worker and the API would otherwise find it out with the first labelled customer, hours later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.errors import SettingsError
from stream_persona.model.classifier import make_profile
from stream_persona.model.river_adapter import ADDITIVE, Example, parse_specifications
from stream_persona.model.river_model import fit

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_models(model: str, challengers: str, personas: Sequence[str]) -> None:
    """Try the model and the challengers of the settings.

    Raises:
        SettingsError: one can't be made, or fails to learn or to predict; names the setting.
    """
    tried = [("STREAM_PERSONA_MODEL", model)] if model != ADDITIVE else []
    tried += [("STREAM_PERSONA_CHALLENGERS", name) for name in parse_specifications(challengers)]
    for setting, specification in tried:
        try:
            _try(specification, personas)
        except SettingsError as error:
            remedy = f"correct it, or set {ADDITIVE}" if model == specification else "leave it out"
            raise SettingsError(f"{setting}: {error}; {remedy}") from None


def _try(specification: str, personas: Sequence[str]) -> None:
    """Let a classifier predict before and after it has learned a customer of each persona."""
    examples = [
        Example(f"trial-{number}", persona, make_profile({1: 1.0, 2 + number: 2.0, "events": 4.0}))
        for number, persona in enumerate(personas)
    ]
    for known in ((), examples):
        fit(specification, known, personas).predict_probabilities(examples[0].profile)
