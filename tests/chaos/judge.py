"""Whether a shop at rest is what its topics say: nothing lost, nothing twice, nothing of the gone.

Every check compares with the oracle, the fold of the topics' contents in one process, and tells
of each difference with the customer's name. See ``changes`` for what was said on the way.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from aiokafka import ConsumerRecord

from stream_persona.domain import events, record_codec
from stream_persona.domain.events import DELETION
from stream_persona.domain.record import Record
from stream_persona.domain.slots import EVENTS
from stream_persona.errors import DecodeError
from stream_persona.kafka import partitioner
from stream_persona.pipeline.messages import public_record
from stream_persona.pipeline.training import is_training_example
from tests.chaos.asking import predictions
from tests.chaos.changes import Change, lives
from tests.chaos.resting import still
from tests.chaos.shopfloor import Sent
from tests.chaos.verdict import Verdict, short
from tests.support.shop import Shop

Tell = Callable[[str], None]


@dataclass
class Evidence:
    """What was found at rest: the oracle's records and the stored ones, of living customers."""

    shop: Shop
    messages: Sequence[Sent]
    oracle: dict[str, Record]
    stored: dict[str, Record] = field(default_factory=dict)
    public: dict[str, bytes] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    @property
    def gone(self) -> set[str]:
        """Customers of whom nothing may be left."""
        asked = {m.customer for m in self.messages if m.kind == DELETION and not m.note}
        return {c for c in asked if c not in self.oracle}


async def judge(shop: Shop, messages: Sequence[Sent], tell: Tell) -> Verdict:
    """Wait until the shop is still, then hold it against the oracle."""
    verdict = Verdict()
    tell("folding the topics in one process")
    everybody = await shop.oracle()
    oracle = {name: record for name, record in everybody.items() if not record.is_marker}
    tell("waiting for the model and the sweep")
    await still(shop, oracle, verdict)
    evidence = Evidence(shop, messages, oracle)
    evidence.stored, evidence.public = await stored(shop), await public(shop)
    evidence.changes = [Change.read(raw) for raw in await shop.read(shop.settings.topic_changes)]
    tell("judging")
    read = await inputs(shop)
    arrived(read, messages, verdict)
    folded(evidence, verdict)
    await model(evidence, verdict)
    await predictions(shop, oracle, verdict)
    said(evidence, verdict)
    lives(evidence.changes, evidence.public, evidence.gone, verdict)
    await forgotten(evidence, verdict)
    await letters(shop, read, verdict)
    verdict.figures["customers"] = len(oracle)
    verdict.figures["nameless_slots"] = len(await nameless(evidence))
    return verdict


async def stored(shop: Shop) -> dict[str, Record]:
    """The stored private records."""
    keys = await shop.keys("persona-state:*")
    blobs = cast("list[bytes]", await shop.redis.mget(keys) if keys else [])
    found = record_codec.decode_records(blobs, shop.taxonomy.fingerprint)
    return {k.partition("persona-state:")[2]: r for k, r in zip(keys, found, strict=True)}


async def public(shop: Shop) -> dict[str, bytes]:
    """The public records."""
    keys = await shop.keys("persona:*")
    blobs = cast("list[bytes]", await shop.redis.mget(keys) if keys else [])
    start = len(f"{shop.settings.prefix}persona:")
    return {key[start:]: blob for key, blob in zip(keys, blobs, strict=True)}


async def inputs(shop: Shop) -> list[tuple[int, ConsumerRecord]]:
    """Everything in the input topics, with its kind."""
    return [
        (kind, raw)
        for kind, topic in enumerate(shop.settings.input_topics)
        for raw in await shop.read(topic)
    ]


def arrived(
    read: Sequence[tuple[int, ConsumerRecord]], messages: Sequence[Sent], verdict: Verdict
) -> None:
    """The harness itself lost nothing: the topics hold what was sent."""
    there = Counter((kind, raw.key, raw.value) for kind, raw in read)
    sent = Counter((m.kind, m.customer.encode(), m.value) for m in messages)
    for kind, key, _ in sent - there:
        verdict.add("harness", key.decode(), f"a message of kind {kind} never reached its topic")
    verdict.figures["messages"] = len(read)


def folded(evidence: Evidence, verdict: Verdict) -> None:
    """The folded part of every record is the oracle's, byte for byte."""
    fingerprint = evidence.shop.taxonomy.fingerprint
    found = {n: record_codec.encode_folded(r, fingerprint) for n, r in evidence.stored.items()}
    expected = {n: record_codec.encode_folded(r, fingerprint) for n, r in evidence.oracle.items()}
    for name in sorted(found.keys() & expected.keys()):
        if found[name] != expected[name]:
            verdict.add("record", name, difference(evidence.stored[name], evidence.oracle[name]))
    verdict.equal("record", dict.fromkeys(found), dict.fromkeys(expected))


def difference(found: Record, expected: Record) -> str:
    """In which fields two records differ, and how."""
    told = []
    for name in ("positions", "label", "deleted_at", "recent"):
        mine, other = getattr(found, name), getattr(expected, name)
        if mine != other:
            told.append(f"{name} {short(mine)}, not {short(other)}")
    ours, theirs = _counts(found), _counts(expected)
    if ours != theirs:
        wrong = sum(ours.get(key) != theirs.get(key) for key in ours.keys() | theirs.keys())
        told.append(f"{wrong} of {len(theirs)} counts (slot 0: {ours.get(0)}, not {theirs.get(0)})")
    return "; ".join(told) or "other bytes"


def _counts(record: Record) -> dict[int, int]:
    return dict(zip(record.counts.keys.tolist(), record.counts.values.tolist(), strict=True))


async def model(evidence: Evidence, verdict: Verdict) -> None:
    """The sum of the published parts and the sets of labelled customers are the oracle's."""
    shop = evidence.shop
    if await shop.model() != shop.model_updates(evidence.oracle):
        verdict.add("model", "", "the canonical bytes are not those of the oracle's records")
    for partition in range(shop.settings.partitions):
        key = f"{shop.settings.prefix}persona-labelled:{partition}"
        found = {cast("bytes", name).decode() for name in await shop.redis.smembers(key)}
        expected = {
            name for name, record in evidence.oracle.items()
            if is_training_example(record, shop.taxonomy)
            and partitioner.home(name, shop.settings.partitions) == partition
        }  # fmt: skip
        verdict.equal("labelled", dict.fromkeys(found), dict.fromkeys(expected))


def said(evidence: Evidence, verdict: Verdict) -> None:
    """Every public record is what the private record says, and every customer has one."""
    for name, record in evidence.stored.items():
        if record.published is None:
            verdict.add("public", name, "nothing was ever said of this customer")
        elif evidence.public.get(name) != public_record(name, record.published):
            verdict.add("public", name, "the public record is not what was said last")
    for name in sorted(evidence.public.keys() - evidence.stored.keys()):
        verdict.add("public", name, "a public record without a private one")


async def forgotten(evidence: Evidence, verdict: Verdict) -> None:
    """Of a deleted customer no key is left but the memory of the deletion."""
    shop = evidence.shop
    keys = set(await shop.keys("*"))
    kinds = ("persona", "persona-state")
    for name in sorted(evidence.gone):
        for kind in kinds:
            if f"{shop.settings.prefix}{kind}:{name}" in keys:
                verdict.add("deleted", name, f"there is still a key {kind}:{name}")
        if f"{shop.settings.prefix}persona-deleted:{name}" not in keys:
            verdict.add("deleted", name, "the deletion is not remembered")
    verdict.figures["deleted"] = len(evidence.gone)


async def nameless(evidence: Evidence) -> set[int]:
    """Slots whose token no worker left a name of: reasons can't show them. Told, not judged."""
    shop = evidence.shop
    names = await shop.redis.hvals(f"{shop.settings.prefix}persona-names")
    keys = (record.counts.keys for record in evidence.stored.values())
    slots = {slot & 0xFFFF for own in keys for slot in own.tolist()}
    return slots - {EVENTS, *map(int, names)}


async def letters(shop: Shop, read: Sequence[tuple[int, ConsumerRecord]], verdict: Verdict) -> None:
    """What could not be read, all of it and nothing else, is in the dead letters, untouched."""
    expected = {}
    for kind, raw in read:
        try:
            events.decode_for_taxonomy(kind, raw.value, shop.taxonomy)
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
