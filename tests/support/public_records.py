"""Public records and changes of shoppers, as the API reads them."""

from typing import Any

import msgspec
import orjson

from stream_persona.api.dashboard.persona_counts import CountedChange
from tests.support.constants import PERSONAS

Json = dict[str, Any]


def posterior(
    persona: str | None = "parent", confidence: float = 0.9, source: str = "predicted"
) -> Json:
    """A shopper's posterior; the other personas share the rest of the confidence equally."""
    likeliest = persona or PERSONAS[0]
    rest = (1.0 - confidence) / (len(PERSONAS) - 1)
    shares = {name: confidence if name == likeliest else rest for name in PERSONAS}
    return {
        "persona": persona, "confidence": confidence, "ambiguous": persona is None,
        "source": source, "distribution": shares,
    }  # fmt: skip


def assigned_posterior(persona: str = "parent") -> Json:
    """The posterior of a shopper whose persona was assigned."""
    return posterior(persona, 1.0, "assigned")


def record(customer_id: str, current: Json | None = None, **parts: Any) -> bytes:
    """A public record."""
    whole = {
        "customer_id": customer_id, **(current or posterior()), "candidates": ["parent"],
        "why": [], "evidence": 12.0, "revision": 1, "updated_at": "2025-11-24T16:00:00.000Z",
        "model_version": "m", "taxonomy_version": "t", **parts,
    }  # fmt: skip
    return orjson.dumps(whole)


def message(customer_id: str, current: Json | None, previous: Json | None = None) -> Json:
    """A message of the channel; without ``current`` it is a deletion's."""
    if current is None:
        return {"customer_id": customer_id, "deleted": True}
    return {
        "change_id": f"{customer_id}-change", "customer_id": customer_id, "current": current,
        "previous": previous,
    }  # fmt: skip


def change(customer_id: str, current: Json | None, previous: Json | None = None) -> CountedChange:
    """The same message, decoded as the dashboard's counts do it."""
    return msgspec.convert(message(customer_id, current, previous), CountedChange)
