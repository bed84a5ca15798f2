"""Which topics hold other tools' documents, and how they are read: one TOML file.

``Sources.load`` reports every mistake with its line. A source has a ``preset``, or JMESPath of its
own: ``kind`` and a table ``[source.map]`` of our fields. Of several sources of one topic the first
whose ``when`` holds takes a document.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from stream_persona.domain.events import KINDS, Item
from stream_persona.domain.mapping.expressions import Expression
from stream_persona.domain.toml_lines import find_line, find_lines, find_wrong_line
from stream_persona.errors import SourcesError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Preset = Literal["segment", "rudderstack", "ga4", "snowplow", "shopify", "cloudevents"]
Format = Literal["json", "avro", "protobuf", "json-schema"]

#: The names of our kinds, as ``kind`` has them.
KIND_NAMES: Final = tuple(kind.__name__.lower() for kind in KINDS)
#: The kinds by name, in the singular and, as topics have it, in the plural.
KIND_OF: Final = {name + end: index for index, name in enumerate(KIND_NAMES) for end in ("", "s")}
_FIELDS: Final = {
    name: tuple(kind.__struct_fields__) for name, kind in zip(KIND_NAMES, KINDS, strict=True)
}
_REQUIRED: Final = {
    name: kind.__struct_fields__[: len(kind.__struct_fields__) - len(kind.__struct_defaults__)]
    for name, kind in zip(KIND_NAMES, KINDS, strict=True)
}


class _MisplacedError(ValueError):
    """A mistake of several keys together, to be shown at one of them."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path


def _compile(text: object) -> Expression:
    if not isinstance(text, str):
        message = "expected a JMESPath expression, in quotation marks"
        raise ValueError(message)  # noqa: TRY004 - pydantic shows these alone
    return Expression(text)


def _check_registry(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", url):
        message = "expected the registry's address, http://host:port, without a login"
        raise ValueError(message)
    return url


Path_ = Annotated[Expression, BeforeValidator(_compile)]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


class Source(BaseModel):
    """Documents of one topic that are read alike.

    ``kind`` is the name of a kind, or an expression that finds one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    topic: Topic
    name: Annotated[str, Field(min_length=1, max_length=64)] = ""
    preset: Preset | None = None
    when: Path_ | None = None
    kind: Path_ | None = None
    map: dict[str, Path_] = Field(default_factory=dict)
    format: Format = "json"
    registry: Annotated[str, BeforeValidator(_check_registry)] | None = None

    @model_validator(mode="after")
    def _check_way(self) -> Self:
        if self.preset is None:
            self._check_map()
        elif self.kind is not None or self.map:
            message = "a preset needs neither kind nor [source.map]; take it away, or these"
            raise ValueError(message)
        return self

    def _check_map(self) -> None:
        if self.kind is None or not self.map:
            names = ", ".join(get_args(Preset))
            message = f"expected preset (one of {names}), or kind and [source.map]"
            raise ValueError(message)
        text = self.kind.text
        is_name = text.isidentifier() and text not in KIND_OF
        if is_name and difflib.get_close_matches(text, KIND_OF, 1, 0.8):
            message = (
                f"{text!r}{_suggest_name(text, KIND_NAMES)} (a field of this name is @.{text})"
            )
            raise _MisplacedError(message, "kind")
        name = KIND_NAMES[KIND_OF[text]] if text in KIND_OF else ""
        fields = _FIELDS.get(name) or {each for own in _FIELDS.values() for each in own}
        for field in self.map:
            if field not in fields:
                raise _MisplacedError(
                    f"is no field of ours{_suggest_name(field, fields)}", "map", field
                )
        for field in ("items", "product"):
            for key in self.map[field].hash_keys if field in self.map else ():
                if key not in Item.__struct_fields__:
                    near = _suggest_name(key, Item.__struct_fields__)
                    raise _MisplacedError(f"{key} is no field of an item{near}", "map", field)
        if missing := [each for each in _REQUIRED.get(name, ()) if each not in self.map]:
            raise _MisplacedError(f"a {name} needs {', '.join(missing)} as well", "map")

    @model_validator(mode="after")
    def _check_format(self) -> Self:
        if self.format == "json" and self.registry is not None:
            message = "format json needs none; did you mean json-schema?"
            raise _MisplacedError(message, "registry")
        if self.format != "json" and self.registry is None:
            message = f"{self.format} needs the address of a schema registry, as registry"
            raise _MisplacedError(message, "format")
        return self

    @cached_property
    def fixed_kind(self) -> int | None:
        """The index of the kind that ``kind`` names; None where it is an expression."""
        return KIND_OF.get(self.kind.text) if self.kind else None

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.name or f"{self.preset or 'map'} of {self.topic}"


class Sources(BaseModel):
    """All sources; immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Annotated[tuple[Source, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_topics(self) -> Self:
        for topic in self.topics:
            ways = {(each.format, each.registry) for each in self.list_for_topic(topic)}
            if len(ways) > 1:
                message = f"the sources of topic {topic} differ in format or registry"
                raise ValueError(message)
        return self

    @cached_property
    def topics(self) -> tuple[str, ...]:
        """The topics, in the order of the file."""
        return tuple(self._by_topic)

    def list_for_topic(self, topic: str) -> tuple[Source, ...]:
        """Return the sources of a topic, in the order of the file."""
        return self._by_topic.get(topic, ())

    @cached_property
    def _by_topic(self) -> dict[str, tuple[Source, ...]]:
        found: dict[str, tuple[Source, ...]] = {}
        for source in self.source:
            found[source.topic] = (*found.get(source.topic, ()), source)
        return found

    @classmethod
    def load(cls, path: Path) -> Sources:
        """Load the sources in a file.

        Raises:
            SourcesError: the file can't be read, or holds mistakes: each with its line.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SourcesError(str(path), [(0, f"cannot be read: {error}")]) from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, source: str = "sources") -> Sources:
        """Parse the sources in a TOML text.

        Raises:
            SourcesError: with every mistake and its line.
        """
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            line = find_wrong_line(text, error)
            raise SourcesError(source, [(line, f"not valid TOML: {error}")]) from None
        except ValidationError as error:
            lines = find_lines(text)
            mistakes = [
                (find_line(lines, _find_path(item)), _describe_mistake(item))
                for item in error.errors()
                if not (item["type"] == "too_short" and item["input"])  # for others' mistakes
            ]
            raise SourcesError(source, sorted(mistakes)) from None


def _find_path(item: ErrorDetails) -> tuple[str | int, ...]:
    """Return the tables and keys that lead to a mistake."""
    error = item.get("ctx", {}).get("error")
    return (*item["loc"], *(error.path if isinstance(error, _MisplacedError) else ()))


def _describe_mistake(item: ErrorDetails) -> str:
    where = ".".join(str(part) for part in _find_path(item)) or "file"
    text = item["msg"].removeprefix("Value error, ")
    own = item["loc"][-1] if item["loc"] else ""
    if item["type"] == "extra_forbidden":
        known: Any = Source.model_fields if len(item["loc"]) > 1 else Sources.model_fields
        text = f"is not a known key{_suggest_name(str(own), known)}"
    elif own == "source" and item["type"] in {"missing", "too_short"}:
        text = "at least one [[source]] table is needed"
    elif own == "topic" and item["type"] == "string_pattern_mismatch":
        text = "expected 1 to 249 of the characters a-z A-Z 0-9 . _ -"
    return f"{where}: {text}"


def _suggest_name(name: str, known: Any) -> str:
    """Return which known name is meant, or all of them."""
    found = difflib.get_close_matches(name, known, 1, 0.6)
    return f"; did you mean {found[0]}?" if found else f"; expected one of {', '.join(known)}"
