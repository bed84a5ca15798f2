"""The team's personas and the rules by which events become features, from one TOML file.

A file of two ``[[persona]]`` names is complete; everything else has defaults. ``load`` reports
every mistake with its line. A taxonomy's ``version`` is a hash of its content, not of its text:
comments, order of keys and spelled-out defaults do not change it, nor does an option that a later
version adds.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from datetime import UTC, date, datetime
from functools import cached_property, partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from stream_persona.domain.binning import BANDS, canonicalize_field, list_seed_tokens
from stream_persona.domain.text import normalize
from stream_persona.domain.toml_lines import find_line, find_lines, find_wrong_line
from stream_persona.errors import TaxonomyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Fields of events that can become tokens, in the order in which they are read.
FIELDS: Final = (
    "product", "category", "brand", "price", "quantity", "attributes",
    "basket_size", "hour", "weekday", "action", "channel", "campaign", "query",
)  # fmt: skip

#: So many personas a taxonomy may have, and so many it should have.
FEWEST, MOST = 2, 24
ADVICE: Final = "5 to 12 are advised"

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\s:][^:\x00-\x1f]*$")]
Weight = Annotated[float, Field(ge=0, le=64, multiple_of=0.25)]
Probability = Annotated[float, Field(ge=0, le=1)]


def _refuse_equal(where: str, texts: Iterable[str], compare: Callable[[str], object]) -> None:
    """Refuse texts of which nothing is left when they are compared, and two that are equal then.

    Raises:
        ValueError: there is one, or there are two.
    """
    found: list[tuple[object, str]] = []
    for text in texts:
        compared = compare(text)
        if not compared:
            message = f"{where}: {text!r} says nothing"
            raise ValueError(message)
        for other, former in found:
            if other == compared:
                message = f"{where}: {former!r} and {text!r} are the same"
                raise ValueError(message)
        found.append((compared, text))


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Persona(_Table):
    """One persona; ``seeds`` maps a feature to values expected of it, before any label exists.

    Labels of a name in ``renamed_from`` count as this persona's.
    """

    name: Name
    title: str = ""
    description: str = ""
    renamed_from: tuple[Annotated[str, Field(min_length=1, max_length=128)], ...] = ()
    seeds: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_seeds(self) -> Self:
        _refuse_equal("seeds", self.seeds, canonicalize_field)
        for field, values in self.seeds.items():
            is_band = field in BANDS  # of which an older file may name several that are one now
            tokens = partial(list_seed_tokens, field, separator="/")
            _refuse_equal(f"seeds.{field}", values, normalize if is_band else tokens)
        return self


class Signals(_Table):
    """How much one observation counts, in multiples of 1/4; 0 leaves it out.

    ``purchase`` is for one item of a basket; the engagement weights are by action.
    """

    purchase: Weight = 1.0
    view: Weight = 0.25
    search: Weight = 0.25
    add_to_cart: Weight = 0.5
    remove_from_cart: Weight = 0.25
    wishlist: Weight = 0.5
    engagement: dict[str, Weight] = Field(
        default_factory=lambda: {"open": 0.25, "click": 0.5, "redeem": 1.0}
    )
    other_engagement: Weight = 0.25

    @model_validator(mode="after")
    def _check_actions(self) -> Self:
        _refuse_equal("engagement", self.engagement, normalize)
        return self


class Features(_Table):
    """Which tokens are read from events, and how their weight decays.

    ``fine`` names features of many values (whole fields, or ``attributes.<key>``); they share
    hashed slots of their own. ``epoch_origin`` is where the epochs of 16 half-lives begin.
    """

    half_life_days: Annotated[float, Field(gt=0.001, le=3_650)] = 180.0
    epoch_origin: date = date(1970, 1, 1)
    fields: tuple[str, ...] = tuple(field for field in FIELDS if field != "product")
    fine: tuple[str, ...] = ("product", "query", "campaign")
    category_separator: Annotated[str, Field(min_length=1, max_length=4)] = "/"
    timezone_offset_hours: Annotated[float, Field(ge=-14, le=14)] = 0.0

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        for field in (*self.fields, *self.fine):
            if field not in FIELDS and not field.startswith("attributes."):
                message = f"unknown field {field!r}; expected some of {', '.join(FIELDS)}"
                raise ValueError(message)
        return self

    @property
    def half_life_ms(self) -> int:
        """The half-life in whole milliseconds of event time."""
        return round(self.half_life_days * 86_400_000)

    @property
    def origin_ms(self) -> int:
        """Epoch milliseconds of ``epoch_origin`` (midnight, UTC)."""
        origin = datetime.combine(self.epoch_origin, datetime.min.time(), UTC)
        return round(origin.timestamp()) * 1_000


class Policy(_Table):
    """When a persona is named, and when a shift is worth a change event.

    A persona is named from the confidence on at which its names are right in ``target_precision``
    of the cases, and candidates are as many as hold the true persona in ``candidate_coverage`` of
    them, both measured on labelled customers; ``min_confidence`` serves while there are too few.
    Evidence decays also while no events come: below ``min_evidence`` nobody is named.

    A clock is believed to be ahead by ``max_future_seconds`` at most. Where nothing is known of an
    event's arrival, a deletion forgets it also if it is dated up to ``clock_tolerance_seconds``
    later. Of a customer's input, at most ``max_events_per_minute`` of one minute count.
    """

    target_precision: Probability = 0.8
    min_confidence: Probability = 0.5
    min_evidence: Annotated[float, Field(ge=0)] = 1.0
    switch_margin: Probability = 0.05
    confidence_step: Annotated[float, Field(gt=0, le=1)] = 0.1
    min_dwell_seconds: Annotated[float, Field(ge=0)] = 0.0
    candidate_coverage: Probability = 0.9
    reasons: Annotated[int, Field(ge=0, le=20)] = 3
    seed_customers: Annotated[int, Field(ge=0, le=1_000)] = 5
    max_future_seconds: Annotated[float, Field(ge=0, le=3_153_600_000)] = 86_400.0
    clock_tolerance_seconds: Annotated[float, Field(ge=0, le=3_153_600_000)] = 86_400.0
    max_events_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 600


class Taxonomy(_Table):
    """Everything that the team decides about personas; immutable."""

    name: Name = "shop"
    view: Name = "customer_purchases"
    personas: Annotated[
        tuple[Persona, ...], Field(alias="persona", min_length=FEWEST, max_length=MOST)
    ]
    signals: Signals = Field(default_factory=Signals)
    features: Features = Field(default_factory=Features)
    policy: Policy = Field(default_factory=Policy)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [persona.name for persona in self.personas]
        for name in names:
            if names.count(name) > 1:
                message = f"persona {name!r} is defined {names.count(name)} times"
                raise ValueError(message)
        _refuse_equal("persona", names, normalize)
        former = [name for persona in self.personas for name in persona.renamed_from]
        _refuse_equal("renamed_from", former, normalize)
        own = {normalize(name): name for name in names}
        for name in former:
            if normalize(name) in own:
                message = f"renamed_from: {name!r} is the persona {own[normalize(name)]!r}"
                raise ValueError(message)
        return self

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The persona names, in the order of the file."""
        return tuple(persona.name for persona in self.personas)

    def resolve(self, name: str | None) -> str | None:
        """Find the persona of a name in any spelling, or of a former one; None without one.

        A name of the taxonomy costs one lookup: it is asked of every label that is met.
        """
        if name is None:
            return None
        found = self._spellings.get(name)
        return self._spellings.get(normalize(name)) if found is None else found

    @cached_property
    def _spellings(self) -> dict[str, str]:
        """Names, as the file has them and as they are compared, and former ones -> the name."""
        found: dict[str, str] = {}
        for persona in self.personas:
            found |= {normalize(old): persona.name for old in persona.renamed_from}
            found |= {persona.name: persona.name, normalize(persona.name): persona.name}
        return found

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits of a hash of the content, without what is a default."""
        content = json.dumps(
            self.model_dump(mode="json", by_alias=True, exclude_defaults=True), sort_keys=True
        )
        return hashlib.blake2b(content.encode(), digest_size=6).hexdigest()

    @cached_property
    def fingerprint(self) -> int:
        """16 bits of a hash of half-life and origin: only records of the same one can be read."""
        facts = f"{self.features.half_life_ms},{self.features.origin_ms}"
        return int.from_bytes(hashlib.blake2b(facts.encode(), digest_size=2).digest())


def find_shipped_path(name: str) -> Path:
    """Return the path of a taxonomy of this package: ``generic-shop`` or ``complete-journey``."""
    return Path(str(resources.files("stream_persona") / "taxonomies" / f"{name}.toml"))


def load(path: Path | None) -> Taxonomy:
    """Load the taxonomy in a file; the generic shop's when ``path`` is None.

    Raises:
        TaxonomyError: the file can't be read, or holds mistakes: each with its line.
    """
    path = path or find_shipped_path("generic-shop")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaxonomyError(str(path), [(0, f"cannot be read: {error}")]) from None
    return parse(text, source=str(path))


def parse(text: str, source: str = "taxonomy") -> Taxonomy:
    """Parse the taxonomy in a TOML text.

    Raises:
        TaxonomyError: with every mistake and its line.
    """
    try:
        return Taxonomy.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        line = find_wrong_line(text, error)
        raise TaxonomyError(source, [(line, f"not valid TOML: {error}")]) from None
    except ValidationError as error:
        lines = find_lines(text)
        mistakes = [
            (find_line(lines, item["loc"]), _describe_mistake(item))
            for item in error.errors()
            if not _is_consequence(item)
        ]
        raise TaxonomyError(source, sorted(mistakes)) from None


def _is_consequence(item: ErrorDetails) -> bool:
    """Whether too few personas are left only because some of them have mistakes."""
    is_too_short = item["type"] == "too_short" and item["loc"] == ("persona",)
    return is_too_short and len(item["input"]) >= FEWEST


def _describe_mistake(item: ErrorDetails) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "file"
    text = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        text = "is not a known key"
    elif item["type"] in {"too_short", "too_long", "missing"} and item["loc"] == ("persona",):
        found = "none" if item["type"] == "missing" else len(item["input"])
        text = f"{FEWEST} to {MOST} [[persona]] tables are needed ({ADVICE}), found {found}"
    return f"{where}: {text}"
