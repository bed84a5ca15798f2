"""The laws of the model on a real year: the households of the Complete Journey."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from stream_persona.demo import journey
from stream_persona.domain import taxonomy
from stream_persona.domain.record import Record
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.pipeline import process, training
from stream_persona.pipeline.process import Delivery, ModelUpdate
from tests.support.waiting import patience

pytestmark = pytest.mark.long

TAXONOMY = taxonomy.load(taxonomy.find_shipped_path("complete-journey"))
BATCH = 10_000


@pytest.fixture(scope="module")
def year() -> dict[str, Record]:
    """All households after all events of the year, 1,616 of them labelled."""
    story = journey.load(assigned_share=0.999, since=datetime(2017, 1, 1, tzinfo=UTC))
    records: dict[str, Record] = {}
    tokenizer, batch = Tokenizer(TAXONOMY), list[Delivery]()
    batch += [Delivery.of(a, 3, 0, n) for n, a in enumerate(story.study.make_assignments())]
    for offset, (kind, event) in enumerate(story.generate_events()):
        batch.append(Delivery.of(event, kind, 0, offset))
        if len(batch) >= BATCH:
            records |= process.apply_events(batch, records, TAXONOMY, tokenizer).records
            batch = []
    return records | process.apply_events(batch, records, TAXONOMY, tokenizer).records


def sum_of(model_updates: Iterable[ModelUpdate]) -> PersonaClassifier:
    model = PersonaClassifier()
    for update in model_updates:
        model.add(update.part, update.persona)
    return model


@pytest.mark.timeout(patience(300))
def test_households_unlearned_in_any_order_leave_no_trace(year: dict[str, Record]) -> None:
    rng, model_updates = random.Random(4), training.derive_updates(year, TAXONOMY)
    assert len(model_updates) > 1_600
    kept, gone = model_updates[::2], model_updates[1::2]
    model = sum_of(rng.sample(model_updates, len(model_updates)))
    for update in rng.sample(gone, len(gone)):
        model.add(update.part, update.persona, -1)
    assert model.encode_canonically() == sum_of(kept).encode_canonically()


@pytest.mark.timeout(patience(300))
def test_the_sum_of_any_parts_is_the_whole(year: dict[str, Record]) -> None:
    rng, model_updates = random.Random(5), training.derive_updates(year, TAXONOMY)
    shares: list[list[ModelUpdate]] = [[] for _ in range(7)]
    for update in model_updates:
        rng.choice(shares).append(update)
    total = PersonaClassifier()
    for share in rng.sample(shares, len(shares)):
        total.merge(PersonaClassifier.from_bytes(sum_of(share).to_bytes()))
    assert total.encode_canonically() == sum_of(model_updates).encode_canonically()
