"""Posteriors and changes of the demo's shoppers, as dashboards receive them."""

from typing import Any

from stream_persona.demo.results import Results
from stream_persona.demo.study import Study

STUDY = Study({"HH-1": "a", "HH-2": "a", "HH-3": "b"}, {"HH-4": "a", "HH-5": "b", "HH-6": "b"})


def posterior(a: float, *, persona: str | None = None) -> dict[str, Any]:
    return {
        "persona": persona,
        "confidence": max(a, 1 - a),
        "ambiguous": persona is None,
        "source": "predicted",
        "distribution": {"a": a, "b": 1 - a},
    }


def change(
    customer: str, current: dict[str, Any], previous: dict[str, Any] | None = None, **fields: object
) -> dict[str, Any]:
    why = [{"feature": "category", "value": "grocery/cat-food", "lift": 5.123}]
    common = {"customer_id": customer, "cause": "behaviour", "previous": previous, "why": why}
    return common | {"current": current} | fields


def results_of(*changes: dict[str, Any]) -> Results:
    results = Results(STUDY)
    for each in changes:
        results.add_change(each)
    return results
