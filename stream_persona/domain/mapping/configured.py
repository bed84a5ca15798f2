"""The sources of this process: read once, so that a file that changes meanwhile changes nothing."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

from stream_persona.domain.mapping.sources import Sources

if TYPE_CHECKING:
    from pathlib import Path


@cache
def load_sources(path: Path | None) -> Sources | None:
    """Load the sources of a file, once in a process; None without a file.

    Raises:
        SourcesError: it cannot be read, or holds mistakes.
    """
    return None if path is None else Sources.load(path)


def describe_mappings(sources: Sources | None) -> dict[str, str]:
    """Return a fingerprint of how each topic's documents are mapped.

    Where its schemas are is no part of it.
    """
    return {topic: _hash(sources, topic) for topic in sources.topics} if sources else {}


def _hash(sources: Sources, topic: str) -> str:
    texts = []
    for each in sources.list_for_topic(topic):
        when, kind = (e.text if e else "" for e in (each.when, each.kind))
        fields = sorted((name, found.text) for name, found in each.map.items())
        texts.append(repr((each.preset or "", when, kind, fields, each.format)))
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()
