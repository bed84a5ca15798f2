"""The tables in memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from stream_persona.errors import FencedError, RolledBackError
from stream_persona.store.tables import HISTORY, Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from stream_persona.store.tables import Write

T = TypeVar("T")


class MemoryTables:
    """The in-memory twin, for tests and for folding without a server.

    ``clock`` gives seconds that never go back: markers of deletions expire by it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.states: dict[str, bytes] = {}
        self._markers: dict[str, tuple[float, bytes]] = {}
        self.public_records: dict[str, bytes] = {}
        self.tastes: dict[str, bytes] = {}
        self.common_tastes: dict[str, str] = {}
        self.aside: dict[str, bytes] = {}
        self.suspects: set[str] = set()
        self.announced: list[bytes] = []
        self.affinities: dict[str, dict[str, float]] = {}
        self._labelled: dict[int, set[str]] = {}
        self._due: dict[int, dict[str, int]] = {}
        self._pending: dict[int, list[str]] = {}
        self.deployment: bytes | None = None
        self._tokens: dict[int, int] = {}
        self._last_token = 0
        #: Token and turn of the last write of each partition, and the offsets that it left.
        self._writes: dict[int, tuple[int, int]] = {}
        self._offsets: dict[int, dict[str, int]] = {}
        #: What this object knows to have been written, whatever becomes of the tables.
        self._acked: dict[int, tuple[int, int]] = {}
        self._shards: dict[int, tuple[bytes, bytes]] = {}
        self._names: dict[int, dict[str, bytes]] = {}
        self.listing: bytes | None = None
        self._reports: dict[str, bytes] = {}
        self._samples: dict[int, bytes] = {}

    @property
    def markers(self) -> dict[str, bytes]:
        """The markers of deletions that have not expired."""
        now = self._clock()
        return {name: marker for name, (ends, marker) in self._markers.items() if ends > now}

    async def claim(self, partitions: Iterable[int]) -> dict[int, Claim]:
        claims = {}
        for partition in partitions:
            self._last_token += 1
            token = self._tokens[partition] = self._last_token
            self._writes[partition] = self._acked[partition] = (token, 0)
            stored = dict(self._offsets.get(partition, {}))
            claims[partition] = Claim(partition, token, stored, stored)
        return claims

    async def create_deployment(self, blob: bytes) -> bytes:
        if self.deployment is None:
            self.deployment = blob
        return self.deployment

    async def load_deployment(self) -> bytes | None:
        return self.deployment

    async def replace_deployment(self, old: bytes, new: bytes) -> bool:
        if self.deployment not in {old, new}:
            return False
        self.deployment = new
        return True

    async def load_owners(self, partitions: Sequence[int]) -> dict[int, int]:
        return {p: self._tokens[p] for p in partitions if p in self._tokens}

    async def load(self, customers: Sequence[str]) -> dict[str, bytes]:
        markers = self.markers
        stored = {c: self.states.get(c) or markers.get(c) for c in customers}
        return {customer: blob for customer, blob in stored.items() if blob is not None}

    async def commit(self, claim: Claim, write: Write) -> None:
        self._check(claim)
        if await self.find_rolled_back([claim]):
            raise RolledBackError(claim.partition)
        token, turn = self._acked.get(claim.partition, (claim.token, 0))
        self._writes[claim.partition] = self._acked[claim.partition] = (token, turn + 1)
        self._offsets.setdefault(claim.partition, {}).update(write.offsets)
        _apply(self.states, write.states)
        _apply(self.public_records, write.public)
        _apply(self.tastes, write.all_tastes)
        ends = self._clock() + write.marker_ms / 1_000
        self._markers.update({name: (ends, marker) for name, marker in write.markers.items()})
        for name in write.forgotten:
            self.aside.pop(name, None)
        labelled = self._labelled.setdefault(claim.partition, set())
        labelled |= write.labelled
        labelled -= write.unlabelled
        self._file_due(self._due.setdefault(claim.partition, {}), write)
        if write.pending is not None:
            self._pending[claim.partition] = write.pending
        _apply(self._names.setdefault(claim.partition, {}), write.names)

    async def commit_all(self, writes: Sequence[tuple[Claim, Write]]) -> set[int]:
        refused = set()
        for claim, write in writes:
            try:
                await self.commit(claim, write)
            except FencedError:
                refused.add(claim.partition)
        return refused

    async def find_rolled_back(self, claims: Sequence[Claim]) -> set[int]:
        return {
            claim.partition
            for claim in claims
            if self._writes.get(claim.partition, (0, 0))
            < max((claim.token, 0), self._acked.get(claim.partition, (0, 0)))
        }

    async def load_public(self, customer: str) -> bytes | None:
        return self.public_records.get(customer)

    async def load_public_records(self, customers: Sequence[str]) -> dict[str, bytes]:
        known = self.public_records
        return {name: known[name] for name in customers if name in known}

    async def set_aside(self, damaged: Mapping[str, bytes]) -> None:
        self.aside.update(damaged)

    async def report_suspects(self, customers: Sequence[str]) -> None:
        self.suspects.update(customers)

    async def load_suspects(self) -> list[str]:
        return sorted(self.suspects)

    async def remove_suspects(self, customers: Sequence[str]) -> None:
        self.suspects.difference_update(customers)

    async def scan(self, cursor: int, count: int) -> tuple[int, list[str]]:
        return _scan_page(self.states, cursor, count)

    async def scan_markers(self, cursor: int, count: int) -> tuple[int, list[str]]:
        return _scan_page(self.markers, cursor, count)

    async def load_labelled(self, partition: int) -> list[str]:
        return sorted(self._labelled.get(partition, ()))

    async def load_due(
        self, partitions: Sequence[int], until: int, limit: int
    ) -> dict[int, list[tuple[str, int]]]:
        found = {}
        for partition in partitions:
            entries = self._due.get(partition, {}).items()
            due = sorted((at, customer) for customer, at in entries if at <= until)[:limit]
            if due:
                found[partition] = [(customer, at) for at, customer in due]
        return found

    async def load_due_times(self, partition: int, customers: Sequence[str]) -> dict[str, int]:
        known = self._due.get(partition, {})
        return {customer: known[customer] for customer in customers if customer in known}

    async def load_pending(self, partition: int) -> list[str]:
        return self._pending.get(partition, [])

    async def save_shard(self, claim: Claim, shard: bytes, stamp: bytes) -> None:
        self._check(claim)
        self._shards[claim.partition] = (stamp, shard)

    async def load_stamps(self, partitions: Sequence[int]) -> dict[int, bytes]:
        return {p: self._shards[p][0] for p in partitions if p in self._shards}

    async def load_shards(self, partitions: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
        return {p: self._shards[p] for p in partitions if p in self._shards}

    async def load_names(self, partition: int) -> dict[str, bytes]:
        return dict(self._names.get(partition, {}))

    async def load_name_versions(self, partitions: Sequence[int]) -> dict[int, bytes]:
        known = {p: self._names.get(p, {}).get("version") for p in partitions}
        return {p: version for p, version in known.items() if version is not None}

    async def save_listing(self, listing: bytes) -> None:
        self.listing = listing

    async def load_listing_stamp(self) -> bytes:
        return (self.listing or b"")[:8]

    async def load_listing(self) -> bytes | None:
        return self.listing

    async def remove_old_names(self) -> None:
        pass

    async def load_tastes(self, customers: Sequence[str]) -> dict[str, bytes]:
        return {name: self.tastes[name] for name in customers if name in self.tastes}

    async def save_common_tastes(self, fields: Mapping[str, str]) -> None:
        self.common_tastes.clear()
        self.common_tastes.update(fields)

    async def remove_tastes(self) -> None:
        self.common_tastes.clear()
        self.tastes.clear()

    async def save_affinities(self, lifts: Mapping[str, Mapping[str, float]]) -> None:
        self.affinities.update({persona: dict(own) for persona, own in lifts.items()})

    async def remove_affinities(self, but: Collection[str]) -> None:
        self.affinities = {p: own for p, own in self.affinities.items() if p in but}

    async def announce(self, messages: Sequence[bytes]) -> None:
        self.announced += messages

    async def scan_public(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        following, known = _scan_page(self.public_records, cursor, count)
        return following, [self.public_records[customer] for customer in known]

    async def save_report(self, worker: str, status: bytes) -> None:
        self._reports[worker] = status

    async def remove_reports(self, workers: Sequence[str]) -> None:
        for worker in workers:
            self._reports.pop(worker, None)

    async def load_reports(self) -> dict[str, bytes]:
        return dict(self._reports)

    async def add_sample(self, at_ms: int, sample: bytes) -> bool:
        if at_ms <= max(self._samples, default=0):
            return False
        self._samples[at_ms] = sample
        self._samples = dict(list(self._samples.items())[-HISTORY:])
        return True

    async def load_samples(self, since_ms: int) -> list[tuple[int, bytes]]:
        return [(at, sample) for at, sample in self._samples.items() if at >= since_ms]

    def _file_due(self, entries: dict[str, int], write: Write) -> None:
        _apply(entries, dict.fromkeys(write.filed_anew))
        for customer, at in write.due.items():
            _apply(entries, {customer: at and min(at, entries.get(customer, at))})

    def _check(self, claim: Claim) -> None:
        token = self._tokens.get(claim.partition, 0)
        if token < claim.token:
            raise RolledBackError(claim.partition)
        if token > claim.token:
            raise FencedError(claim.partition)


def _apply(table: dict[str, T], changes: Mapping[str, T | None]) -> None:
    for key, value in changes.items():
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value


def _scan_page(table: Mapping[str, bytes], cursor: int, count: int) -> tuple[int, list[str]]:
    known = sorted(table)
    end = cursor + count
    return (end if end < len(known) else 0), known[cursor:end]
