"""Copies of a partition's offsets, one on each master of a Redis Cluster.

A master that comes back older (its file was put back, a replica that lagged was promoted) takes
back the effects of writes that the other masters still have. So each write leaves its token, its
turn and the offsets on every master, after all that it does there. The least of the copies is what
all masters have; a copy that is older than the last acknowledged write, or gone, shows a master
that has lost it.

A copy lies in the lowest hash slot that its master has. When slots move, copies move with them, and
the next write leaves new ones; the owner's hash holds the slots (``places``) of the last ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.store.redis_port import WRITE, parse_offsets, parse_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.store.redis_nodes import Nodes, Script
    from stream_persona.store.redis_port import Command
    from stream_persona.store.tables import Claim, Write

#: Hash slots with copies of a partition's offsets, ascending.
Places = tuple[int, ...]


class OffsetCopies:
    """Reads and writes the copies; ``script`` writes one."""

    def __init__(self, nodes: Nodes, script: Script) -> None:
        self._nodes = nodes
        self._script = script

    async def find_places(self) -> Places:
        """Find the lowest hash slot of each master."""
        return tuple(sorted(await self._nodes.find_lowest_slots()))

    def write(self, claim: Claim, turn: int, write: Write, places: Places) -> list[Command]:
        """Return the commands that leave the copies."""
        fields = [each for pair in write.offsets.items() for each in pair]
        return [
            self._script.make_command(
                [self._make_key(claim.partition, place)], claim.token, turn, *fields
            )
            for place in places
        ]

    async def are_behind(self, partition: int, last: tuple[int, int], places: Places) -> bool:
        """Whether a master does not know a write any more, which ``last`` names."""
        found = await self._nodes.run(
            *(("HGET", self._make_key(partition, place), WRITE) for place in places)
        )
        return any(parse_write(text) < last for text in found)

    async def read(
        self, partition: int, places: Places | None
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Read the offsets that all masters have, and the greatest that one of them has.

        Without ``places``, where the owner's hash is lost, each master is asked for a copy.
        """
        found = await self._nodes.run(
            *(
                ("HGETALL", self._make_key(partition, place))
                for place in (await self.find_places() if places is None else places)
            )
        )
        copies = [parse_offsets(copy) for copy in found]
        return find_least_offsets(copies), find_greatest_offsets(copies)

    def _make_key(self, partition: int, place: int) -> str:
        return self._nodes.make_tagged_key("offsets", partition, place)


def find_least_offsets(copies: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return the least offset of each topic; a topic that a copy lacks has none."""
    first, *others = copies or [{}]
    return {
        topic: min(at, *(copy[topic] for copy in others)) if others else at
        for topic, at in first.items()
        if all(topic in copy for copy in others)
    }


def find_greatest_offsets(copies: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return the greatest offset of each topic in any copy."""
    greatest: dict[str, int] = {}
    for copy in copies:
        for topic, at in copy.items():
            greatest[topic] = max(at, greatest.get(topic, 0))
    return greatest
