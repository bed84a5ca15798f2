"""The laws of the model's part: it is a fold of its partition's records."""

import random

from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.domain.record import Record
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.pipeline import training
from tests.support.builders import (
    DAY,
    HOUR,
    NOW,
    assignment,
    batches,
    deletion,
    delivered,
    interleaved,
    purchase,
    redelivered,
    shop,
    walked,
)
from tests.support.histories import SHOP, random_events, random_inputs

SEEDS = st.integers(0, 2**32)


@given(SEEDS)
@hypothesis(max_examples=30)
def test_the_models_part_is_the_fold_of_its_records(seed: int) -> None:
    rng = random.Random(seed)
    customers = [f"c{i}" for i in range(4)]
    happened = [e for c in customers for e in random_events(rng, c, NOW - 12 * HOUR, NOW)]
    happened += [deletion(f"d-{c}", rng.randint(NOW - 12 * HOUR, NOW), c) for c in customers[:2]]
    part, stored = PersonaClassifier(), dict[str, Record]()
    for run in batches(redelivered(interleaved(random_inputs(rng, happened), rng), rng), rng):
        outcome = walked(run, SHOP, stored)
        stored |= outcome.records
        for update in outcome.model_updates:
            part.add(update.part, update.persona, update.sign)
        rebuilt = PersonaClassifier()
        for update in training.derive_updates(stored, SHOP):
            rebuilt.add(update.part, update.persona)
        assert part.canonical() == rebuilt.canonical()


def test_an_expired_label_is_unlearned() -> None:
    given_ = [assignment("a", expires_at=NOW + DAY), purchase("p")]
    first = walked(delivered(*given_), shop())
    late = walked(delivered(purchase("q", NOW + DAY), first=1), shop(), first.records)
    assert [update.sign for update in first.model_updates] == [1]
    assert [update.sign for update in late.model_updates] == [-1]
