"""Models of answers about one customer, for the documentation."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, JsonValue

from stream_persona.api.schemas.queries import Probability, Source, configure_example
from stream_persona.pipeline.decision import CAUSES

_SHARES: Final[dict[str, JsonValue]] = {"parent_of_young_kids": 0.91, "student": 0.09}
_POSTERIOR: Final[dict[str, JsonValue]] = {
    "at": 1_764_000_000_000, "revision": 3, "cause": "behaviour",
    "persona": "parent_of_young_kids", "confidence": 0.91, "ambiguous": False,
    "source": "predicted", "distribution": _SHARES,
}  # fmt: skip
_EVENT: Final[dict[str, JsonValue]] = {
    "kind": "purchase", "event_id": "E-17", "occurred_at": 1_763_990_000_000, "weight": 2.0,
    "share": 0.16, "about": [{"feature": "category", "value": "baby/diapers"}],
}  # fmt: skip
_FLIP: Final[dict[str, JsonValue]] = {
    "persona": "student", "events": 5, "kind": "purchase", "feature": "category",
    "value": "books/textbooks", "probability": 0.52, "named": False,
}  # fmt: skip


class Posterior(BaseModel):
    """A published posterior of a customer."""

    at: Annotated[int, Field(ge=0, description="When it was published, in epoch milliseconds.")]
    revision: int
    cause: Annotated[str, Field(json_schema_extra={"enum": list(CAUSES)})]
    persona: Annotated[str | None, Field(description="Null while the customer is ambiguous.")]
    confidence: Probability
    ambiguous: bool
    source: Source
    distribution: dict[str, Probability]


class About(BaseModel):
    """A feature of an event, and its value."""

    feature: str
    value: str


class WeighedEvent(BaseModel):
    """An event, and how much it counts."""

    kind: Literal["purchase", "browse", "engagement"]
    event_id: str
    occurred_at: Annotated[
        int,
        Field(ge=0, description="In epoch milliseconds; the arrival, where it claims to be later."),
    ]
    weight: Annotated[
        float, Field(ge=0, description="Its signal's weight, decayed to the record's clock.")
    ]
    share: Annotated[float, Field(ge=0, description="The weight over the customer's evidence.")]
    about: Annotated[list[About], Field(max_length=4, description="What it was about, in short.")]


class Activity(BaseModel):
    """A customer's recent events, and the posteriors published since."""

    model_config = configure_example(
        customer_id="CUST-04812", half_life_seconds=15_552_000.0, clock=1_763_990_000_000,
        evidence=12.5, posteriors=[_POSTERIOR], events=[_EVENT], complete=True,
    )  # fmt: skip

    customer_id: str
    half_life_seconds: float
    clock: Annotated[
        int | None,
        Field(description="Of the newest event, in epoch milliseconds; null without any."),
    ]
    evidence: Annotated[float, Field(ge=0, description="The decayed number of events.")]
    posteriors: Annotated[list[Posterior], Field(description="Oldest first.")]
    events: Annotated[list[WeighedEvent], Field(description="Newest first, at most 50.")]
    complete: Annotated[
        bool, Field(description="False: the log may have older ones than were looked for.")
    ]


class Flip(BaseModel):
    """The fewest equal events, at the customer's clock, that make a persona the likeliest."""

    persona: str
    events: Annotated[int, Field(description="The fewest of 1, 2, 3, 5, 8, 13 and 20 that do.")]
    kind: Annotated[
        Literal["purchase", "browse"],
        Field(description="An item is bought, or looked at where that weighs more; or a search."),
    ]
    feature: Literal["category", "product", "brand", "query"]
    value: str
    probability: Annotated[Probability, Field(description="That of the persona, afterwards.")]
    named: Annotated[
        bool,
        Field(
            description="Whether it would be published: policy's confidence, evidence, hysteresis "
            "and dwell. An assignment is looked through."
        ),
    ]


class Flips(BaseModel):
    """The likeliest persona, and what would make others likeliest."""

    model_config = configure_example(
        customer_id="CUST-04812", persona="parent_of_young_kids", probability=0.91, flips=[_FLIP]
    )

    customer_id: str
    persona: str
    probability: Probability
    flips: Annotated[
        list[Flip],
        Field(description="By number of events; none for personas that 20 events don't reach."),
    ]
