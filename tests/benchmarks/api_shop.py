"""Shoppers and a model in Redis, as a worker leaves them: what the API is asked about."""

import itertools
import random
from collections.abc import Iterator

from aiokafka import ConsumerRecord
from msgspec.structs import replace

from stream_persona.demo.simulator import Simulator
from stream_persona.domain import taxonomy
from stream_persona.domain.events import KINDS, Assignment, Event, Item, encode, get_event_time
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.model.explain import compute_affinities
from stream_persona.settings import Settings
from stream_persona.store.blas import limit_blas_threads
from stream_persona.store.redis import RedisTables
from stream_persona.worker.metrics import Metrics
from tests.support.workers import InMemoryLog, PatientWorker, RecordingPublisher, settle

TAXONOMY = taxonomy.load(None)
CUSTOMER = "CUST-04812"
SHOPPERS, EVENTS = 400, 12_000
#: Of every so many shoppers, one has a label; personas take turns, eight of them.
LABELLED = 3
#: Products of a catalogue that differ in more than their names.
KINDS_OF_PRODUCTS = 5_000
BEGAN = 1_764_000_000_000


async def fill(settings: Settings) -> bytes:
    """Fold the shoppers' events and publish all that is learned of them; one of their changes."""
    limit_blas_threads()
    tables, outbox = RedisTables.connect(settings.redis_url, settings.prefix), RecordingPublisher()
    worker = PatientWorker(settings, TAXONOMY, tables, outbox, InMemoryLog(), Metrics())
    await worker.assign(range(settings.partitions))
    for batch in batches(settings):
        await worker.process(batch)
    await settle(worker)
    # A worker writes them every few seconds, which is later than now.
    await tables.save_affinities(
        compute_affinities(worker.weights, worker._tokenizer.names.join_names)
    )
    await tables.close()
    changes = (value for value in outbox.values("persona-changes") if value)
    return next(changes)


def batches(settings: Settings) -> Iterator[list[ConsumerRecord]]:
    """The events, by partition: the labels before what is predicted from them."""
    for kind in (labels, behaviour):
        found: dict[int, list[ConsumerRecord]] = {}
        for offset, event in enumerate(kind()):
            partition = find_home_partition(event.customer_id, settings.partitions)
            found.setdefault(partition, []).append(record(event, settings, partition, offset))
        yield from found.values()


def simulator() -> Simulator:
    return Simulator(TAXONOMY, shoppers=SHOPPERS, seed=1)


def labels() -> Iterator[Event]:
    for number, (name, persona) in enumerate(simulator().personas.items()):
        if not number % LABELLED:
            yield Assignment(f"a{number}", name, BEGAN, persona)


def behaviour() -> Iterator[Event]:
    """One of the shoppers without a label is the customer that is looked up."""
    times = itertools.islice(itertools.count(BEGAN, 60_000), EVENTS)
    for _, event in simulator().generate_events(times):
        asked_for = event.customer_id == "SIM-00002"
        yield replace(event, customer_id=CUSTOMER) if asked_for else event


def record(event: Event, settings: Settings, partition: int, offset: int) -> ConsumerRecord:
    topic = settings.input_topics[KINDS.index(type(event))]
    key, value = event.customer_id.encode(), encode(event)
    sizes = len(key), len(value)
    return ConsumerRecord(
        topic, partition, offset, get_event_time(event), 0, key, value, None, *sizes, ()
    )


def results(number: int) -> list[dict[str, object]]:
    """Search results: items of the kind that shoppers buy, with scores."""
    rng = random.Random(1)
    shown = Simulator(TAXONOMY, shoppers=SHOPPERS, seed=2)
    bought = (item for at in itertools.count(BEGAN) for item in items(shown.draw_event(at)[1]))
    return [
        {
            "product_id": item.product_id, "category": item.category,
            "brand": item.brand or f"brand-{rng.randrange(20)}", "price": item.price,
            "score": round(rng.uniform(0, 10), 3),
        }
        for item in itertools.islice(bought, number)
    ]  # fmt: skip


def catalogue_rows(number: int) -> Iterator[dict[str, object]]:
    """Products of the kinds that shoppers buy, with popularities as skewed as a shop's."""
    kinds = results(KINDS_OF_PRODUCTS)
    for place, kind in zip(range(number), itertools.cycle(kinds), strict=False):
        name = str(kind["category"]).rpartition("/")[2]
        yield {
            **{field: kind[field] for field in ("category", "brand", "price")},
            "product_id": f"CAT-{place}", "title": f"{name} number {place}",
            "popularity": round(1e6 / (place + 1), 3), "attributes": {"size": "SML"[place % 3]},
            "bought_with": [f"CAT-{(place + step) % number}" for step in range(1, 6)],
        }  # fmt: skip


def items(event: Event) -> tuple[Item, ...]:
    """What was bought; nothing in other events."""
    return getattr(event, "items", ())
