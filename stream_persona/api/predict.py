"""The ``_predict`` query: its shape, its checks and its answer. Pure.

A query names a customer, or the behaviour of a hypothetical shopper: then every (feature, value)
is a token of one event, and a hierarchical category is a token at each of its levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
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

from stream_persona.api.quick_route import is_plain
from stream_persona.domain.binning import BANDS, canonical_field, split_values
from stream_persona.domain.events import check_id
from stream_persona.domain.features import Counts, compute_profiles
from stream_persona.domain.identity import NOBODY_IDS
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import QueryError
from stream_persona.model.classifier import profile_of
from stream_persona.model.explain import trees
from stream_persona.pipeline.decision import apportion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from stream_persona.domain.features import Profiles
    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.predictor import Predictor

#: What ``predict`` may name, and the key of ``where`` that names a customer.
TARGET: Final = "persona"
CUSTOMER: Final = "customer_id"

#: ``$p`` is rounded to twelve decimals, so that those of all personas sum to 1 as they are printed.
_PARTS: Final = 10**12

#: Most values of ``where`` for a hypothetical shopper, and most characters of a value or feature.
MAX_VALUES: Final = 1_000
MAX_TEXT: Final = 1_024

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
            '`{"category": "baby/diapers"}`, a list for several values of a feature.'
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
    values = (each for value in where.values() for each in _list(value))
    if not all(map(is_plain, values)):
        return None
    try:
        return PersonaQuery.model_validate(body)
    except ValidationError:
        return None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True, slots=True)
class Subject:
    """The shopper that a query is about, as the model reads it; ``name`` names a slot's token."""

    profile: Profiles
    name: Callable[[int], str]


def parse_subject(
    query: PersonaQuery, taxonomy: Taxonomy, nobody: NobodyIds = NOBODY_IDS
) -> str | Subject:
    """Check a query; return its customer's id, or the hypothetical shopper that it describes.

    Raises:
        QueryError: a field is wrong; the message names it and what was expected.
        DecodeError: the customer id could not be one.
    """
    if query.view not in {None, taxonomy.view}:
        raise QueryError(f"from: expected {taxonomy.view!r}, got {_show(query.view)}")
    if query.predict != TARGET:
        raise QueryError(f"predict: expected {TARGET!r}, got {_show(query.predict)}")
    if not query.where:
        raise QueryError(f"where: expected {CUSTOMER}, or at least one of {_features_of(taxonomy)}")
    if CUSTOMER not in query.where:
        return describe_hypothetical(query.where, taxonomy)
    if len(query.where) > 1:
        raise QueryError(f"where: expected {CUSTOMER} alone, or features without it")
    customer_id = query.where[CUSTOMER]
    if not isinstance(customer_id, str):
        raise QueryError(f"where.{CUSTOMER}: expected a text, got {_show(customer_id)}")
    if customer_id in nobody:  # as of anybody else of whom nothing is known
        return describe_customer(Counts.empty(), taxonomy, str)
    check_id(customer_id)
    return customer_id


def describe_customer(counts: Counts, taxonomy: Taxonomy, name: Callable[[int], str]) -> Subject:
    """Describe a customer by their counts. Empty ones leave the prior alone to decide."""
    return Subject(compute_profiles([counts], taxonomy.features), name)


def describe_hypothetical(where: dict[str, Any], taxonomy: Taxonomy) -> Subject:
    """Describe a shopper with one event that holds every value of ``where`` once.

    Raises:
        QueryError: a feature that the taxonomy does not read, or a value of the wrong kind.
    """
    given = sum(len(value) if isinstance(value, list) else 1 for value in where.values())
    if given > MAX_VALUES:
        raise QueryError(f"where: expected at most {MAX_VALUES:,} values, got {given:,}")
    tokenizer = Tokenizer(taxonomy)  # its own: what a caller gives is shown to that caller alone
    separator, names = taxonomy.features.category_separator, dict[int, set[str]]()
    for feature, value in where.items():
        for text in _texts(_check_feature(feature, taxonomy), value):
            for each in split_values(feature, text, separator):
                if slot := tokenizer.slot(feature, each):
                    names.setdefault(slot, set()).add(f"{feature}:{each}")
    profile = profile_of({"events": 1.0, **dict.fromkeys(sorted(names), 1.0)})
    return Subject(profile, lambda slot: " | ".join(sorted(names[slot])))


def answer(query: PersonaQuery, about: Subject, weights: Predictor) -> dict[str, Any]:
    """Answer with hits by falling probability; ties are in the order of the taxonomy."""
    row = weights.probabilities(about.profile)
    ranked = np.argsort(-row[0], kind="stable")[query.offset : query.offset + query.limit].tolist()
    shown = (apportion(row, _PARTS)[0] / _PARTS).tolist()
    why = _explain(ranked, row[0], shown, about, weights) if "$why" in query.select else {}
    return {
        "offset": query.offset,
        "total": len(shown),
        "hits": [_hit(query.select, weights.classes[i], shown[i], why.get(i)) for i in ranked],
    }


def _hit(select: Sequence[Key], persona: str, shown: float, why: object) -> dict[str, Any]:
    values = {"$p": shown, "$why": why, "field": TARGET}
    return {key: values.get(key, persona) for key in select}


def _explain(
    ranked: Sequence[int],
    exact: NDArray[np.float64],
    shown: Sequence[float],
    about: Subject,
    weights: Predictor,
) -> dict[int, dict[str, Any]]:
    """Return each hit's tree of factors, its normalizer such that their product is what is shown.

    What is shown of all personas sums to 1.
    """
    personas = [weights.classes[i] for i in ranked]
    found = trees(weights, about.profile, personas, exact, about.name)
    for i, why in zip(ranked, found, strict=True):
        if exact[i]:
            (normalizer,) = (f for f in why["factors"] if f["type"] == "normalizer")
            normalizer["value"] *= shown[i] / float(exact[i])
    return dict(zip(ranked, found, strict=True))


def _check_feature(feature: str, taxonomy: Taxonomy) -> str:
    """Return the feature if the taxonomy reads it: a field, or ``attributes.<key>``."""
    fields, own = set(map(canonical_field, taxonomy.features.fields)), canonical_field(feature)
    is_attribute = own.startswith("attributes.") and not own.endswith(".")
    field = "attributes" if is_attribute and own not in fields else own
    is_text = len(feature) <= MAX_TEXT and _clean(feature) == feature
    if feature == "attributes" or field not in fields or not is_text:
        expected = f"{CUSTOMER} or some of {_features_of(taxonomy)}"
        raise QueryError(f"where.{_shorten(_clean(feature))}: expected {expected}")
    return feature


def _features_of(taxonomy: Taxonomy) -> str:
    fields = taxonomy.features.fields
    return ", ".join("attributes.<key>" if f == "attributes" else f for f in fields)


def _texts(feature: str, value: object) -> Iterable[str]:
    """Yield the texts of a feature: numbers as their bands."""
    values = _list(value)
    if not values:
        raise QueryError(f"where.{_shorten(feature)}: expected 1 to {MAX_VALUES:,} values, got 0")
    for each in values:
        yield _text_of_one(feature, each)


def _text_of_one(feature: str, value: object) -> str:
    number = None if isinstance(value, bool) or not isinstance(value, int | float) else value
    if number is not None and feature in BANDS:
        if not 0 <= number < float("inf"):
            raise QueryError(f"where.{feature}: expected a number of at least 0")
        return BANDS[feature](number)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or _clean(value) != value:
        kind = "a text or a number" if feature in BANDS else "a text"
        expected = f"expected {kind}, or a list of such, got {_show(value)}"
        raise QueryError(f"where.{_shorten(feature)}: {expected}")
    return value


def _clean(text: str) -> str:
    """Replace what has no bytes in UTF-8."""
    return text.encode(errors="replace").decode()


def _show(value: object) -> str:
    """Print a value, short enough for a message."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return _shorten(_clean(repr(value)))


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004


#: Features that may be given as numbers.
NUMBERS: Final = frozenset(BANDS)
