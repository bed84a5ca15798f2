"""Checks a shop at rest: no event lost or counted twice, and nothing left of deleted customers.

Every check compares with the oracle, the fold of the topics' contents in one process, and names
the customer of each difference. ``changes`` checks what was published on the way.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from aiokafka import ConsumerRecord

from stream_persona.domain import record_codec
from stream_persona.domain.due import advance_all, find_all_due
from stream_persona.domain.events import DELETION
from stream_persona.domain.record import Record
from stream_persona.domain.slots import EVENTS
from stream_persona.domain.tastes import encode_all_tastes
from stream_persona.domain.token_names import Listing
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import DecodeError
from stream_persona.kafka import partitioner
from stream_persona.kafka.arrivals import EventReader
from stream_persona.kafka.source_topics import find_source_topics
from stream_persona.pipeline.messages import encode_public_record
from stream_persona.pipeline.training import is_training_example
from stream_persona.replay.messages import TopicMessages
from stream_persona.replay.summary import Unreadable
from stream_persona.store.names import decode_listing
from tests.chaos.changes import Change, check_changes
from tests.chaos.ends import check_due
from tests.chaos.feeder import Feeder
from tests.chaos.predictions import check_predictions
from tests.chaos.shopfloor import ENDS_AFTER, Sent
from tests.chaos.stillness import wait_until_still
from tests.chaos.verdict import Verdict, short
from tests.support.shop import Shop
from tests.support.waiting import eventually

#: Seconds within which a change is published that time alone has caused.
ON_TIME = 2.0
#: Takes a line on how a trial goes.
Log = Callable[[str], None]


@dataclass
class Evidence:
    """What was found at rest: the oracle's records and the stored ones."""

    shop: Shop
    messages: Sequence[Sent]
    oracle: dict[str, Record]
    stored: dict[str, Record] = field(default_factory=dict)
    public: dict[str, bytes] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    @property
    def deleted(self) -> set[str]:
        """Customers of which nothing may be left."""
        asked = {m.customer for m in self.messages if m.kind == DELETION and not m.note}
        return {c for c in asked if c not in self.oracle}


async def judge(shop: Shop, feeder: Feeder, log: Log) -> Verdict:
    """Wait until the shop is still, then compare it with the oracle of that time."""
    verdict, messages = Verdict(), feeder.sent
    await wait_until_ended(feeder.ends)
    log("folding the topics in one process")
    now = time.time_ns() // 1_000_000
    records = await shop.oracle(now)
    oracle = {name: record for name, record in records.items() if not record.is_marker}
    log("waiting for the model and the sweep")
    await wait_until_still(shop, oracle, verdict)
    evidence = Evidence(shop, messages, oracle)
    # What became due since then is advanced on both sides: records of one time have to be equal.
    evidence.oracle = oracle = advance_all(
        oracle, now := time.time_ns() // 1_000_000, shop.taxonomy
    )
    evidence.stored = advance_all(await read_records(shop), now, shop.taxonomy)
    evidence.public = await read_public_records(shop)
    evidence.changes = [Change.read(raw) for raw in await shop.read(shop.settings.topic_changes)]
    log("judging")
    read = await read_inputs(shop)
    check_inputs(read, messages, verdict)
    bundled = [raw for topic in find_source_topics(shop.settings) for raw in await shop.read(topic)]
    check_bundles(bundled, feeder.bundled, verdict)
    check_records(evidence, verdict)
    await check_model(evidence, verdict)
    await check_predictions(shop, oracle, verdict)
    check_public_records(evidence, verdict)
    await check_tastes(evidence, verdict)
    check_changes(evidence.changes, evidence.public, evidence.deleted, verdict)
    check_due(evidence.changes, evidence.public, evidence.oracle, feeder.ends, verdict)
    await check_index(evidence, verdict)
    await check_deletions(evidence, verdict)
    await check_dead_letters(shop, read, bundled, verdict)
    verdict.figures["customers"] = len(oracle)
    verdict.figures["nameless_slots"] = len(await unnamed_slots(evidence))
    return verdict


async def wait_until_ended(ends: Mapping[str, int]) -> None:
    """Wait until all assignments have ended that the clock ends, and their changes may be there."""
    last = max(ends.values(), default=0) / 1_000 + ON_TIME
    await eventually(lambda: time.time() > last, ENDS_AFTER[1] + 2 * ON_TIME)


async def check_index(evidence: Evidence, verdict: Verdict) -> None:
    """Check that who has something that will end is filed, by that time or an earlier one."""
    shop, found = evidence.shop, dict[str, int]()
    for partition in range(shop.settings.partitions):
        key = f"{shop.settings.prefix}persona-due:{partition}"
        entries = await shop.redis.zrange(key, 0, -1, withscores=True)
        found |= {member.decode(): int(at) for member, at in cast("list[Any]", entries)}
    for name, at in find_all_due(evidence.oracle, shop.taxonomy).items():
        if at is not None and found.get(name, at + 1) > at:
            verdict.add("due", name, f"is filed by {found.get(name)}, and is due at {at}")


async def read_records(shop: Shop) -> dict[str, Record]:
    """Read the stored private records."""
    keys = await shop.keys("persona-state:*")
    blobs = cast("list[bytes]", await shop.redis.mget(keys) if keys else [])
    names = [key.partition("persona-state:")[2] for key in keys]
    found = dict(zip(names, blobs, strict=True))
    return record_codec.decode_records(found, shop.taxonomy.fingerprint)


async def read_public_records(shop: Shop) -> dict[str, bytes]:
    """Read the public records."""
    keys = await shop.keys("persona:*")
    blobs = cast("list[bytes]", await shop.redis.mget(keys) if keys else [])
    start = len(f"{shop.settings.prefix}persona:")
    return {key[start:]: blob for key, blob in zip(keys, blobs, strict=True)}


async def read_inputs(shop: Shop) -> list[tuple[int, ConsumerRecord]]:
    """Read everything in the input topics, with its kind."""
    return [
        (kind, raw)
        for kind, topic in enumerate(shop.settings.input_topics)
        for raw in await shop.read(topic)
    ]


def check_inputs(
    read: Sequence[tuple[int, ConsumerRecord]], messages: Sequence[Sent], verdict: Verdict
) -> None:
    """Check that the harness itself lost nothing: the topics hold what was sent."""
    there = Counter((kind, raw.key, raw.value) for kind, raw in read)
    sent = Counter((m.kind, m.customer.encode(), m.value) for m in messages)
    for kind, key, _ in sent - there:
        verdict.add("harness", key.decode(), f"a message of kind {kind} never reached its topic")
    verdict.figures["messages"] = len(read)


def check_bundles(read: Sequence[ConsumerRecord], sent: Sequence[bytes], verdict: Verdict) -> None:
    """Check the same of the topic of a source."""
    if lost := Counter(sent) - Counter(raw.value for raw in read):
        verdict.add("harness", "", f"{lost.total()} messages never reached the source's topic")
    verdict.figures["bundles"] = len(read)


def check_records(evidence: Evidence, verdict: Verdict) -> None:
    """Check that the folded part of every record is the oracle's, byte for byte."""
    fingerprint = evidence.shop.taxonomy.fingerprint
    found = {n: record_codec.encode_folded(r, fingerprint) for n, r in evidence.stored.items()}
    expected = {n: record_codec.encode_folded(r, fingerprint) for n, r in evidence.oracle.items()}
    for name in sorted(found.keys() & expected.keys()):
        if found[name] != expected[name]:
            verdict.add(
                "record", name, describe_difference(evidence.stored[name], evidence.oracle[name])
            )
    verdict.equal("record", dict.fromkeys(found), dict.fromkeys(expected))


def describe_difference(found: Record, expected: Record) -> str:
    """Describe in which fields two records differ, and how."""
    lines = []
    fields = "positions", "label", "deleted_at", "recent", "rates", "left_out_at", "faded_at"
    for name in fields:
        mine, other = getattr(found, name), getattr(expected, name)
        if mine != other:
            lines.append(f"{name} {short(mine)}, not {short(other)}")
    ours, theirs = _counts(found), _counts(expected)
    if ours != theirs:
        wrong = sum(ours.get(key) != theirs.get(key) for key in ours.keys() | theirs.keys())
        lines.append(
            f"{wrong} of {len(theirs)} counts (slot 0: {ours.get(0)}, not {theirs.get(0)})"
        )
    return "; ".join(lines) or "other bytes"


def _counts(record: Record) -> dict[int, int]:
    return dict(zip(record.counts.keys.tolist(), record.counts.values.tolist(), strict=True))


async def check_model(evidence: Evidence, verdict: Verdict) -> None:
    """Check that the sum of all shards and the sets of labelled customers are the oracle's."""
    shop = evidence.shop
    if await shop.model() != shop.model_of(evidence.oracle):
        verdict.add("model", "", "the canonical bytes are not those of the oracle's records")
    for partition in range(shop.settings.partitions):
        key = f"{shop.settings.prefix}persona-labelled:{partition}"
        found = {cast("bytes", name).decode() for name in await shop.redis.smembers(key)}
        expected = {
            name for name, record in evidence.oracle.items()
            if is_training_example(record, shop.taxonomy)
            and partitioner.find_home_partition(name, shop.settings.partitions) == partition
        }  # fmt: skip
        verdict.equal("labelled", dict.fromkeys(found), dict.fromkeys(expected))


def check_public_records(evidence: Evidence, verdict: Verdict) -> None:
    """Check that every customer has a public record, and that it is the last published one."""
    for name, record in evidence.stored.items():
        if record.published is None:
            verdict.add("public", name, "no change of this customer was ever published")
        elif evidence.public.get(name) != encode_public_record(name, record.published):
            verdict.add("public", name, "the public record is not the last published one")
    for name in sorted(evidence.public.keys() - evidence.stored.keys()):
        verdict.add("public", name, "a public record without a private one")


async def check_tastes(evidence: Evidence, verdict: Verdict) -> None:
    """Check that the stored tastes of every customer are those of the oracle's record."""
    shop = evidence.shop
    keys = await shop.keys("persona-tastes:*")
    blobs = cast("list[bytes]", await shop.redis.mget(keys) if keys else [])
    start = len(f"{shop.settings.prefix}persona-tastes:")
    found = {key[start:]: blob for key, blob in zip(keys, blobs, strict=True)}
    counts = {name: record.counts for name, record in evidence.oracle.items()}
    expected = encode_all_tastes(counts, shop.taxonomy)
    verdict.equal("tastes", found, {name: each for name, each in expected.items() if each})
    verdict.figures["tastes"] = len(found)


async def check_deletions(evidence: Evidence, verdict: Verdict) -> None:
    """Check that of a deleted customer only the key that remembers the deletion is left."""
    shop = evidence.shop
    keys = set(await shop.keys("*"))
    kinds = ("persona", "persona-state", "persona-tastes")
    for name in sorted(evidence.deleted):
        for kind in kinds:
            if f"{shop.settings.prefix}{kind}:{name}" in keys:
                verdict.add("deleted", name, f"there is still a key {kind}:{name}")
        if f"{shop.settings.prefix}persona-deleted:{name}" not in keys:
            verdict.add("deleted", name, "the deletion is not remembered")
    verdict.figures["deleted"] = len(evidence.deleted)


async def unnamed_slots(evidence: Evidence) -> set[int]:
    """Return slots of which no name is shown, so that reasons can't show them: no mismatch."""
    shop = evidence.shop
    names = Tokenizer(shop.taxonomy).names
    blob = await shop.redis.get(f"{shop.settings.prefix}persona-shown-names")
    names.show(decode_listing(cast("bytes", blob) or b"") or Listing())
    keys = (record.counts.keys for record in evidence.stored.values())
    slots = {slot & 0xFFFF for own in keys for slot in own.tolist()}
    return {slot for slot in slots if slot != EVENTS and names.find_sole_name(slot) is None}


async def check_dead_letters(
    shop: Shop,
    read: Sequence[tuple[int, ConsumerRecord]],
    bundled: Sequence[ConsumerRecord],
    verdict: Verdict,
) -> None:
    """Check that the dead letters are exactly the unreadable messages, unchanged."""
    expected, reader = {}, EventReader(shop.taxonomy)
    messages = TopicMessages(shop.settings, shop.taxonomy)
    for raw in bundled:
        for found_there in messages.read(raw):
            if isinstance(found_there, Unreadable):
                at = f"{raw.topic}/{raw.partition}/{raw.offset}"
                expected[at] = (raw.key, raw.value, found_there.reason)
    for kind, raw in read:
        try:
            reader.read(kind, raw)
        except DecodeError as error:
            at = f"{raw.topic}/{raw.partition}/{raw.offset}"
            expected[at] = (raw.key, raw.value, error.reason)
    found: dict[str, object] = {}
    for letter in await shop.read(shop.settings.topic_dead_letters):
        headers = {name: value.decode() for name, value in letter.headers}
        at = "/".join(headers[name] for name in ("topic", "partition", "offset"))
        content = (letter.key, letter.value, headers["reason"])
        if found.setdefault(at, content) != content:
            verdict.add("dead letter", at, "came twice, with different contents")
    verdict.equal("dead letter", found, expected)
    verdict.figures["dead_letters"] = len(found)
