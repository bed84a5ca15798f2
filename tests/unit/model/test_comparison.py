"""The comparison of models: none is judged on a customer that it has learned."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stream_persona.cli import main
from stream_persona.cli import model as model_commands
from stream_persona.errors import InputError, SettingsError
from stream_persona.model.comparison import (
    LEAST,
    PRIOR,
    ComparisonRow,
    Step,
    compare,
    judge,
    make_contestants,
    split_into_blocks,
    split_into_folds,
)
from stream_persona.model.river_adapter import Example
from tests.support.constants import NOW
from tests.support.events import shop
from tests.support.labelled import labelled_examples

SHOP = shop()
BAYES, BROKEN = "river.naive_bayes:MultinomialNB", "tests.support.labelled:Broken"
KNOWN = [
    replace(example, assigned_at=NOW + 7 * number % 30)
    for number, example in enumerate(labelled_examples(SHOP, 12))
]


def ids(known: Any) -> list[str]:
    return [example.customer_id for example in known]


def rows(*models: str, in_time: bool = False) -> dict[str, ComparisonRow]:
    found = compare(KNOWN, make_contestants(models, SHOP), SHOP, time.perf_counter, in_time=in_time)
    return {row.model: row for row in found}


def test_folds_judge_each_customer_once_by_a_model_that_has_not_learned_it() -> None:
    steps = list(split_into_folds(KNOWN))
    assert len(steps) == 5
    assert sorted(name for step in steps for name in ids(step.exam)) == sorted(ids(KNOWN))
    for step in steps:
        assert step.anew
        assert set(ids(step.study)) == set(ids(KNOWN)) - set(ids(step.exam))


def test_the_folds_depend_on_nothing_but_the_ids() -> None:
    one, other = (
        [set(ids(step.exam)) for step in split_into_folds(known)] for known in (KNOWN, KNOWN[::-1])
    )
    assert one == other


def test_blocks_come_in_the_order_of_assignments_and_are_learned_after_they_are_judged() -> None:
    steps = list(split_into_blocks(KNOWN))
    exams = [example for step in steps for example in step.exam]
    assert exams == sorted(KNOWN, key=lambda each: (each.assigned_at, each.customer_id))
    assert [step.study for step in steps] == [[], *(step.exam for step in steps[:-1])]
    assert [step.anew for step in steps] == [True, *[False] * (len(steps) - 1)]


@pytest.mark.parametrize("in_time", [False, True])
def test_every_model_is_judged_on_every_customer_beside_the_prior(in_time: bool) -> None:
    found = rows("additive", BAYES, in_time=in_time)
    assert list(found) == [PRIOR, "additive", BAYES]
    assert {row.trials for row in found.values()} == {len(KNOWN)}
    assert all(
        row.learn_us > 0 and row.predict_us > 0 and not row.failure for row in found.values()
    )
    assert found["additive"].log_loss < found[PRIOR].log_loss
    assert found[PRIOR].log_loss == pytest.approx(math.log(5), abs=0.1)


def test_the_same_customers_give_the_same_figures() -> None:
    one, other = rows("additive", BAYES), rows("additive", BAYES)
    for model, row in one.items():
        assert replace(row, learn_us=0, predict_us=0) == replace(
            other[model], learn_us=0, predict_us=0
        )


def test_a_model_named_twice_is_judged_once() -> None:
    assert list(rows(BAYES, BAYES)) == [PRIOR, BAYES]


def test_progress_counts_every_customer() -> None:
    progress: list[int] = []
    models = make_contestants([BAYES], SHOP)
    compare(KNOWN, models, SHOP, time.perf_counter, progress.append)
    assert sum(progress) == len(KNOWN) * len(models)


def test_a_model_that_fails_is_left_out_and_the_others_go_on() -> None:
    found = rows(BROKEN, BAYES)
    assert (found[BROKEN].failure, found[BROKEN].trials) == ("the tree has no root", 0)
    assert found[BAYES].trials == len(KNOWN)


class Peeping:
    """Fails where it is asked to predict a customer that it has learned."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def learn(self, known: Any) -> None:
        self.known |= set(ids(known))

    def score(self, asked: Any) -> list[list[float]]:
        assert not self.known & set(ids(asked))
        return [[0.2] * 5 for _ in asked]


@pytest.mark.parametrize("steps", [split_into_folds, split_into_blocks])
def test_no_model_predicts_a_customer_that_it_has_learned(steps: Any) -> None:
    row = judge(
        "peeping", Peeping, list(steps(KNOWN)), SHOP.names, lambda _: None, time.perf_counter
    )
    assert (row.failure, row.trials) == ("", len(KNOWN))


def test_a_step_that_is_not_anew_keeps_what_was_learned() -> None:
    steps = [Step(anew=True, study=KNOWN[:1], exam=[]), Step(anew=False, study=[], exam=KNOWN[:1])]
    assert (
        judge("peeping", Peeping, steps, SHOP.names, lambda _: None, time.perf_counter).trials == 0
    )


@pytest.mark.parametrize("known", [[], KNOWN[: LEAST - 1], KNOWN[:12]])
def test_too_few_labelled_customers_are_nothing_to_compare(known: list[Example]) -> None:
    with pytest.raises(InputError, match="at least 10 labelled customers of two personas"):
        compare(known, make_contestants([BAYES], SHOP), SHOP, time.perf_counter)


def test_a_wrong_challenger_is_refused_before_anything_is_read() -> None:
    with pytest.raises(SettingsError, match="'nope' is no River classifier"):
        make_contestants([BAYES, "nope"], SHOP)


# --- the command ---


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings of a shop whose Redis holds the labelled customers."""

    async def found(*_: Any) -> list[Example]:
        return KNOWN

    taxonomy = "".join(f'[[persona]]\nname = "{name}"\n' for name in SHOP.names)
    (tmp_path / "shop.toml").write_text(taxonomy)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAM_PERSONA_TAXONOMY", "shop.toml")
    monkeypatch.setattr(model_commands, "load_examples", found)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main.main(["model", "compare", *arguments])
    assert end.value.code in {0, None}
    return capsys.readouterr().out


def test_the_command_prints_a_table(stored: None, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "--challenger", BAYES, "--challenger", BROKEN).splitlines()
    assert out[0].split() == [
        "model", "trials", "log-loss", "accuracy", "ECE", "learn", "µs", "predict", "µs",
    ]  # fmt: skip
    assert [line.split("  ")[0].strip() for line in out[1:5]] == [
        PRIOR, "additive", "MultinomialNB", "Broken",
    ]  # fmt: skip
    assert out[5:] == [f"{BROKEN} failed: the tree has no root"]


def test_the_command_prints_json(stored: None, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "--challenger", BAYES, "--in-time", "--json"))
    assert found["customers"] == len(KNOWN)
    assert [row["model"] for row in found["models"]] == [PRIOR, "additive", BAYES]
    assert found["models"][1]["trials"] == len(KNOWN)


def test_the_settings_name_the_challengers_unless_the_command_does(
    stored: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_PERSONA_CHALLENGERS", f"{BAYES}(alpha=0.5)")
    found = json.loads(printed(capsys, "--json"))
    assert [row["model"] for row in found["models"]][2:] == [f"{BAYES}(alpha=0.5)"]
