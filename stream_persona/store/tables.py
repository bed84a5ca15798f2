"""The port to all that is stored: customers' records, the model's shards, workers' reports.

Keyspace, each key behind the deployment's prefix:

===============================  ===============================================================
``persona:<customer>``           public record, JSON
``persona-state:<customer>``     private record (``domain.record_codec``)
``persona-tastes:<customer>``    own tastes, where a setting asks for them (``domain.taste_bytes``)
``persona-deleted:<customer>``   a deletion's memory, with expiry: a record without content
``persona-damaged:<customer>``   a damaged private record that the topics could not restore whole
``persona-model:<partition>``    the partition's shard of the model (``model.shard``)
``persona-suspects``             set of customers with something that was found damaged
``persona-labelled:<partition>`` set of the partition's labelled customers
``persona-due:<partition>``      sorted set, customer -> epoch ms before which nothing of it ends
``persona-owner:<partition>``    token of the worker that owns the partition
``persona-offsets:<partition>``  hash, topic -> next offset, and one of ``worker.behind``
``persona-pending:<partition>``  whose changes the last batch wrote: perhaps not published yet
``persona-files``                hash, content of a file -> what was replayed or ingested of it
``persona-names:<partition>``    hash: names of tokens, each with some of the customers who carry it
``persona-shown-names``          names that enough customers carry to be shown (``store.names``)
``persona-deployment``           what all processes must agree on, JSON (``store.deployment``)
``persona-topics``               hash, kind of input -> id of the topic that positions are of
``persona-affinity:<persona>``   hash, feature -> lift, for rankers
``persona-common-tastes``        hash, feature -> slot and share of all; ``:taxonomy``: its version
``persona-workers``              hash, worker -> its last report (``worker_status``)
``persona-history``              stream of what dashboards draw, at ``<epoch ms>-0`` a field ``v``
``persona-changes``              channel: a copy of each published change
===============================  ===============================================================

On a Redis Cluster the owner's and the pending key are one hash, each master has a copy of the
offsets, and there are fences beside them: ``redis_cluster`` says why.

A worker *claims* a partition before it reads it; every write is conditional on the claim, so a
worker that lost its partition and wakes up late is refused (``FencedError``) and changes nothing.
**Position and effect cannot part.** A write stores, with the effects of a batch, the offsets from
which on reading goes on. Each write also names the last one that was acknowledged: a server that
does not know it has lost it (an older file was put back, a replica that lagged was promoted), and
refuses (``RolledBackError``). Then, and after every claim, reading goes on where the tables are.

``RedisTables``, on one server or on a Cluster, and ``MemoryTables`` pass the same contract suite.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from stream_persona.store.ranking_tables import RankingTables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Seconds for which damaged records are kept aside.
ASIDE_SECONDS: Final = 30 * 86_400
#: Samples that are kept, the newest ones, or some more: 6 hours of one every 10 s.
HISTORY: Final = 2_160


@dataclass(frozen=True, slots=True)
class Claim:
    """A partition and the token under which its owner writes.

    ``offsets`` are, by topic, where reading goes on: all that comes before has its effects in the
    tables. Of a topic that is missing nothing has; None stands for a partition that was written
    without offsets, by an earlier version. ``newest`` are the greatest offsets that a server of a
    Cluster knows: where they differ from ``offsets``, a part of the Cluster has come back older.
    """

    partition: int
    token: int
    offsets: Mapping[str, int] | None = field(default_factory=dict, compare=False)
    newest: Mapping[str, int] = field(default_factory=dict, compare=False)


@dataclass(slots=True)
class Write:
    """What one batch changes: customers' values (None: delete), and which of them are labelled.

    ``markers`` are records of deletions, kept for ``marker_ms`` milliseconds; ``pending`` names
    the customers whose last change this batch is about to publish (None: those of the last write
    stay); ``offsets`` are those of all topics that the partition is read from, once the batch is
    done (none: they stay). For ``forgotten`` customers, the bytes set aside as damaged go as well.
    ``due`` says of each customer whose record is written when something of it ends without events
    (``domain.due``; None: never). An entry that is earlier stays: most events put the time off, and
    a worker that looks at an entry too early has it ``filed_anew``. ``names`` are fields of the
    partition's names (None: remove), without blanks. ``tastes`` of the ``forgotten`` go as well.
    """

    states: dict[str, bytes | None] = field(default_factory=dict)
    public: dict[str, bytes | None] = field(default_factory=dict)
    markers: dict[str, bytes] = field(default_factory=dict)
    labelled: set[str] = field(default_factory=set)
    unlabelled: set[str] = field(default_factory=set)
    pending: list[str] | None = None
    marker_ms: int = 1
    offsets: dict[str, int] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    due: dict[str, int | None] = field(default_factory=dict)
    filed_anew: set[str] = field(default_factory=set)
    names: dict[str, bytes | None] = field(default_factory=dict)
    tastes: dict[str, bytes | None] = field(default_factory=dict)

    @property
    def all_tastes(self) -> dict[str, bytes | None]:
        """The tastes to store, and None for those to delete."""
        return dict.fromkeys(sorted(self.forgotten)) | self.tastes


@dataclass(frozen=True, slots=True)
class Keyspace:
    """The names of a deployment's keys."""

    prefix: str = ""

    def of(self, kind: str, name: str | int | None = None) -> str:
        """Return the key of a kind ("" for public records) and a name, or of the kind alone."""
        table = f"{self.prefix}persona-{kind}" if kind else f"{self.prefix}persona"
        return table if name is None else f"{table}:{name}"


class Tables(RankingTables, Protocol):
    """The port; every method may raise ``UnavailableError``."""

    async def claim(self, partitions: Iterable[int]) -> dict[int, Claim]:
        """Become the owner of partitions; writes of their owners before are refused from now on."""
        ...

    async def create_deployment(self, blob: bytes) -> bytes:
        """Store the deployment's descriptor unless there is one; return the one that is stored."""
        ...

    async def load_deployment(self) -> bytes | None:
        """Read the deployment's descriptor."""
        ...

    async def replace_deployment(self, old: bytes, new: bytes) -> bool:
        """Put a descriptor in the place of ``old``; False: another one is stored by now."""
        ...

    async def load_owners(self, partitions: Sequence[int]) -> dict[int, int]:
        """Read the present tokens of partitions that were ever claimed."""
        ...

    async def load(self, customers: Sequence[str]) -> dict[str, bytes]:
        """Read the stored records, or deletion markers, of those customers that have one."""
        ...

    async def commit(self, claim: Claim, write: Write) -> None:
        """Write all of a batch, or raise and change nothing.

        On a Cluster "nothing" is nothing that the partition's next owner has not written as well.

        Raises:
            FencedError: another worker owns the partition now.
            RolledBackError: the last write that was acknowledged under this claim is lost.
        """
        ...

    async def commit_all(self, writes: Sequence[tuple[Claim, Write]]) -> set[int]:
        """Write each as ``commit`` does, by itself; return the partitions of other workers.

        Raises:
            RolledBackError: of one of them, the last write that was acknowledged is lost.
        """
        ...

    async def find_rolled_back(self, claims: Sequence[Claim]) -> set[int]:
        """Return the partitions of which the last write, or the claim itself, is lost."""
        ...

    async def load_public(self, customer: str) -> bytes | None:
        """Read a customer's public record."""
        ...

    async def load_public_records(self, customers: Sequence[str]) -> dict[str, bytes]:
        """Read the public records of those customers that have one."""
        ...

    async def set_aside(self, damaged: Mapping[str, bytes]) -> None:
        """Keep copies of damaged private records by customer, for ``ASIDE_SECONDS``."""
        ...

    async def report_suspects(self, customers: Sequence[str]) -> None:
        """Note customers with something damaged: their worker looks at them."""
        ...

    async def load_suspects(self) -> list[str]:
        """Read the customers that were noted and not looked at yet."""
        ...

    async def remove_suspects(self, customers: Sequence[str]) -> None:
        """Note no more that something of customers is damaged."""
        ...

    async def scan(self, cursor: int, count: int) -> tuple[int, list[str]]:
        """Read the next cursor (0: all seen) and about ``count`` customers from ``cursor`` on."""
        ...

    async def scan_markers(self, cursor: int, count: int) -> tuple[int, list[str]]:
        """Do as ``scan`` does, of deleted customers that have a marker."""
        ...

    async def load_labelled(self, partition: int) -> list[str]:
        """Read the labelled customers of a partition, sorted."""
        ...

    async def load_due(
        self, partitions: Sequence[int], until: int, limit: int
    ) -> dict[int, list[tuple[str, int]]]:
        """Read which customers of partitions are due by ``until``, and when: the earliest first.

        Some may be due later: the entry was not put off with their last events. Of each partition
        at most ``limit`` are read; those without any are left out.
        """
        ...

    async def load_due_times(self, partition: int, customers: Sequence[str]) -> dict[str, int]:
        """Read the entries of those of a partition's customers that have one."""
        ...

    async def load_pending(self, partition: int) -> list[str]:
        """Read which customers' changes the last batch wrote, and may not have published.

        Raises:
            DamagedOutboxError: the list of them is damaged.
        """
        ...

    async def save_shard(self, claim: Claim, shard: bytes, stamp: bytes) -> None:
        """Publish a partition's shard of the model; refused like ``commit``."""
        ...

    async def load_stamps(self, partitions: Sequence[int]) -> dict[int, bytes]:
        """Read the 8-byte stamps of the published shards."""
        ...

    async def load_shards(self, partitions: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
        """Read stamp and content of the published shards."""
        ...

    async def load_names(self, partition: int) -> dict[str, bytes]:
        """Read all fields of a partition's names."""
        ...

    async def load_name_versions(self, partitions: Sequence[int]) -> dict[int, bytes]:
        """Read the field ``version`` of those partitions' names that have one."""
        ...

    async def save_listing(self, listing: bytes) -> None:
        """Replace the listing of names that may be shown; its first 8 bytes are its stamp."""
        ...

    async def load_listing_stamp(self) -> bytes:
        """Read the stamp of the listing; b"" where there is none."""
        ...

    async def load_listing(self) -> bytes | None:
        """Read the listing of names that may be shown."""
        ...

    async def remove_old_names(self) -> None:
        """Remove the names of earlier versions, which were stored without their carriers."""
        ...

    async def announce(self, messages: Sequence[bytes]) -> None:
        """Send copies of changes to all that listen to the channel."""
        ...

    async def scan_public(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Read the next cursor (0: all seen) and about ``count`` public records from ``cursor``."""
        ...

    async def save_report(self, worker: str, status: bytes) -> None:
        """Store a worker's report in the place of its last one."""
        ...

    async def remove_reports(self, workers: Sequence[str]) -> None:
        """Remove workers' reports."""
        ...

    async def load_reports(self) -> dict[str, bytes]:
        """Read the last report of each worker, also of one that crashed."""
        ...

    async def add_sample(self, at_ms: int, sample: bytes) -> bool:
        """Add a sample at its time, epoch ms above 0; False: that time, or a later one, has one.

        May be False as well for one's own sample, when it was tried again on a new connection.
        """
        ...

    async def load_samples(self, since_ms: int) -> list[tuple[int, bytes]]:
        """Read times and samples from a time on, ascending."""
        ...


async def still_owns(tables: Tables, claim: Claim) -> bool:
    """Whether the claim is still its partition's newest."""
    tokens = await tables.load_owners([claim.partition])
    return tokens.get(claim.partition) == claim.token
