"""Real households, a model that some of them train, and its predictions of the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream_persona.client.own_tastes import CommonShares
from stream_persona.client.ranking import Affinities
from stream_persona.demo import journey
from stream_persona.demo.study import MIDYEAR, Study
from stream_persona.domain.carried_names import MOST_NAMES, CarriedNames, merge
from stream_persona.domain.events import PURCHASE, Item, Purchase, get_event_time
from stream_persona.domain.events import to_milliseconds as epoch_ms
from stream_persona.domain.features import compute_profiles
from stream_persona.domain.record import Record
from stream_persona.domain.tastes import encode_all_tastes
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.calibration_panel import Member
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.explain import compute_affinities, list_common_tastes
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.shard import PANEL
from stream_persona.model.statistics import Contributions
from stream_persona.pipeline import process
from stream_persona.pipeline.decision import Cause
from stream_persona.pipeline.types import Delivery
from stream_persona.store.blas import limit_blas_threads
from tests.benchmarks import tasks
from tests.benchmarks.tasks import TAXONOMY, key_and_fold

#: Next baskets of a household.
BASKETS = 2

#: A product as a shop's search index has it.
Product = dict[str, Any]


@dataclass
class Household:
    """A labelled household: its persona, its first half-year's record, its next baskets."""

    name: str
    persona: str
    record: Record
    bought: list[tuple[str, ...]] = field(default_factory=list)
    baskets: list[tuple[str, ...]] = field(default_factory=list)


def households(names: Tokenizer) -> tuple[list[Household], dict[str, Product]]:
    """All labelled households, and the products of all; ``names`` learns those of slots."""
    lines, products = tasks.tables("transactions", "products")
    personas = tasks.spend_personas(lines, products)
    year = journey.build(Study({}, {}), lines, products, [], tasks._YEAR)
    events = [event for _, event in year.generate_events() if event.customer_id in personas]
    middle, offset = epoch_ms(MIDYEAR), 0
    known = {name: Household(name, persona, Record()) for name, persona in personas.items()}
    catalogue: dict[str, Product] = {}
    early: list[Delivery] = []
    for event in (event for event in events if isinstance(event, Purchase)):
        catalogue |= {item.product_id: describe(item) for item in event.items}
        basket = tuple(dict.fromkeys(item.product_id for item in event.items))
        own = known[event.customer_id]
        if get_event_time(event) < middle:
            early.append(Delivery.of(event, PURCHASE, 0, offset))
            own.bought.append(basket)
            offset += 1
        elif len(own.baskets) < BASKETS and len(basket) > 1:
            own.baskets.append(basket)
    outcome = process.apply_events(early, {}, TAXONOMY, names)
    carried = CarriedNames(MOST_NAMES)
    carried.apply(outcome.carried)
    names.show_names(merge([(carried, ())], names.names.public))
    for name, record in outcome.records.items():
        known[name].record = record
    return [own for own in known.values() if own.bought and own.baskets], catalogue


def describe(item: Item) -> Product:
    """A product as a shop's search index has it."""
    kind = (item.attributes or {}).get("product_type")
    return {
        "product_id": item.product_id, "category": item.category, "brand": item.brand,
        "attributes": {"product_type": kind} if kind else {},
    }  # fmt: skip


@dataclass(frozen=True)
class Model:
    """What was learned from the training households, and predicted of the others."""

    affinities: Affinities
    common: CommonShares
    tastes: Mapping[str, bytes | None]
    predicted: Mapping[str, tuple[str | None, dict[str, float]]]


def learn(training: Sequence[Household], held: Sequence[Household], names: Tokenizer) -> Model:
    """Learn from some households, and predict others as a worker does."""
    sums = PersonaClassifier()
    keyed = [key_and_fold(own.name) for own in training]
    seen = compute_profiles([own.record.counts for own in training], TAXONOMY.features)
    parts = Contributions.of(seen, [fold for _, fold in keyed])
    sums.add_rows(parts, [own.persona for own in training], [1] * len(training))
    lowest = sorted(range(len(training)), key=lambda i: keyed[i][0])[:PANEL]
    panel = [Member(*keyed[i], training[i].persona, seen.select_row(i)) for i in lowest]
    limit_blas_threads()
    learned = ModelFitter(TAXONOMY)
    learned.update(sums, panel, calibrate=True)
    known = {own.name: own.record for own in held}
    outcome = process.rescore(known, learned.weights, TAXONOMY, names, 0, Cause.BEHAVIOUR)
    predicted = {}
    for name, record in outcome.records.items():
        if record.published is not None:
            current = record.published.current
            shares = [share / 1e6 for share in current.distribution]
            predicted[name] = (
                current.persona,
                dict(zip(record.published.personas, shares, strict=True)),
            )
    common = list_common_tastes(learned.weights, TAXONOMY, names.names)
    return Model(
        Affinities(compute_affinities(learned.weights, names.names.join_names)),
        CommonShares(common, TAXONOMY.version),
        encode_all_tastes({own.name: own.record.counts for own in held}, TAXONOMY),
        predicted,
    )
