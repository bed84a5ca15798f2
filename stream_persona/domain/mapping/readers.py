"""Reads a document with its source's preset, or with the source's expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream_persona.domain.mapping.cloudevents import read_cloudevents
from stream_persona.domain.mapping.expressed import read_expressed
from stream_persona.domain.mapping.recognition import READERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.mapping.drafts import Findings
    from stream_persona.domain.mapping.recognition import Reader
    from stream_persona.domain.mapping.sources import Source

_READERS: Final[Mapping[str, Reader]] = {**READERS, "cloudevents": read_cloudevents}


def read_with(
    source: Source, document: object, nobody: NobodyIds, arrived_at: int | None
) -> Findings:
    """Read a document by the preset or the expressions of its source."""
    if source.preset is None:
        return read_expressed(source, document, nobody)
    return _READERS[source.preset](document, nobody, arrived_at)
