"""The laws of the model's part: it is a fold of its partition's records."""

import random

from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.domain.record import Record
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.pipeline import training
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import (
    assignment,
    deletion,
    deliver,
    interleave,
    purchase,
    redeliver,
    shop,
    split_into_batches,
)
from tests.support.examples import count_examples
from tests.support.histories import SHOP, random_events, random_inputs
from tests.support.processing import process_batch

SEEDS = st.integers(0, 2**32)


@given(SEEDS)
@hypothesis(max_examples=count_examples(30))
def test_the_models_part_is_the_fold_of_its_records(seed: int) -> None:
    rng = random.Random(seed)
    customers = [f"c{i}" for i in range(4)]
    happened = [e for c in customers for e in random_events(rng, c, NOW - 12 * HOUR, NOW)]
    happened += [deletion(f"d-{c}", rng.randint(NOW - 12 * HOUR, NOW), c) for c in customers[:2]]
    part, stored = PersonaClassifier(), dict[str, Record]()
    for run in split_into_batches(
        redeliver(interleave(random_inputs(rng, happened), rng), rng), rng
    ):
        outcome = process_batch(run, SHOP, stored)
        stored |= outcome.records
        for update in outcome.model_updates:
            part.add(update.part, update.persona, update.sign)
        rebuilt = PersonaClassifier()
        for update in training.derive_updates(stored, SHOP):
            rebuilt.add(update.part, update.persona)
        assert part.encode_canonically() == rebuilt.encode_canonically()


def test_an_expired_label_is_unlearned() -> None:
    given_ = [assignment("a", expires_at=NOW + DAY), purchase("p")]
    first = process_batch(deliver(*given_), shop())
    late = process_batch(deliver(purchase("q", NOW + DAY), first=1), shop(), first.records)
    assert [update.sign for update in first.model_updates] == [1]
    assert [update.sign for update in late.model_updates] == [-1]
