"""A worker's report survives its way through Redis, and reports of several workers add up."""

import random
from functools import reduce
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.model.evaluation import Prequential
from stream_persona.model.quality_counts import ALARMS, BINS, Bin
from stream_persona.store.worker_status import (
    ModelStatus,
    WorkerStatus,
    add_models,
    compute_figures,
    decode_report,
    encode_report,
    merge_models,
)
from tests.support.trials import NAMES, Trials, shoppers

FIGURES = (
    "trials", "log_loss", "prior_log_loss", "accuracy", "macro_f1", "ece", "recent_log_loss",
    "recent_accuracy",
)  # fmt: skip


def model_of(trials: Trials, name: str = "current", failure: str = "") -> ModelStatus:
    judged = Prequential(NAMES)
    for at, (persona, row) in enumerate(trials):
        judged.judge(persona, row, at)
    return ModelStatus.of(name, judged.get_counts(), failure)


def report(*models: ModelStatus, **parts: Any) -> WorkerStatus:
    given: dict[str, Any] = {
        "worker": "host-1-abc", "at": 5_000, "started_at": 1_000, "partitions": [0, 3],
        "personas": list(NAMES), "events": 70, "changes": {"behaviour": 4}, "dead_letters": 1,
        "redelivered": 2, "rerouted": 3, "change_bounds": [0.1, 1.0], "change_counts": [1, 2, 3],
        "labelled": 9, "threshold": 0.6, "candidate_floor": None, "oldest_record_seconds": 1.5,
        "sweeping": True, "models": list(models),
    }  # fmt: skip
    return WorkerStatus(**given | parts)


def reordered(model: ModelStatus, order: list[int]) -> ModelStatus:
    """The same counts with personas in another order."""
    return msgspec.structs.replace(
        model,
        confusion=[[model.confusion[n][a] for a in order] for n in order],
        reliability=[model.reliability[n] for n in order],
    )


counts = st.integers(0, 10**6)
sums = st.floats(0, 10**6)
bins = st.builds(Bin, counts, counts, counts)
models = st.builds(
    ModelStatus,
    name=st.just("current"),
    trials=counts, loss=sums, prior_loss=sums, recent=counts, recent_loss=sums, recent_right=counts,
    confusion=st.lists(st.lists(counts, min_size=3, max_size=3), min_size=3, max_size=3),
    reliability=st.lists(st.lists(bins, min_size=BINS, max_size=BINS), min_size=3, max_size=3),
    alarms=st.lists(st.tuples(counts, counts), max_size=ALARMS).map(sorted),
    failure=st.text(max_size=5),
)  # fmt: skip


def close(one: ModelStatus, other: ModelStatus) -> bool:
    """Whether both are the same, but for the last bits of sums."""
    a, b = msgspec.to_builtins(one), msgspec.to_builtins(other)
    losses = ("loss", "prior_loss", "recent_loss")
    alike = all(a.pop(name) == pytest.approx(b.pop(name)) for name in losses)
    return alike and a == b


@given(models)
def test_a_report_survives_encoding(model: ModelStatus) -> None:
    sent = report(model, personas=list("abc"))
    assert decode_report(encode_report(sent)) == sent


@pytest.mark.parametrize(
    "blob", [b"", b"{}", b"[]", b"\xff", b'{"worker": "w"}', encode_report(report())[:-1]]
)
def test_what_is_no_report_is_refused(blob: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_report(blob)


@pytest.mark.parametrize("changed", [{"personas": ["a"]}, {"change_counts": [1]}])
def test_tables_of_another_shape_are_refused(changed: dict[str, Any]) -> None:
    fields = msgspec.to_builtins(report(model_of([]))) | changed
    with pytest.raises(msgspec.ValidationError, match="expected"):
        decode_report(msgspec.json.encode(fields))


@given(models, models)
def test_adding_is_commutative(one: ModelStatus, other: ModelStatus) -> None:
    assert add_models(one, other) == add_models(other, one)


@given(models, models, models)
def test_adding_is_associative(one: ModelStatus, two: ModelStatus, three: ModelStatus) -> None:
    assert close(add_models(add_models(one, two), three), add_models(one, add_models(two, three)))


@given(st.integers(0, 10**6), st.lists(st.integers(0, 40), min_size=1, max_size=4))
def test_workers_together_are_as_good_as_one_that_judged_all(seed: int, sizes: list[int]) -> None:
    trials = shoppers(seed, sum(sizes))
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    shares = [trials[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    (merged,) = merge_models([report(model_of(share)) for share in shares], NAMES)
    whole = compute_figures(model_of(trials))
    for name in ("trials", "log_loss", "accuracy", "macro_f1", "ece"):
        assert compute_figures(merged)[name] == pytest.approx(whole[name])


def test_figures_are_those_of_the_river_metrics() -> None:
    judged = Prequential(NAMES)
    for persona, row in shoppers(8, 900):
        judged.judge(persona, row)
    expected, found = (
        judged.snapshot(),
        compute_figures(ModelStatus.of("current", judged.get_counts())),
    )
    assert tuple(found) == FIGURES
    for name, figure in found.items():
        assert figure == pytest.approx(getattr(expected, name)), name


def test_figures_without_trials_are_none() -> None:
    assert compute_figures(model_of([])) == dict.fromkeys(FIGURES) | {"trials": 0}


def test_personas_are_aligned_by_name() -> None:
    one, other = model_of(shoppers(1, 50)), model_of(shoppers(2, 60))
    order = random.Random(3).sample(range(len(NAMES)), len(NAMES))
    moved = report(reordered(other, order), personas=[NAMES[n] for n in order])
    assert merge_models([report(one), moved], NAMES) == [add_models(one, other)]


def test_personas_that_are_no_more_are_left_out_and_new_ones_have_no_counts_yet() -> None:
    trials: Trials = [("a", [0.9, 0.1, *[0.0] * 5]), ("b", [0.1, 0.9, *[0.0] * 5])]
    (merged,) = merge_models([report(model_of(trials))], ["new", "a"])
    assert merged.confusion == [[0, 0], [0, 1]]
    assert merged.reliability[0] == [Bin()] * BINS
    assert compute_figures(merged)["accuracy"] == 1.0


def test_models_come_by_name_and_the_one_in_use_first() -> None:
    one = report(model_of([]), model_of([], "tree"), model_of([], "bayes"))
    other = report(model_of([]), model_of([], "zebra"))
    assert [each.name for each in merge_models([other, one], NAMES)] == [
        "current", "bayes", "tree", "zebra",
    ]  # fmt: skip
    assert merge_models([], NAMES) == []


def test_a_challenger_that_is_out_at_one_worker_says_why() -> None:
    reports = [report(model_of([], "tree", failure)) for failure in ("", "no root", "")]
    assert merge_models(reports, NAMES)[0].failure == "no root"


def test_only_the_newest_alarms_of_all_workers_are_kept() -> None:
    alarms = [[(at, at // 10) for at in range(first, 400, 20)] for first in (0, 10)]
    models = [msgspec.structs.replace(model_of([]), alarms=own) for own in alarms]
    kept = reduce(add_models, models).alarms
    assert kept == [(at, at // 10) for at in range(200, 400, 10)]
