"""Replicas: the model of the shards last given, renewed in no more than a share of the time."""

import pytest

from stream_persona.domain.features import compute_profiles
from stream_persona.errors import SettingsError, UnavailableError
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.river_model import fit
from stream_persona.model.shard import Shard, merge_shards
from stream_persona.model.weights import Weights
from stream_persona.store.memory import MemoryTables
from stream_persona.store.model_replica import (
    CALIBRATE_DUTY_CYCLE,
    DERIVE_DUTY_CYCLE,
    ModelReplica,
    RiverReplica,
    make_replica,
)
from tests.support.constants import NOW
from tests.support.events import assignment, deletion, labelled_shoppers, purchase, shop
from tests.support.faulty_tables import FaultyTables
from tests.support.labelled import commit, labelled_examples
from tests.support.processing import record_of
from tests.support.shards import labelled_records, shard_of
from tests.support.workers import worker_settings

SHOP = shop()
BAYES = "river.naive_bayes:MultinomialNB"
KNOWN = labelled_examples(SHOP)
SHARD = shard_of(labelled_records(SHOP), SHOP)


class Clock:
    """Each reading takes a second, unless ``now`` is set; nothing else does."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_the_settings_choose_the_model() -> None:
    tables = MemoryTables()

    def make(**values: str) -> ModelReplica | RiverReplica:
        return make_replica(worker_settings(**values), SHOP, tables, Clock())

    assert isinstance(make(), ModelReplica)
    assert isinstance(make(model=BAYES), RiverReplica)
    with pytest.raises(SettingsError, match="'nope' is no River classifier"):
        make(model="nope")


# --- our own model ---


async def test_shards_at_rest_lead_to_weights_and_a_calibration_at_once() -> None:
    replica = ModelReplica(SHOP, Clock())
    assert replica.settled
    assert await replica.follow([SHARD], changed=True)
    assert replica.settled
    assert replica.labelled == dict.fromkeys(sorted(SHOP.names), 10)
    assert not await replica.follow([SHARD], changed=False)


class Timed(ModelReplica):
    """Derives in a second, and calibrates in one more."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(SHOP, clock)
        self.calibrated: list[bool] = []
        derive = self._fitter.update

        def update(*given: object, calibrate: bool) -> None:
            clock.now += 2.0 if calibrate else 1.0
            self.calibrated.append(calibrate)
            derive(*given, calibrate=calibrate)

        self._fitter.update = update


async def test_each_kind_of_work_keeps_its_share_of_the_time_while_shards_move() -> None:
    clock = Clock()
    replica = Timed(clock)
    while clock.now < 1_000:
        await replica.follow([SHARD], changed=True)
        clock.now += 0.5
    calibrating = 2.0 * sum(replica.calibrated)
    deriving = 1.0 * replica.calibrated.count(False)
    assert calibrating <= 1_000 * CALIBRATE_DUTY_CYCLE + 2.0
    assert calibrating + deriving <= 1_000 * DERIVE_DUTY_CYCLE + 2.0
    assert replica.calibrated[:4] == [True, False, False, True]
    assert not replica.settled


async def test_a_shop_whose_evidence_has_doubled_is_calibrated_soon() -> None:
    clock = Clock()
    replica = Timed(clock)
    await replica.follow([SHARD], changed=True)
    clock.now += 20.0
    some_more, much_more = (shard_of(labelled_records(SHOP, n), SHOP) for n in (15, 25))
    assert not await replica.follow([some_more], changed=True), "half as much more does not pay"
    assert await replica.follow([much_more], changed=True)
    assert replica.calibrated == [True, True]


async def test_what_a_shard_gains_while_it_is_calibrated_counts_for_the_next_calibration() -> None:
    clock, growing = Clock(), shard_of(labelled_records(SHOP), SHOP)
    replica = Timed(clock)
    update = replica._fitter.update

    def update_slowly(*given: object, calibrate: bool) -> None:
        update(*given, calibrate=calibrate)
        growing.sums.merge(SHARD.sums)  # as live events do, meanwhile

    replica._fitter.update = update_slowly
    await replica.follow([growing], changed=True)
    clock.now += 20.0
    assert replica.awaits_panels([growing]), "its evidence has doubled"


async def test_the_calibration_of_shards_follows_soon_once_they_rest() -> None:
    clock = Clock()
    replica = Timed(clock)
    await replica.follow([SHARD], changed=True)
    other = shard_of(labelled_records(SHOP, 12), SHOP)
    assert not await replica.follow([other], changed=True), "it is too early for another one"
    assert await replica.follow([other], changed=False), "weights need not wait at rest"
    assert replica.calibrated == [True, False]
    clock.now += 20.0
    assert await replica.follow([other], changed=False)
    assert replica.settled


async def test_a_panel_that_moves_after_its_sums_is_calibrated_as_well() -> None:
    clock = Clock()
    replica = Timed(clock)
    late = Shard(SHARD.sums, dict(list(SHARD.panel.items())[1:]))
    await replica.follow([late], changed=True)
    assert not await replica.follow([SHARD], changed=True)
    assert await replica.follow([SHARD], changed=False), "weights need not wait at rest"
    clock.now += 20.0
    await replica.follow([SHARD], changed=False)
    assert replica.settled
    assert replica.weights.version == whole().version


def whole() -> Weights:
    fitter = ModelFitter(SHOP)
    fitter.update(*merge_shards([SHARD]), calibrate=True)
    return fitter.weights


# --- a River classifier ---


def foreign(tables: MemoryTables, clock: Clock | None = None) -> RiverReplica:
    return RiverReplica(worker_settings(model=BAYES), SHOP, tables, clock or Clock())


async def test_a_classifier_is_folded_from_the_stored_records_when_shards_have_changed() -> None:
    tables = MemoryTables()
    await commit(tables, SHOP, *labelled_shoppers(SHOP, 6))
    model = foreign(tables)
    assert not await model.follow((), changed=False)
    assert await model.follow((), changed=True)
    assert model.weights.version == fit(BAYES, KNOWN, SHOP.names).version
    assert model.labelled == dict.fromkeys(sorted(SHOP.names), 6)
    assert not await model.follow((), changed=True), "the same customers are the same model"


async def test_a_classifier_is_after_a_deletion_as_if_the_customer_had_never_been() -> None:
    tables, never = MemoryTables(), MemoryTables()
    happened = labelled_shoppers(SHOP, 6)
    gone = happened[0].customer_id
    await commit(tables, SHOP, *happened)
    await commit(never, SHOP, *(event for event in happened if event.customer_id != gone))
    model, other = foreign(tables), foreign(never)
    await model.follow((), changed=True)
    await commit(tables, SHOP, deletion("d", NOW + 10**11, gone))
    await model.follow((), changed=True)
    await other.follow((), changed=True)
    assert model.weights.version == other.weights.version
    asked = compute_profiles([record_of(purchase("p"), taxonomy=SHOP).counts], SHOP.features)
    rows = [each.weights.predict_probabilities(asked).tobytes() for each in (model, other)]
    assert rows[0] == rows[1]


async def test_a_change_that_comes_too_early_for_a_fold_is_not_missed() -> None:
    tables, clock = MemoryTables(), Clock(step=1.0)
    await commit(tables, SHOP, *labelled_shoppers(SHOP, 2))
    model = foreign(tables, clock)
    await model.follow((), changed=True)
    await commit(tables, SHOP, assignment("n", NOW, "new"), purchase("p", NOW, "new"), first=100)
    assert not await model.follow((), changed=True)
    clock.now += 9.0
    assert await model.follow((), changed=False)
    assert model.weights.customers == 11


async def test_a_server_that_is_away_delays_a_fold_and_does_not_cancel_it() -> None:
    tables = FaultyTables()
    await commit(tables, SHOP, *labelled_shoppers(SHOP, 2))
    model = foreign(tables)
    tables.fail("load", UnavailableError("Redis stayed away"))
    with pytest.raises(UnavailableError):
        await model.follow((), changed=True)
    tables.recover("load")
    assert await model.follow((), changed=False)
