"""The descriptor of a deployment: what all of its processes must agree on, as JSON in Redis.

The first worker makes it, once. Its id also travels as the metadata of the consumer group's
commits, so that a Redis and a group that do not belong together are noticed. Of its contents only
the taxonomy, the ids of nobody, the sources and whether own tastes are kept may change: when no
worker is running.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self

import msgspec

from stream_persona.domain.identity import NobodyIds
from stream_persona.domain.mapping.configured import describe_mappings, load_sources
from stream_persona.errors import TopologyError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables

#: Of the descriptor itself: one with a higher number was made by a newer version.
FORMAT: Final = 1
#: The kinds of topics, as in the names of their settings.
TOPIC_KINDS: Final = (
    "purchases", "browses", "engagements", "assignments", "deletions", "changes", "dead_letters",
    "reroutes",
)  # fmt: skip

_APART: Final = (
    "another deployment needs a STREAM_PERSONA_PREFIX and a STREAM_PERSONA_GROUP of its own"
)

#: What a process may disagree on.
Subject = Literal[
    "prefix",
    "group",
    "partitions",
    "topics",
    "half-life",
    "taxonomy",
    "nobody",
    "sources",
    "tastes",
]


class TaxonomyIdentity(msgspec.Struct, frozen=True):
    """A taxonomy's version, and the fingerprint of how its features decay."""

    version: str
    fingerprint: int


class Deployment(msgspec.Struct, frozen=True):
    """The descriptor; ``topics`` are the names of topics by their kinds.

    ``nobody`` are the ids that stand for nobody, left out for those that do by default, ``sources``
    how the documents of each source's topic are mapped (a fingerprint), left out without any.
    ``tastes`` is set where shoppers' own tastes are kept for clients.
    """

    id: str
    partitions: int
    topics: dict[str, str]
    prefix: str
    group: str
    taxonomy: TaxonomyIdentity
    format: int = FORMAT
    nobody: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    sources: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    tastes: bool | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, settings: Settings, taxonomy: Taxonomy, identity: str = "") -> Self:
        """Describe the deployment that these settings are of; a new id unless one is given."""
        return cls(
            id=identity or secrets.token_hex(8),
            partitions=settings.partitions,
            topics={kind: getattr(settings, f"topic_{kind}") for kind in TOPIC_KINDS},
            prefix=settings.prefix,
            group=settings.group,
            taxonomy=TaxonomyIdentity(taxonomy.version, taxonomy.fingerprint),
            nobody=NobodyIds(settings.nobody).own or msgspec.UNSET,
            sources=describe_mappings(load_sources(settings.sources)) or msgspec.UNSET,
            tastes=settings.tastes or msgspec.UNSET,
        )

    def with_changeable(self, other: Deployment) -> Deployment:
        """Return this one with what another one may change of it."""
        return msgspec.structs.replace(
            self,
            taxonomy=other.taxonomy,
            nobody=other.nobody,
            sources=other.sources,
            tastes=other.tastes,
        )

    def describe_change_of_sources(self, before: Deployment) -> str:
        """Describe in what sources differ from those before; empty if in nothing.

        >>> made = Deployment("", 1, {}, "", "", TaxonomyIdentity("", 0))
        >>> msgspec.structs.replace(made, sources={"a": "1"}).describe_change_of_sources(made)
        'a is new'
        """
        own, theirs = _get_mappings(self), _get_mappings(before)
        changes = [
            *(f"{topic} is new" for topic in own if topic not in theirs),
            *(f"{topic} is mapped otherwise" for topic in own.keys() & theirs.keys()
              if own[topic] != theirs[topic]),
            *(f"{topic} is none any more" for topic in theirs if topic not in own),
        ]  # fmt: skip
        return ", ".join(sorted(changes))

    def encode(self) -> bytes:
        """Encode as JSON; equal descriptors give equal bytes."""
        return msgspec.json.encode(self)


class Difference(NamedTuple):
    """What a process has set otherwise than its deployment, and a sentence on what to do."""

    subject: Subject
    message: str


def decode_deployment(blob: bytes) -> Deployment:
    """Decode a stored descriptor.

    Raises:
        TopologyError: it is none, or a newer version has made it.
    """
    try:
        found = msgspec.json.decode(blob, type=Deployment)
    except msgspec.DecodeError as error:
        message = f"the key persona-deployment holds no descriptor of a deployment ({error})"
        raise TopologyError(f"{message}; set STREAM_PERSONA_PREFIX to a name of its own") from None
    if found.format > FORMAT:
        raise TopologyError(
            f"the deployment in this Redis was made by a newer version of stream-persona (format "
            f"{found.format}; this one knows {FORMAT}): install that one here as well"
        )
    return found


async def load(tables: Tables) -> Deployment | None:
    """Load the descriptor of these tables; None as long as no worker has made it.

    Raises:
        TopologyError: it cannot be read.
        UnavailableError: Redis stayed away.
    """
    blob = await tables.load_deployment()
    return None if blob is None else decode_deployment(blob)


def find_differences(
    settings: Settings, taxonomy: Taxonomy, stored: Deployment
) -> list[Difference]:
    """Find what a process with these settings sees otherwise than the deployment."""
    own = Deployment.of(settings, taxonomy, stored.id)
    named: list[tuple[Subject, str, Any, Any]] = [
        ("prefix", "PREFIX", own.prefix, stored.prefix),
        ("group", "GROUP", own.group, stored.group),
        ("partitions", "PARTITIONS", own.partitions, stored.partitions),
    ]
    named += [
        ("topics", f"TOPIC_{kind.upper()}", own.topics[kind], stored.topics.get(kind))
        for kind in TOPIC_KINDS
    ]
    found = [
        Difference(
            subject,
            f"STREAM_PERSONA_{name} is {here!r} here and {there!r} in the deployment that this "
            f"Redis holds: set it to {there!r}; {_APART}",
        )
        for subject, name, here, there in named
        if here != there and there is not None
    ]
    found += _compare_taxonomies(own.taxonomy, stored.taxonomy)
    return found + list(_compare_lists(own, stored))


def _compare_lists(own: Deployment, stored: Deployment) -> Iterator[Difference]:
    """Compare what may change once all workers were stopped."""
    if own.nobody != stored.nobody:
        yield Difference(
            "nobody",
            f"STREAM_PERSONA_NOBODY_IDS is {_show_ids(own)} here and {_show_ids(stored)} in "
            "the deployment that this Redis holds: give all its processes the same list; a "
            "changed one holds from the moment that workers start with it after all of them "
            "were stopped",
        )
    if changes := own.describe_change_of_sources(stored):
        yield Difference(
            "sources",
            "STREAM_PERSONA_SOURCES is not the one of the deployment that this Redis holds "
            f"({changes} here): give all its processes the same file; a changed one holds from "
            "the moment that workers start with it after all of them were stopped",
        )
    if own.tastes != stored.tastes:
        yield Difference(
            "tastes",
            f"STREAM_PERSONA_TASTES is {_is_set(own)} here and {_is_set(stored)} in the "
            "deployment that this Redis holds: set all that writes to it alike, or tastes that "
            "nobody renews would be believed; a changed one holds from the moment that workers "
            "start with it after all of them were stopped",
        )


def _is_set(deployment: Deployment) -> str:
    return "off" if isinstance(deployment.tastes, msgspec.UnsetType) else "on"


def _get_mappings(deployment: Deployment) -> dict[str, str]:
    return {} if isinstance(deployment.sources, msgspec.UnsetType) else deployment.sources


def _show_ids(deployment: Deployment) -> str:
    own = deployment.nobody
    return "the default list" if isinstance(own, msgspec.UnsetType) else repr(",".join(own))


def _compare_taxonomies(own: TaxonomyIdentity, stored: TaxonomyIdentity) -> list[Difference]:
    if own.fingerprint != stored.fingerprint:
        return [
            Difference(
                "half-life",
                "STREAM_PERSONA_TAXONOMY: half_life_days or epoch_origin of its [features] "
                f"(fingerprint {own.fingerprint}) are not those that this Redis's records were "
                f"folded with ({stored.fingerprint}): set them back, or fold the topics again "
                "under a new STREAM_PERSONA_PREFIX and STREAM_PERSONA_GROUP",
            )
        ]
    if own.version != stored.version:
        return [
            Difference(
                "taxonomy",
                f"STREAM_PERSONA_TAXONOMY is of version {own.version} here and of version "
                f"{stored.version} in the deployment that this Redis holds: give all its processes "
                "the same file; a changed one holds from the moment that workers start with it "
                "after all of them were stopped",
            )
        ]
    return []


def refuse_differences(
    settings: Settings, taxonomy: Taxonomy, stored: Deployment, ignoring: Collection[Subject] = ()
) -> None:
    """Make sure that a process sees everything as its deployment does, but for some subjects.

    Raises:
        TopologyError: names the first setting that differs, both values, and what to do.
    """
    for difference in find_differences(settings, taxonomy, stored):
        if difference.subject not in ignoring:
            raise TopologyError(difference.message)
