"""Challengers publish nothing, predict before they learn, and are dropped when they fail."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from stream_persona.domain.events import Event
from stream_persona.errors import SettingsError
from stream_persona.model.evaluation import Prequential
from stream_persona.model.river_adapter import Example, make_classifier
from stream_persona.pipeline.process import ModelUpdate
from stream_persona.store import examples
from stream_persona.store.memory import MemoryTables
from stream_persona.worker.challengers import CURRENT, Challenger, ChallengerPanel, find_departed
from stream_persona.worker.metrics import Metrics
from tests.support.constants import NOW
from tests.support.events import assignment, deletion, deliver, labelled_shoppers, purchase, shop
from tests.support.faulty_tables import FaultyTables
from tests.support.labelled import Broken, commit, labelled_examples, trials_of
from tests.support.processing import process_batch, profile_after
from tests.support.worker_runs import FakeClock
from tests.support.workers import worker_settings

SHOP = shop()
BAYES, FOREST = "river.naive_bayes:MultinomialNB", "river.forest:ARFClassifier(n_models=3)"
KNOWN = labelled_examples(SHOP)


def challenger(specification: str = BAYES) -> Challenger:
    return Challenger("it", make_classifier(specification), SHOP.names)


def panel(
    *challengers: str, metrics: Metrics | None = None, clock: FakeClock | None = None
) -> ChallengerPanel:
    settings = worker_settings(challengers=",".join(challengers))
    return ChallengerPanel(settings, SHOP, metrics or Metrics(), clock or FakeClock())


def figure(metrics: Metrics, name: str, model: str) -> float | None:
    return metrics.registry.get_sample_value(f"stream_persona_{name}", {"model": model})


def test_a_challenger_predicts_before_it_learns() -> None:
    rival = challenger()
    rival.judge(KNOWN[0])
    figures = rival.quality.snapshot()
    assert (figures.trials, figures.log_loss) == (1, pytest.approx(1.609438, abs=1e-6))
    rival.judge(Example("other", KNOWN[0].persona, KNOWN[0].profile))
    assert rival.quality.snapshot().log_loss < 0.81


def test_a_customer_who_was_learned_before_is_no_test_any_more() -> None:
    rival = challenger()
    rival.refold(KNOWN)
    assert rival.judge(KNOWN[3]) is None
    assert rival.quality.trials == 0


def test_a_fold_is_the_same_whatever_was_learned_before() -> None:
    one, other, new = challenger(FOREST), challenger(FOREST), labelled_examples(SHOP, 2, seed=9)
    for example in KNOWN:
        one.judge(example)
    one.refold(KNOWN[5:])
    other.refold(KNOWN[:4:-1])
    one.quality = Prequential(SHOP.names)
    for example in new:
        fresh = Example(f"new-{example.customer_id}", example.persona, example.profile)
        one.judge(fresh)
        other.judge(fresh)
    assert one.quality.snapshot() == other.quality.snapshot()


def test_a_challenger_that_fails_is_dropped_with_one_sentence_and_no_exception(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rival = Challenger("broken", Broken(), SHOP.names)
    with caplog.at_level(logging.WARNING):
        for example in KNOWN:
            rival.judge(example)
        rival.refold(KNOWN)
    assert rival.failure == "the tree has no root"
    assert rival.quality.trials == 2
    assert [record.getMessage() for record in caplog.records] == [
        "challenger broken is out, the stream goes on: the tree has no root"
    ]


def test_a_challenger_that_cannot_be_folded_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    rival = Challenger("broken", Broken(), SHOP.names)
    rival.refold(KNOWN)
    assert rival.failure
    assert rival.customers == 0


# --- customers who have left ---


def model_updates(*signed: tuple[str, str, int]) -> list[ModelUpdate]:
    return [ModelUpdate(name, persona, None, sign) for name, persona, sign in signed]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("learned", "gone"),
    [
        ([("a", "parent", 1)], set()),
        ([("a", "parent", -1), ("a", "parent", 1)], set()),
        ([("a", "parent", -1)], {"a"}),
        ([("a", "parent", -1), ("b", "parent", 1)], {"a"}),
        ([("a", "parent", -1), ("a", "student", 1)], {"a"}),
    ],
)
def test_a_customer_departs_when_nothing_of_the_same_persona_follows(
    learned: list[tuple[str, str, int]], gone: set[str]
) -> None:
    assert find_departed(model_updates(*learned)) == gone


def test_a_deletion_and_a_withdrawal_are_departures_and_a_purchase_is_none() -> None:
    before = process_batch(deliver(assignment("a"), purchase("p")), SHOP).records
    later = {
        "deletion": deletion("d", NOW + 1),
        "withdrawal": assignment("b", NOW + 1, persona=None),
        "purchase": purchase("q", NOW + 1),
    }
    left = {
        name: bool(
            find_departed(process_batch(deliver(event, first=5), SHOP, before).model_updates)
        )
        for name, event in later.items()
    }
    assert left == {"deletion": True, "withdrawal": True, "purchase": False}


# --- the panel of a worker ---


async def worked(
    known: ChallengerPanel, tables: MemoryTables, happened: Iterable[Any], first: int = 0
) -> Any:
    """Do what a worker does with a batch: commit, judge, and some time later work."""
    outcome = await commit(tables, SHOP, *happened, first=first)
    known.judge(outcome.trials, outcome.model_updates)
    await known.work(tables, len(await tables.load_labelled(0)))
    return outcome


async def test_the_model_and_its_challengers_are_judged_on_the_same_assignments() -> None:
    metrics = Metrics()
    known = panel(BAYES, FOREST, metrics=metrics)
    outcome = await worked(known, MemoryTables(), labelled_shoppers(SHOP, 6))
    assert len(outcome.trials) == 30
    for model in (CURRENT, BAYES, FOREST):
        assert figure(metrics, "trials_total", model) == 30
        assert figure(metrics, "log_loss", model) > 0
        assert figure(metrics, "prior_log_loss", model) == figure(
            metrics, "prior_log_loss", CURRENT
        )
    assert known.current.snapshot().log_loss == pytest.approx(1.609438, abs=1e-2)


async def test_a_challenger_waits_for_work_so_that_the_stream_does_not_wait_for_it() -> None:
    known = panel(BAYES)
    known.judge(trials_of(KNOWN), ())
    assert (known.current.trials, known.challengers[0].quality.trials) == (30, 0)
    await known.work(MemoryTables(), 0)
    assert known.challengers[0].quality.trials == 30


async def test_a_challenger_forgets_a_customer_who_left_at_the_next_fold() -> None:
    clock = FakeClock()
    known, tables = panel(BAYES, clock=clock), MemoryTables()
    happened = labelled_shoppers(SHOP, 6)
    await worked(known, tables, happened)
    assert known.challengers[0].customers == 30
    gone, clock.now = happened[0].customer_id, 60.0
    await worked(known, tables, [deletion("d", NOW + 10**11, gone)])
    assert known.challengers[0].customers == 29


@pytest.mark.parametrize(
    "gone",
    [lambda name: deletion("d", NOW + 10**11, name),
     lambda name: assignment("w", NOW + 1, name, None)],
    ids=["deletion", "withdrawal"],
)  # fmt: skip
async def test_a_challenger_forgets_a_customer_whom_another_worker_has_unlearned(
    gone: Callable[[str], Event],
) -> None:
    """Somebody else was labelled at the same time, so that the number of labels is as before."""
    clock = FakeClock()
    known, tables = panel(BAYES, clock=clock), MemoryTables()
    happened = labelled_shoppers(SHOP, 6)
    await worked(known, tables, happened)
    await known.work(tables, 30, version="before")
    left = happened[0].customer_id
    joins = assignment("n", NOW, "new"), purchase("p", NOW, "new")
    await commit(tables, SHOP, gone(left), *joins, first=10_000)  # by another worker
    clock.now = 60.0
    await known.work(tables, 30, version="after")
    (rival,) = known.challengers
    labelled = set(await tables.load_labelled(0))
    assert left not in labelled
    assert not rival.knows_others_than(labelled)
    assert rival.customers == 30


async def test_a_challenger_learns_within_the_hour_who_was_labelled_otherwise_elsewhere() -> None:
    clock = FakeClock()
    known, tables = panel(BAYES, clock=clock), MemoryTables()
    happened = labelled_shoppers(SHOP, 6)
    await worked(known, tables, happened)
    name = happened[0].customer_id
    await commit(tables, SHOP, assignment("o", NOW + 1, name, SHOP.names[1]), first=10_000)
    fresh = challenger()
    fresh.refold(await examples.read_examples(tables, 1, SHOP))
    for clock.now, is_learned in ((1_800.0, False), (3_601.0, True), (7_300.0, True)):
        await known.work(tables, 30, version="after")
        assert (known.challengers[0]._learned == fresh._learned) is is_learned


async def test_the_labels_are_looked_at_once_for_each_model() -> None:
    clock, tables = FakeClock(), FaultyTables()
    known = panel(BAYES, clock=clock)
    await worked(known, tables, labelled_shoppers(SHOP, 6))
    tables.at("load_labelled", lambda: None)
    for clock.now, version in ((20.0, "a"), (40.0, "a"), (60.0, "b"), (61.0, "c")):
        await known.work(tables, 30, version=version)
    assert tables.calls["load_labelled"] == 2


async def test_a_worker_that_starts_anew_folds_what_is_stored_before_it_judges_again() -> None:
    tables, known = MemoryTables(), panel(BAYES)
    await commit(tables, SHOP, *labelled_shoppers(SHOP, 6))
    await known.work(tables, 30)
    assert (known.challengers[0].customers, known.challengers[0].quality.trials) == (30, 0)


async def test_folds_are_at_least_ten_seconds_apart() -> None:
    clock = FakeClock()
    known, tables = panel(BAYES, clock=clock), MemoryTables()
    happened = labelled_shoppers(SHOP, 6)
    await worked(known, tables, happened)
    await worked(known, tables, [deletion("d", NOW + 10**11, happened[0].customer_id)])
    assert known.challengers[0].customers == 30
    clock.now = 11.0
    await known.work(tables, 29)
    assert known.challengers[0].customers == 29


async def test_a_trial_of_a_customer_who_left_before_it_was_judged_is_dropped() -> None:
    known, tables = panel(BAYES), MemoryTables()
    known.judge(trials_of(KNOWN[:2]), ())
    known.judge((), model_updates((KNOWN[0].customer_id, KNOWN[0].persona, -1)))
    await known.work(tables, 0)
    assert known.challengers[0].quality.trials == 1


async def test_the_tables_are_left_alone_without_challengers() -> None:
    known = panel()
    known.judge(trials_of(KNOWN), ())
    await known.work(None, 30)  # type: ignore[arg-type]
    assert known.current.trials == 30


def test_an_alarm_of_drift_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    known = panel(metrics=metrics)
    profile = profile_after(purchase("p"), taxonomy=SHOP)
    good, bad = (0.96, 0.01, 0.01, 0.01, 0.01), (0.01, 0.96, 0.01, 0.01, 0.01)
    example = Example("c", "parent", profile)
    with caplog.at_level(logging.WARNING):
        known.judge(trials_of([example] * 300, good), (), NOW)
        known.judge(trials_of([example] * 100, bad), (), NOW + 1)
    ((at, trial),) = known.list_statuses()[0].alarms
    assert (at, 300 < trial <= 400) == (NOW + 1, True)
    assert figure(metrics, "drift_alarms_total", CURRENT) == 1
    assert "the current model's predictions of assignments have become worse" in caplog.text


async def test_statuses_are_of_the_model_in_use_and_its_challengers() -> None:
    known, trials = panel(BAYES, FOREST), trials_of(KNOWN)
    known.challengers[1] = Challenger("broken", Broken(), SHOP.names)
    known.judge(trials, ())
    await known.work(MemoryTables(), 0)
    current, bayes, broken = known.list_statuses()
    assert [each.name for each in (current, bayes, broken)] == [CURRENT, BAYES, "broken"]
    assert [each.trials for each in (current, bayes, broken)] == [30, 30, 2]
    assert (current.failure, bayes.failure, broken.failure) == ("", "", "the tree has no root")


def test_a_wrong_challenger_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="'nope' is no River classifier"):
        panel(BAYES, "nope")
