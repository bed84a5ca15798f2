"""The ``_predict`` query: its shape, its checks and its answer. Pure.

A query names a customer, or the behaviour of a hypothetical shopper, or both: the customer as if
they did that now (``evidence``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictInt,
    StrictStr,
    ValidationError,
)

from stream_persona.api.evidence import (
    CUSTOMER,
    Evidence,
    as_list,
    describe_features,
    format_value,
    read_evidence,
)
from stream_persona.api.quick_route import is_plain
from stream_persona.domain.events import check_id
from stream_persona.domain.features import Counts, compute_profiles
from stream_persona.domain.identity import NOBODY_IDS
from stream_persona.errors import QueryError
from stream_persona.model.classifier import make_profile
from stream_persona.model.explain import build_trees
from stream_persona.pipeline.decision import apportion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_persona.domain.features import Profiles
    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.predictor import Predictor

#: What ``predict`` may name.
TARGET: Final = "persona"

#: ``$p`` is rounded to twelve decimals, so that those of all personas sum to 1 as they are printed.
_PARTS: Final = 10**12

EXAMPLE: Final[dict[str, JsonValue]] = {
    "from": "customer_purchases",
    "where": {"customer_id": "CUST-04812"},
    "predict": "persona",
    "select": ["$p", "$why", "persona"],
    "limit": 3,
}


def _accept_whole_float(value: object) -> object:
    """Convert a float without a fraction: 3.0 is an integer in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: A number of hits.
Number = Annotated[StrictInt, Field(ge=0, le=1_000), BeforeValidator(_accept_whole_float)]
Key = Literal["$p", "$why", "persona", "feature", "$value", "field"]


class PersonaQuery(BaseModel):
    """A request for the personas of one shopper, the likeliest first."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": EXAMPLE})

    view: Annotated[
        StrictStr | None, Field(alias="from", description="The configured view; the default.")
    ] = None
    where: Annotated[
        dict[str, Any],
        Field(
            description="`customer_id`, or what a hypothetical shopper did: "
            '`{"category": "baby/diapers"}`, a list for several values of a feature. Both together '
            "are the customer as if they did that now, in one event; nothing of it is kept."
        ),
    ]
    predict: Annotated[StrictStr, Field(description="Always `persona`.")] = TARGET
    select: Annotated[
        tuple[Key, ...],
        Field(min_length=1, max_length=16, description="The keys of each hit; all but `$why`."),
    ] = ("$p", "persona", "feature", "$value", "field")
    limit: Annotated[Number, Field(description="Most hits.")] = 10
    offset: Annotated[Number, Field(description="Hits to leave out.")] = 0


def read_query(body: dict[str, Any]) -> PersonaQuery | None:
    """Read an ordinary body; None for another one, which may be right still."""
    where = body.get("where")
    if not isinstance(where, dict):
        return None
    values = (each for value in where.values() for each in as_list(value))
    if not all(map(is_plain, values)):
        return None
    try:
        return PersonaQuery.model_validate(body)
    except ValidationError:
        return None


@dataclass(frozen=True, slots=True)
class Subject:
    """The shopper that a query is about, as the model reads it; ``name`` names a slot's token."""

    profile: Profiles
    name: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class CustomerWithEvidence:
    """A customer, and what they are supposed to do now besides what is known of them."""

    customer_id: str
    evidence: Evidence


def parse_subject(
    query: PersonaQuery, taxonomy: Taxonomy, nobody: NobodyIds = NOBODY_IDS
) -> str | CustomerWithEvidence | Subject:
    """Check a query; return its customer, or the hypothetical shopper that it describes.

    Raises:
        QueryError: a field is wrong; the message names it and what was expected.
        DecodeError: the customer id could not be one.
    """
    if query.view not in {None, taxonomy.view}:
        raise QueryError(f"from: expected {taxonomy.view!r}, got {format_value(query.view)}")
    if query.predict != TARGET:
        raise QueryError(f"predict: expected {TARGET!r}, got {format_value(query.predict)}")
    if not query.where:
        raise QueryError(
            f"where: expected {CUSTOMER}, or at least one of {describe_features(taxonomy)}"
        )
    if CUSTOMER not in query.where:
        return describe_hypothetical(query.where, taxonomy)
    customer_id = query.where[CUSTOMER]
    if not isinstance(customer_id, str):
        raise QueryError(f"where.{CUSTOMER}: expected a text, got {format_value(customer_id)}")
    is_nobody = customer_id in nobody  # as an unknown customer
    if not is_nobody:
        check_id(customer_id)
    given = {feature: value for feature, value in query.where.items() if feature != CUSTOMER}
    if not given:
        return describe_customer(Counts.empty(), taxonomy, str) if is_nobody else customer_id
    if is_nobody:
        return describe_hypothetical(given, taxonomy)
    return CustomerWithEvidence(customer_id, read_evidence(given, taxonomy))


def describe_customer(counts: Counts, taxonomy: Taxonomy, name: Callable[[int], str]) -> Subject:
    """Describe a customer by their counts. Empty ones leave the prior alone to decide."""
    return Subject(compute_profiles([counts], taxonomy.features), name)


def describe_hypothetical(where: dict[str, Any], taxonomy: Taxonomy) -> Subject:
    """Describe a shopper with one event that holds every value of ``where`` once.

    Raises:
        QueryError: a feature that the taxonomy does not read, or a value of the wrong kind.
    """
    evidence = read_evidence(where, taxonomy)
    profile = make_profile({"events": 1.0, **dict.fromkeys(evidence.names, 1.0)})
    return Subject(profile, evidence.name_slot)


def answer_prediction(query: PersonaQuery, about: Subject, weights: Predictor) -> dict[str, Any]:
    """Answer with hits by falling probability; ties are in the order of the taxonomy."""
    exact, slots, added = weights.predict_one(about.profile)
    ranked = (-exact).argsort(kind="stable")[query.offset : query.offset + query.limit].tolist()
    shown = (apportion(exact[None], _PARTS)[0] / _PARTS).tolist()
    why: dict[int, dict[str, Any]] = {}
    if "$why" in query.select:
        personas = [weights.classes[i] for i in ranked]
        found = build_trees(weights, personas, exact, slots, added, about.name)
        why = dict(zip(ranked, found, strict=True))
        _show_product(why, exact.tolist(), shown)
    return {
        "offset": query.offset,
        "total": len(shown),
        "hits": [_hit(query.select, weights.classes[i], shown[i], why.get(i)) for i in ranked],
    }


def _hit(select: Sequence[Key], persona: str, shown: float, why: object) -> dict[str, Any]:
    values = {"$p": shown, "$why": why, "field": TARGET}
    return {key: values.get(key, persona) for key in select}


def _show_product(
    why: dict[int, dict[str, Any]], exact: Sequence[float], shown: Sequence[float]
) -> None:
    """Set each tree's normalizer such that the product of its factors is what is shown.

    What is shown of all personas sums to 1.
    """
    for i, tree in why.items():
        if exact[i]:
            (normalizer,) = (f for f in tree["factors"] if f["type"] == "normalizer")
            normalizer["value"] *= shown[i] / exact[i]
