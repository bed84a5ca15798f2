"""Models of answers to queries, for the documentation; the answers are encoded by hand."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from stream_persona.api.problems import Problem
from stream_persona.client.models import FALLBACKS

Number = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Source = Literal["predicted", "assigned"]

_WHY: Final[list[JsonValue]] = [{"feature": "category", "value": "baby/diapers", "lift": 4.2}]
_SHARES: Final[dict[str, JsonValue]] = {"parent_of_young_kids": 0.91, "student": 0.09}


def configure_example(**values: JsonValue) -> ConfigDict:
    """Build a model's configuration with an example for its documentation."""
    return ConfigDict(json_schema_extra={"example": values})


class Why(BaseModel):
    """A feature, and how much likelier it is under the persona than at all."""

    feature: str
    value: str
    lift: float


class PublicRecord(BaseModel):
    """The public record of a customer: the same as `persona:<customer_id>` in Redis."""

    model_config = configure_example(
        customer_id="CUST-04812", persona="parent_of_young_kids", confidence=0.91, ambiguous=False,
        source="predicted", distribution=_SHARES, candidates=["parent_of_young_kids"], why=_WHY,
        evidence=12.5, revision=3, updated_at="2025-11-24T16:00:00.000Z",
        model_version="0123456789ab", taxonomy_version="ba9876543210",
    )  # fmt: skip

    customer_id: str
    persona: Annotated[str | None, Field(description="Null while the customer is ambiguous.")]
    confidence: Probability
    ambiguous: bool
    source: Source
    distribution: Annotated[dict[str, Probability], Field(description="Sums to exactly 1.")]
    candidates: Annotated[list[str], Field(description="The personas that remain possible.")]
    why: list[Why]
    evidence: Annotated[float, Field(description="The decayed number of events.")]
    revision: int
    updated_at: AwareDatetime
    model_version: str
    taxonomy_version: str


class Hit(BaseModel):
    """A persona; of these keys it has those that were selected."""

    p: Annotated[
        Probability | None,
        Field(alias="$p", description="Of twelve decimals; those of all personas sum to 1."),
    ] = None
    why: Annotated[
        dict[str, Any] | None,
        Field(alias="$why", description="A tree; the product of its leaves' `value` is `$p`."),
    ] = None
    persona: str | None = None
    feature: str | None = None
    value: Annotated[str | None, Field(alias="$value")] = None
    field: str | None = None


class Prediction(BaseModel):
    """The personas of a shopper, the likeliest first."""

    model_config = configure_example(
        offset=0, total=8,
        hits=[{"$p": 0.91, "persona": "parent_of_young_kids"}, {"$p": 0.05, "persona": "student"}],
    )  # fmt: skip

    offset: int
    total: Annotated[int, Field(description="The number of personas.")]
    hits: list[Hit]


class Persona(BaseModel):
    """A persona of the taxonomy."""

    name: str
    title: str
    description: str
    labelled: Annotated[int, Field(ge=0, description="Customers who were assigned it.")]


class Personas(BaseModel):
    """All personas, and what the model has learned."""

    model_config = configure_example(
        personas=[{"name": "student", "title": "Student", "description": "", "labelled": 120}],
        view="customer_purchases", labelled=950, model_version="0123456789ab",
        taxonomy_version="ba9876543210",
    )  # fmt: skip

    personas: list[Persona]
    view: str
    labelled: int
    model_version: str
    taxonomy_version: str


class RankedItem(BaseModel):
    """An item in its new place."""

    item: Annotated[dict[str, Any], Field(description="The caller's own.")]
    position: Annotated[int, Field(ge=0, description="Its place before, from 0.")]
    score: Annotated[float, Field(description="The new one; the caller's where none was moved.")]
    affinity: Annotated[
        float,
        Field(ge=0, description="How much it suits the shopper's personas; 1 is like anybody."),
    ]
    why: Annotated[list[Why], Field(description="The features that made the affinity.")]
    own: Annotated[
        float,
        Field(ge=0, description="How much it suits the shopper's own tastes; 1 is like anybody."),
    ]
    why_own: Annotated[list[Why], Field(description="The features that made it.")]


class RankAnswer(BaseModel):
    """The items, the best first."""

    model_config = configure_example(
        customer_id="CUST-04812", persona="parent_of_young_kids", fallback=None, strength=1.0,
        own=0.0, own_fallback=None, ambiguous="baseline", group="treatment",
        items=[{
            "item": {"product_id": "P-17", "category": "baby/diapers", "score": 0.8},
            "position": 1, "score": 3.1, "affinity": 3.9, "why": _WHY,
            "own": 1.0, "why_own": [],
        }],
    )  # fmt: skip

    customer_id: str
    persona: str | None
    fallback: Annotated[
        str | None,
        Field(
            description="Why no persona moved the items; null when one did, or the mixture.",
            json_schema_extra={"enum": [*FALLBACKS, None]},
        ),
    ]
    strength: float
    own: float
    own_fallback: Annotated[
        str | None,
        Field(
            description="Why own tastes moved no item though they were asked for; else null.",
            json_schema_extra={"enum": [*FALLBACKS, None]},
        ),
    ]
    ambiguous: Literal["baseline", "mixture"]
    group: Literal["treatment", "holdout"]
    items: list[RankedItem]


class AssignmentReceipt(BaseModel):
    """The event that the workers will read."""

    model_config = configure_example(
        assignment_id="5f0c7d7e", customer_id="CUST-04812",
        occurred_at="2025-11-24T16:00:00.000Z", persona="student", source="crm", expires_at=None,
    )  # fmt: skip

    assignment_id: str
    customer_id: str
    occurred_at: AwareDatetime
    persona: str | None
    source: str | None
    expires_at: AwareDatetime | int | None


class DeletionReceipt(BaseModel):
    """The request that the workers will read."""

    model_config = configure_example(
        request_id="9a1b3c5d", customer_id="CUST-04812", requested_at="2025-11-24T16:00:00.000Z"
    )

    request_id: str
    customer_id: str
    requested_at: AwareDatetime


class Status(BaseModel):
    """The status of a service that is well."""

    model_config = configure_example(status="ready")

    status: str


class NotReady(Problem):
    """What is missing."""

    model_config = configure_example(message="not ready, missing: kafka", missing=["kafka"])

    missing: list[str]


def describe_answer(
    model: type[BaseModel], description: str, status: int = 200
) -> dict[int | str, Any]:
    """Describe an answer, for a route's ``responses``."""
    return {status: {"model": model, "description": description}}


def describe_problems(*statuses: int) -> dict[int | str, Any]:
    """Describe answers that are no success, for a route's ``responses``."""
    return {status: describe_problem(_PROBLEMS[status]) for status in statuses}


def describe_problem(description: str) -> dict[str, Any]:
    """Describe one of them in words of one's own.

    ``Problem`` is named and not given: FastAPI would build a validator of it for each answer.
    """
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_PROBLEMS: Final = {
    400: "Something in the request is wrong; the sentence names it.",
    401: "There is no API key in the request, or one that is not known.",
    403: "The key lacks the scope that the sentence names. Or there are no keys, and the request "
    "may be of another machine, or of another site's page.",
    404: "The customer is not known; with a line break in an id there is not even a path.",
    405: "This can't be done to what the path names.",
    413: "The body is too large.",
    415: "The body is packed otherwise than by gzip.",
    429: "Too many requests; `Retry-After` says in how many seconds to try again.",
    431: "The request's line and headers are too long: name less.",
    503: "Redis or Kafka is away, or this API is set otherwise than the workers are; the sentence "
    "says which. Try again after `Retry-After` seconds.",
}
