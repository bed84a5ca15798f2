"""All parts together: the same weights whoever merges them, whatever was learned and unlearned."""

import itertools
import random

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from stream_persona.domain.record import Record
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.shard import Part, members, merged, pack, panel_share, unpack
from stream_persona.model.statistics import customer_key
from stream_persona.pipeline import process, training
from tests.support.builders import delivered, shop, tastes

SHOP = shop()


def labelled(customers: int = 10) -> dict[str, Record]:
    told = delivered(*tastes(SHOP, customers=customers))
    return process.apply_events(told, {}, SHOP, Tokenizer(SHOP)).records


def known(records: dict[str, Record]) -> list[tuple[int, str, Record]]:
    return [(customer_key(n), r.active_label() or "", r) for n, r in records.items()]


def part_of(records: dict[str, Record]) -> Part:
    sums = PersonaClassifier()
    for lesson in training.derive_updates(records, SHOP):
        sums.add(lesson.part, lesson.persona)
    return Part(sums, members(known(records), SHOP))


def split(records: dict[str, Record], ways: int, seed: int) -> list[dict[str, Record]]:
    rng, parts = random.Random(seed), [dict[str, Record]() for _ in range(ways)]
    for name in rng.sample(sorted(records), len(records)):
        rng.choice(parts)[name] = records[name]
    return parts


def learned(parts: list[Part]) -> ModelFitter:
    model = ModelFitter(SHOP)
    model.update(*merged(parts), calibrate=True)
    return model


@pytest.mark.parametrize("seed", range(5))
def test_weights_do_not_depend_on_how_customers_are_split_over_parts(seed: int) -> None:
    records = labelled()
    whole, parts = learned([part_of(records)]), [part_of(p) for p in split(records, 4, seed)]
    again = learned(parts)
    assert again.weights.version == whole.weights.version
    assert again.weights.gains == whole.weights.gains
    assert again.weights.threshold == whole.weights.threshold
    assert np.array_equal(again.weights.shares_w, whole.weights.shares_w)
    assert np.array_equal(again.weights.logs_w, whole.weights.logs_w)


def test_a_deleted_customer_has_no_influence_on_the_calibration_either() -> None:
    records = labelled()
    gone = {name: record for name, record in records.items() if name != "gamer-3"}
    sums = part_of(records).sums
    for lesson in training.derive_updates({"gamer-3": records["gamer-3"]}, SHOP, -1):
        sums.add(lesson.part, lesson.persona, lesson.sign)
    forgotten = learned([Part(sums, members(known(gone), SHOP))])
    never = learned([part_of(gone)])
    assert forgotten.weights.version == never.weights.version
    assert learned([part_of(records)]).weights.version != never.weights.version


def test_a_part_survives_its_bytes() -> None:
    records = labelled()
    part = part_of(records)
    blob, stamp = pack(part.sums.canonical(), known(records), SHOP)
    again = unpack(blob, SHOP)
    assert again.sums.canonical() == part.sums.canonical()
    assert again.panel.keys() == part.panel.keys()
    assert all(again.panel[key].same(part.panel[key]) for key in part.panel)
    backwards = dict(itertools.islice(reversed(records.items()), None))
    assert pack(part.sums.canonical(), known(backwards), SHOP) == (blob, stamp)


def test_members_that_did_not_change_keep_their_histories() -> None:
    records = labelled(2)
    blob, _ = pack(part_of(records).sums.canonical(), known(records), SHOP)
    first = unpack(blob, SHOP)
    second = unpack(blob, SHOP, first)
    assert all(second.panel[key] is first.panel[key] for key in first.panel)


def test_too_few_labels_leave_the_thresholds_to_the_policy() -> None:
    weights = learned([part_of(labelled(2))]).weights
    assert (weights.threshold, weights.candidate_floor) == (None, None)


def test_the_panel_is_shared_among_the_partitions() -> None:
    assert [panel_share(n) for n in (1, 3, 8, 1_000)] == [640, 214, 80, 1]


def test_weights_are_derived_by_one_thread_of_blas() -> None:
    with threadpool_limits(2, user_api="blas"):
        ModelFitter(SHOP)
        threads = {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}
    assert threads == {1}
