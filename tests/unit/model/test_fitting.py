"""The fit: the same weights however customers are split over shards, learned and unlearned."""

import random

import numpy as np
import pytest

from stream_persona.domain.record import Record
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.shard import Shard, make_members, merge_shards
from stream_persona.pipeline import training
from tests.support.events import shop
from tests.support.shards import keyed, labelled_records, shard_of

SHOP = shop()


def split(records: dict[str, Record], ways: int, seed: int) -> list[Shard]:
    rng, shares = random.Random(seed), [dict[str, Record]() for _ in range(ways)]
    for name in rng.sample(sorted(records), len(records)):
        rng.choice(shares)[name] = records[name]
    return [shard_of(share, SHOP) for share in shares]


def fit(*shards: Shard) -> ModelFitter:
    fitter = ModelFitter(SHOP)
    fitter.update(*merge_shards(shards), calibrate=True)
    return fitter


@pytest.mark.parametrize("seed", range(5))
def test_weights_do_not_depend_on_how_customers_are_split_over_shards(seed: int) -> None:
    records = labelled_records(SHOP)
    whole, again = fit(shard_of(records, SHOP)), fit(*split(records, 4, seed))
    assert again.weights.version == whole.weights.version
    assert again.weights.gains == whole.weights.gains
    assert again.weights.threshold == whole.weights.threshold
    assert np.array_equal(again.weights.shares_w, whole.weights.shares_w)
    assert np.array_equal(again.weights.logs_w, whole.weights.logs_w)


def test_a_deleted_customer_has_no_influence_on_the_calibration_either() -> None:
    records = labelled_records(SHOP)
    rest = {name: record for name, record in records.items() if name != "gamer-3"}
    sums = shard_of(records, SHOP).sums
    for update in training.derive_updates({"gamer-3": records["gamer-3"]}, SHOP, -1):
        sums.add(update.part, update.persona, update.sign)
    unlearned = fit(Shard(sums, make_members(keyed(rest), SHOP)))
    never = fit(shard_of(rest, SHOP))
    assert unlearned.weights.version == never.weights.version
    assert fit(shard_of(records, SHOP)).weights.version != never.weights.version


def test_too_few_labels_leave_the_thresholds_to_the_policy() -> None:
    weights = fit(shard_of(labelled_records(SHOP, 2), SHOP)).weights
    assert (weights.threshold, weights.candidate_floor) == (None, None)


def test_an_update_without_a_calibration_keeps_the_last_one_and_is_not_settled() -> None:
    fitter = fit(shard_of(labelled_records(SHOP), SHOP))
    gains = fitter.weights.gains
    total, panel = merge_shards([shard_of(labelled_records(SHOP, 12), SHOP)])
    fitter.update(total, panel, calibrate=False)
    assert (fitter.weights.gains, fitter.settled) == (gains, False)
    fitter.update(total, panel, calibrate=True)
    assert fitter.settled


def test_a_calibration_of_another_panel_of_the_same_sums_is_not_settled() -> None:
    total, panel = merge_shards([shard_of(labelled_records(SHOP), SHOP)])
    fitter = ModelFitter(SHOP)
    fitter.update(total, panel[1:], calibrate=True)
    fitter.update(total, panel, calibrate=False)
    assert not fitter.settled
    fitter.update(total, panel, calibrate=True)
    fitter.update(total, panel[::-1], calibrate=False)
    assert fitter.settled


def test_a_version_is_that_of_the_sums_and_of_the_calibration() -> None:
    records = labelled_records(SHOP)
    total, panel = merge_shards([shard_of(records, SHOP)])
    fitter = ModelFitter(SHOP)
    fitter.update(total, panel, calibrate=False)
    default = fitter.weights.version
    fitter.update(total, panel, calibrate=True)
    calibrated = fitter.weights.version
    fitter.update(total, panel[1:], calibrate=True)
    assert len({default, calibrated, fitter.weights.version}) == 3
    fitter.update(total, panel, calibrate=True)
    assert fitter.weights.version == calibrated
