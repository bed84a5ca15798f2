"""Reads a query's hypothetical behaviour: one event, given by its features. Pure.

Every (feature, value) is a token of that event, and a hierarchical category is a token at each of
its levels. The event has the weight 1, as one item that is bought has by default. Beside a customer
it is folded into what is known of them as an event of now would be: what they did before has then
the age that it has. Nothing is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.binning import BANDS, canonicalize_field, split_values
from stream_persona.domain.features import Observation, fold
from stream_persona.domain.slots import EVENTS, SLOT_TYPE, WEIGHT_TYPE, WEIGHT_UNITS, pack
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream_persona.domain.features import Counts
    from stream_persona.domain.taxonomy import Features, Taxonomy

#: The key of ``where`` that names a customer.
CUSTOMER: Final = "customer_id"
#: Most values of ``where`` besides that one, and most characters of a value or feature.
MAX_VALUES: Final = 1_000
MAX_TEXT: Final = 1_024


@dataclass(frozen=True, slots=True)
class Evidence:
    """The tokens of a supposed event; ``names`` are the given ones of each slot, which ascend."""

    names: Mapping[int, str]

    def name_slot(self, slot: int) -> str:
        """Name a slot's tokens as the caller wrote them: only the caller gets this answer."""
        return self.names[slot]

    def combine_names(self, name: Callable[[int], str]) -> Callable[[int], str]:
        """Return a function that names slots: the query's tokens here, all others by ``name``."""
        return lambda slot: self.names.get(slot) or name(slot)

    def fold_into(self, counts: Counts, now: int, features: Features) -> Counts:
        """Return the counts of a customer who does this ``now`` (epoch milliseconds) besides."""
        slots = [pack(slot, SLOT_TYPE) for slot in (EVENTS, *self.names)]
        weights = pack(WEIGHT_UNITS, WEIGHT_TYPE) * len(slots)
        return fold([counts], [Observation(0, now, b"".join(slots), weights)], features)[0]


def read_evidence(where: dict[str, Any], taxonomy: Taxonomy) -> Evidence:
    """Read what one event holds, every value once.

    Raises:
        QueryError: a feature that the taxonomy does not read, or a value of the wrong kind.
    """
    given = sum(len(value) if isinstance(value, list) else 1 for value in where.values())
    if given > MAX_VALUES:
        raise QueryError(f"where: expected at most {MAX_VALUES:,} values, got {given:,}")
    tokenizer = Tokenizer(taxonomy)  # its own: what a caller gives is shown to that caller alone
    separator, names = taxonomy.features.category_separator, dict[int, set[str]]()
    for feature, value in where.items():
        for text in _list_texts(_check_feature(feature, taxonomy), value):
            for each in split_values(feature, text, separator):
                if slot := tokenizer.find_slot(feature, each):
                    names.setdefault(slot, set()).add(f"{feature}:{each}")
    return Evidence({slot: " | ".join(sorted(names[slot])) for slot in sorted(names)})


def as_list(value: object) -> list[object]:
    """Return a list as it is, anything else as the only one of a list."""
    return value if isinstance(value, list) else [value]


def _check_feature(feature: str, taxonomy: Taxonomy) -> str:
    """Return the feature if the taxonomy reads it: a field, or ``attributes.<key>``."""
    fields, own = (
        set(map(canonicalize_field, taxonomy.features.fields)),
        canonicalize_field(feature),
    )
    is_attribute = own.startswith("attributes.") and not own.endswith(".")
    field = "attributes" if is_attribute and own not in fields else own
    is_text = len(feature) <= MAX_TEXT and _clean(feature) == feature
    if feature == "attributes" or field not in fields or not is_text:
        expected = f"{CUSTOMER} or some of {describe_features(taxonomy)}"
        raise QueryError(f"where.{_shorten(_clean(feature))}: expected {expected}")
    return feature


def describe_features(taxonomy: Taxonomy) -> str:
    """Name the features that a query may give."""
    fields = taxonomy.features.fields
    return ", ".join("attributes.<key>" if f == "attributes" else f for f in fields)


def _list_texts(feature: str, value: object) -> Iterable[str]:
    """Yield the texts of a feature: numbers as their bands."""
    values = as_list(value)
    if not values:
        raise QueryError(f"where.{_shorten(feature)}: expected 1 to {MAX_VALUES:,} values, got 0")
    for each in values:
        yield _format_value(feature, each)


def _format_value(feature: str, value: object) -> str:
    number = None if isinstance(value, bool) or not isinstance(value, int | float) else value
    if number is not None and feature in BANDS:
        if not 0 <= number < float("inf"):
            raise QueryError(f"where.{feature}: expected a number of at least 0")
        return BANDS[feature](number)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or _clean(value) != value:
        kind = "a text or a number" if feature in BANDS else "a text"
        expected = f"expected {kind}, or a list of such, got {format_value(value)}"
        raise QueryError(f"where.{_shorten(feature)}: {expected}")
    return value


def _clean(text: str) -> str:
    """Replace what has no bytes in UTF-8."""
    return text.encode(errors="replace").decode()


def format_value(value: object) -> str:
    """Print a value, short enough for a message."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return _shorten(_clean(repr(value)))


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004


#: Features that may be given as numbers.
NUMBERS: Final = frozenset(BANDS)
