"""What the tables need of Redis, be it one server or a Cluster, and what its scripts answer."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.store.tables import Claim, Write

#: A command's name, its key and its other arguments.
Command = tuple[bytes | str | int | float, ...]


class Reply(IntEnum):
    """What became of a write; a script returns these numbers."""

    #: Refused: the server has lost the claim or the last write, and is older than they are.
    LOST = -1
    #: Refused: another owner has come, or a newer write of this one.
    FENCED = 0
    DONE = 1


class Store(Protocol):
    """One Redis server or a Redis Cluster; any method may raise what their client raises."""

    @property
    def database(self) -> int | None:
        """The number of the database; None where a store has one alone."""
        ...

    async def load_version(self) -> str:
        """Return the version, and which kind of store this is."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...

    async def reset(self) -> None:
        """Use new connections for the next command: the servers may have changed their roles."""
        ...

    async def run(self, *commands: Command) -> list[Any]:
        """Return the answers of commands, each of them on one key; together they are not atomic."""
        ...

    async def ask_masters(self, *commands: Command) -> dict[str, list[Any]]:
        """Ask each server that takes writes; return its answers, or errors, by its address."""
        ...

    def describe_owner_keys(self, partition: int) -> dict[str, bytes]:
        """Return the keys that hold a partition's owner and its last write, with their types."""
        ...

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of keys."""
        ...

    async def get_either(self, keys: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """Return the values of the first keys of pairs; where there is none, of the second."""
        ...

    async def replace(self, key: str, fields: Mapping[str, str]) -> None:
        """Make a hash have these fields alone; a reader sees the old ones or the new ones."""
        ...

    async def scan(self, cursor: int, pattern: str, count: int) -> tuple[int, list[bytes]]:
        """Return the next cursor, and about ``count`` keys of a pattern from ``cursor`` on."""
        ...

    async def claim(self, partition: int) -> Claim:
        """Make a new owner's token; older ones are refused from now on."""
        ...

    async def load_tokens(self, partitions: Sequence[int]) -> list[bytes | None]:
        """Return the tokens of the partitions' owners."""
        ...

    async def load_pending(self, partition: int) -> bytes | None:
        """Return the JSON of ``Write.pending`` of the last write that had any."""
        ...

    async def commit(self, writes: Sequence[tuple[Claim, Write]]) -> list[Reply]:
        """Write batches, each by itself. May be tried again."""
        ...

    async def find_lost(self, claims: Sequence[Claim]) -> list[bool]:
        """Return whether each claim, or its last acknowledged write, is not known any more."""
        ...

    async def save_shard(self, claim: Claim, blob: bytes) -> Reply:
        """Write a part of the model."""
        ...


#: The field of the offsets' hash that is no topic: token and turn of the last write.
WRITE: Final = b":write"
#: The same, of a partition that every owner has stored offsets of.
SINCE: Final = b":since"


def list_values_by_kind(write: Write) -> tuple[tuple[str, Mapping[str, bytes | None]], ...]:
    """Return the values of customers in a write (None: delete) by the kinds of their keys."""
    return ("state", write.states), ("", write.public), ("tastes", write.all_tastes)


def parse_write(text: bytes | None) -> tuple[int, int]:
    """Parse token and turn of a write; those of none, or damaged, are less than those of any."""
    token, _, turn = (text or b"").partition(b" ")
    return (int(token), int(turn)) if token.isdigit() and turn.isdigit() else (0, -1)


def parse_offsets(stored: Mapping[bytes, bytes]) -> dict[str, int]:
    """Parse the offsets in a partition's hash, by topic; a damaged one is that of the beginning."""
    return {
        topic.decode(errors="replace"): int(at) if at.isdigit() else 0
        for topic, at in stored.items()
        if not topic.startswith(b":")
    }
