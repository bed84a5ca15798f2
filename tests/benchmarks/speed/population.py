"""Customers that are known already: records in Redis as a worker left them, to start from.

Some hundred shoppers of the job, folded in process, stand for all: their records are stored under
every customer's name. Positions are forgotten, since the records' events are in no topic.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from msgspec import structs
from redis import Redis

from stream_persona.domain import events
from stream_persona.domain.record import Record
from stream_persona.domain.record_seal import seal
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.kafka import partitioner
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.shard import make_members
from stream_persona.model.statistics import hash_customer
from stream_persona.model.weights import Weights
from stream_persona.pipeline import process, training
from stream_persona.pipeline.messages import encode_public_record
from stream_persona.pipeline.process import Delivery
from stream_persona.store.blas import limit_blas_threads
from tests.benchmarks.speed.job import BEGAN, Job, assignment
from tests.support.processing import record_content

#: Different shoppers, and events of each on average.
KINDS, EVENTS = 500, 20
#: How often each of them is among the labelled customers.
REPEATED = 10
_WRITE = 2_000


@dataclass
class Stored:
    """A shopper's record, and what to seal for a name; its last change makes the public one."""

    content: bytes
    record: Record


def shoppers(job: Job, *, labelled: bool) -> list[Stored]:
    """Records of shoppers of the job: those with a label, or those without."""
    some = replace(job, customers=KINDS, events=KINDS * EVENTS)
    messages, tokenizer = list(some.messages()), Tokenizer(job.taxonomy)
    if labelled:
        messages += [given(some, number) for number in range(KINDS)]
    deliveries = [
        Delivery.of(events.decode_for_taxonomy(kind, value, job.taxonomy), kind, 0, offset)
        for offset, (kind, _, value) in enumerate(messages)
    ]
    outcome = process.process_batch(deliveries, {}, weights_of(some), job.taxonomy, tokenizer, 0)
    found = [
        structs.replace(record, positions={}, recent={})
        for record in outcome.records.values()
        if training.is_training_example(record, job.taxonomy) == labelled
    ]
    return [Stored(record_content(each, job.taxonomy.fingerprint), each) for each in found]


def weights_of(job: Job) -> Weights:
    """What a worker has learned once all labelled customers are folded: these shoppers, many times.

    So the first changes of most shoppers are those that it would publish again.
    """
    messages = [*job.messages(), *(given(job, number) for number in range(KINDS))]
    deliveries = [
        Delivery.of(events.decode_for_taxonomy(kind, value, job.taxonomy), kind, 0, offset)
        for offset, (kind, _, value) in enumerate(messages)
    ]
    tokenizer = Tokenizer(job.taxonomy)
    records = process.apply_events(deliveries, {}, job.taxonomy, tokenizer).records
    model_updates = training.derive_updates(records, job.taxonomy)
    sums = PersonaClassifier()
    for _ in range(REPEATED):
        sums.add_all([(update.part, update.persona, 1) for update in model_updates])
    panel = make_members(
        [(hash_customer(n), r.find_active_label() or "", r) for n, r in records.items()],
        job.taxonomy,
    )
    limit_blas_threads()
    learned = ModelFitter(job.taxonomy)
    learned.update(sums, list(panel.values()), calibrate=True)
    return learned.weights


def given(job: Job, number: int) -> tuple[int, str, bytes]:
    """An assignment of every shopper, the persona that it behaves like."""
    return assignment(number, job.name(number), f"persona-{job.persona(number)}", BEGAN)


def fill(redis: Redis, names: Sequence[str], job: Job, partitions: int, *, labelled: bool) -> None:
    """Store records and public records of these customers, and the set of the labelled ones."""
    kinds = shoppers(job, labelled=labelled)
    for chunk in chunks(names):
        values: dict[str, bytes] = {}
        homes: dict[str, list[str]] = {}
        for number, name in enumerate(chunk):
            stored = kinds[number % len(kinds)]
            values[f"persona-state:{name}"] = seal(name, stored.content)
            if stored.record.published is not None:
                values[f"persona:{name}"] = encode_public_record(name, stored.record.published)
            if labelled:
                home = f"persona-labelled:{partitioner.find_home_partition(name, partitions)}"
                homes.setdefault(home, []).append(name)
        redis.mset(values)
        for home, own in homes.items():
            redis.sadd(home, *own)


def chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _WRITE):
        yield names[start : start + _WRITE]


def populate(redis: Redis, job: Job, partitions: int) -> None:
    """All customers of the job, the labelled ones with their label."""
    labelled = {name for name, _ in job.labelled()}
    names = [f"C{number:07d}" for number in range(job.customers)]
    fill(redis, [n for n in names if n not in labelled], job, partitions, labelled=False)
    fill(redis, sorted(labelled), job, partitions, labelled=True)
