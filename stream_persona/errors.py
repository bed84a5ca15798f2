"""Every error the package raises, in one tree.

StreamPersonaError
├── ConfigError              what the operator has set is wrong; exit code 2
│   ├── SettingsError            a setting is missing or malformed
│   ├── TaxonomyError            the taxonomy file has mistakes (all of them, with lines)
│   └── TopologyError            topics, broker or Redis are not as they must be
├── InputError               what a caller asked is wrong; HTTP 4xx, exit code 2
│   ├── DecodeError              a message cannot be read: goes to the dead letters
│   └── QueryError               a query names something that does not exist
├── FencedError              another worker owns this partition now: let go of it
├── RolledBackError          Redis came back older than it was: claim again, read again
└── UnavailableError         broker or Redis stayed away past the retries; exit code 1

Each message names what the reader can do about it.
"""

from __future__ import annotations

from collections.abc import Sequence


class StreamPersonaError(Exception):
    """Base of every error raised on purpose by this package."""

    exit_code = 1


class ConfigError(StreamPersonaError):
    """What the operator has set is wrong."""

    exit_code = 2


class SettingsError(ConfigError):
    """A setting is missing or malformed."""


class TaxonomyError(ConfigError):
    """The taxonomy file has mistakes; ``mistakes`` holds ``(line, sentence)`` for each."""

    def __init__(self, source: str, mistakes: Sequence[tuple[int, str]]) -> None:
        self.source = source
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"{source}:{line}: {text}" for line, text in self.mistakes))


class TopologyError(ConfigError):
    """Topics, broker or Redis are not as they must be."""


class InputError(StreamPersonaError):
    """What a caller asked is wrong."""

    exit_code = 2


class DecodeError(InputError):
    """A message cannot be read.

    ``reason`` is one of a closed list (see ``events.REASONS``), ``detail`` a sentence.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class QueryError(InputError):
    """A query names something that does not exist or has the wrong form."""


class FencedError(StreamPersonaError):
    """Another worker has claimed this partition; nothing was written."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        super().__init__(f"partition {partition} belongs to another worker now")


class RolledBackError(StreamPersonaError):
    """Redis has lost a write that it had acknowledged; nothing was written."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        super().__init__(
            f"Redis came back older than it was: it has lost writes of partition {partition}"
        )


class UnavailableError(StreamPersonaError):
    """Broker or Redis stayed away past the retries."""
