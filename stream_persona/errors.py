"""Every error the package raises, in one tree.

StreamPersonaError
├── ConfigError              what the operator has set is wrong; exit code 2
│   ├── SettingsError            a setting is missing or malformed
│   ├── TaxonomyError            the taxonomy file has mistakes (all of them, with lines)
│   └── TopologyError            topics, broker or Redis are not as they must be
├── InputError               what a caller asked is wrong; HTTP 4xx, exit code 2
│   ├── DecodeError              a message cannot be read: goes to the dead letters
│   └── QueryError               a query names something that does not exist
├── DamagedError             what is stored is not what was written: a worker restores it
│   ├── DamagedRecordError       private records of customers
│   ├── DamagedShardError        a partition's shard of the model
│   └── DamagedOutboxError       the names of the customers whose changes may be unpublished
├── FencedError              another worker owns this partition now: let go of it
├── RolledBackError          Redis came back older than it was: claim again, read again
└── UnavailableError         broker or Redis stayed away past the retries; exit code 1

Each message names what the reader can do about it.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Most customers that a message names.
_MOST_NAMED = 3


class StreamPersonaError(Exception):
    """Base of every error raised on purpose by this package."""

    exit_code = 1


class ConfigError(StreamPersonaError):
    """What the operator has set is wrong."""

    exit_code = 2


class SettingsError(ConfigError):
    """A setting is missing or malformed."""


class FileMistakesError(ConfigError):
    """A file of the operator's has mistakes; ``mistakes`` holds ``(line, sentence)`` for each."""

    def __init__(self, source: str, mistakes: Sequence[tuple[int, str]]) -> None:
        self.source = source
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"{source}:{line}: {text}" for line, text in self.mistakes))


class TaxonomyError(FileMistakesError):
    """The taxonomy file has mistakes."""


class SourcesError(FileMistakesError):
    """The file of foreign sources has mistakes."""


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


class DamagedError(StreamPersonaError):
    """What is stored is not what was written."""


class DamagedRecordError(DamagedError):
    """The stored records of ``customers`` are not what was written for them."""

    def __init__(self, customers: Sequence[str]) -> None:
        self.customers = tuple(customers)
        named = ", ".join(map(repr, self.customers[:_MOST_NAMED]))
        if len(self.customers) == 1:
            what = f"the record of customer {named} is damaged"
        else:
            what = f"the records of {len(self.customers)} customers are damaged ({named}"
            what += ", ...)" if len(self.customers) > _MOST_NAMED else ")"
        super().__init__(
            f"{what} (persona-state or persona-deleted): a worker restores it from the topics"
        )


class DamagedShardError(DamagedError):
    """The stored shards of ``partitions`` are not what was written for them."""

    def __init__(self, partitions: Sequence[int]) -> None:
        self.partitions = tuple(partitions)
        numbers = ", ".join(map(str, self.partitions))
        super().__init__(
            f"the shard of the model is damaged of partition {numbers} (persona-model): the worker "
            "that owns it publishes it again"
        )


class DamagedOutboxError(DamagedError):
    """It is lost which changes of a partition may not have been published."""

    def __init__(self, partition: int) -> None:
        super().__init__(
            f"persona-pending:{partition} is damaged: if its last worker crashed before it had "
            "published a change, persona-changes lacks it until that customer's next one"
        )


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
