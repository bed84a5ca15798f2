"""The reader of each preset, and of a source's own expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream_persona.domain.mapping.segment import read_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.mapping.drafts import Findings
    from stream_persona.domain.mapping.sources import Source

    Reader = Callable[[object, NobodyIds, int | None], Findings]

_READERS: Final[Mapping[str, Reader]] = {"segment": read_segment, "rudderstack": read_segment}


def read_with(
    source: Source, document: object, nobody: NobodyIds, arrived_at: int | None
) -> Findings:
    """Read a document as a source has it."""
    return _READERS[source.preset or ""](document, nobody, arrived_at)
