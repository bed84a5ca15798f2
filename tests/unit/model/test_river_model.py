"""A River classifier as the model: the same for everybody, explained, and without who has left."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from stream_persona.domain.features import Counts, Profiles, profiles
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import SettingsError, UnavailableError
from stream_persona.model.explain import affinities, reasons, tree
from stream_persona.model.river_adapter import Example, Learner, classifier
from stream_persona.model.river_model import fit
from stream_persona.store import examples
from stream_persona.store.memory import MemoryTables
from stream_persona.store.model_replica import Follower, ForeignFollower, Pace, following
from tests.support.builders import (
    NOW,
    LostTables,
    assignment,
    deletion,
    delivered,
    profile_after,
    purchase,
    record_of,
    shop,
    tastes,
    walked,
    worker_settings,
)
from tests.support.labelled import commit, taught_examples

SHOP = shop()
BAYES = "river.naive_bayes:MultinomialNB"
KNOWN = taught_examples(SHOP)


def asked(*categories: str) -> Profiles:
    return profile_after(purchase("p", categories=categories), taxonomy=SHOP)


def several() -> Profiles:
    """Three customers, and one without events."""
    counts = [
        record_of(purchase("p", categories=[name]), taxonomy=SHOP).counts
        for name in ("parent", "student", "food")
    ]
    return profiles([*counts, Counts.empty()], SHOP.features)


@pytest.mark.parametrize("specification", [BAYES, "river.forest:ARFClassifier(n_models=3)"])
def test_any_order_of_examples_gives_the_same_version_and_bits(specification: str) -> None:
    one, other = (fit(specification, known, SHOP.names) for known in (KNOWN, KNOWN[::-1]))
    assert one.version == other.version
    assert one.probabilities(several()).tobytes() == other.probabilities(several()).tobytes()


def test_the_version_is_of_the_classifier_and_of_everybody_learned() -> None:
    versions = {
        fit(BAYES, KNOWN, SHOP.names).version,
        fit(BAYES, KNOWN[1:], SHOP.names).version,
        fit("river.naive_bayes:ComplementNB", KNOWN, SHOP.names).version,
        fit(BAYES, [Example("new", "parent", asked("food")), *KNOWN[1:]], SHOP.names).version,
    }
    assert len(versions) == 4


def test_it_answers_rows_in_the_order_of_the_personas_each_alone_as_in_company() -> None:
    weights, seen = fit(BAYES, KNOWN, SHOP.names), several()
    rows = weights.probabilities(seen)
    assert rows.shape == (4, 5)
    assert rows.sum(axis=1) == pytest.approx(1)
    assert weights.classes[int(rows[0].argmax())] == "parent"
    assert all((weights.probabilities(seen.row(i))[0] == rows[i]).all() for i in range(4))
    assert weights.probabilities(profiles([], SHOP.features)).shape == (0, 5)


def test_the_prior_is_the_share_of_the_labelled() -> None:
    weights = fit(BAYES, KNOWN[:1] * 3 + KNOWN[-1:], SHOP.names)
    assert weights.customers == 4
    assert sorted(np.exp(weights.log_prior)) == pytest.approx([1 / 9, 1 / 9, 1 / 9, 2 / 9, 4 / 9])


@pytest.mark.parametrize("known", [(), KNOWN])
def test_the_law_of_why_holds_with_the_prior_and_one_factor(known: Sequence[Example]) -> None:
    weights = fit(BAYES, known, SHOP.names)
    for i, persona in enumerate(SHOP.names):
        why = tree(weights, asked("parent"), persona, Tokenizer(SHOP).names.name)
        assert [factor["type"] for factor in why["factors"]] == ["baseP", "normalizer"]
        product = math.prod(factor["value"] for factor in why["factors"])
        assert product == pytest.approx(weights.probabilities(asked("parent"))[0, i], rel=1e-9)


def test_no_single_token_is_named_as_a_reason_or_an_affinity() -> None:
    weights, name = fit(BAYES, KNOWN, SHOP.names), Tokenizer(SHOP).names.name
    assert reasons(weights, asked("parent"), ["parent"], name, 3) == [()]
    assert affinities(weights, name) == {persona: {} for persona in SHOP.names}


def test_the_walk_speaks_with_it() -> None:
    weights = fit(BAYES, KNOWN, SHOP.names)
    visits = [purchase(f"p{i}", NOW + i, categories=["parent"]) for i in range(9)]
    said = walked(delivered(*visits), SHOP, weights=weights).records["c"].published
    assert said is not None
    assert (said.current.persona, said.model_version) == ("parent", weights.version)


class Mute(Learner):
    """Can't answer."""

    def probabilities(self, profile: Profiles) -> tuple[float, ...]:
        raise ArithmeticError("no answer")


def test_a_model_that_fails_says_so_and_none_takes_its_place() -> None:
    with pytest.raises(SettingsError, match="Broken failed to learn: the tree has no root"):
        fit("tests.support.labelled:Broken", KNOWN, SHOP.names)
    mute = replace(fit(BAYES, KNOWN, SHOP.names), learner=Mute(classifier(BAYES), SHOP.names))
    with pytest.raises(SettingsError, match="MultinomialNB failed to predict: no answer"):
        mute.probabilities(several())


# --- kept up to date ---


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def foreign(tables: MemoryTables, pace: Pace | None = None) -> ForeignFollower:
    settings = worker_settings(model=BAYES)
    return ForeignFollower(settings, SHOP, tables, pace or Pace(clock=Clock()))


async def test_it_is_folded_from_the_stored_records_when_the_parts_have_changed() -> None:
    tables = MemoryTables()
    await commit(tables, SHOP, *tastes(SHOP, 6))
    model = foreign(tables)
    assert not await model.follow((), changed=False)
    assert await model.follow((), changed=True)
    assert model.weights.version == fit(BAYES, KNOWN, SHOP.names).version
    assert model.labelled == dict.fromkeys(sorted(SHOP.names), 6)
    assert not await model.follow((), changed=True), "the same customers are the same model"


async def test_after_a_deletion_it_is_as_if_the_customer_had_never_been() -> None:
    tables, never = MemoryTables(), MemoryTables()
    happened = tastes(SHOP, 6)
    gone = happened[0].customer_id
    await commit(tables, SHOP, *happened)
    await commit(never, SHOP, *(event for event in happened if event.customer_id != gone))
    model, other = foreign(tables), foreign(never)
    await model.follow((), changed=True)
    await commit(tables, SHOP, deletion("d", NOW + 10**11, gone))
    await model.follow((), changed=True)
    await other.follow((), changed=True)
    assert model.weights.version == other.weights.version
    rows = [each.weights.probabilities(several()).tobytes() for each in (model, other)]
    assert rows[0] == rows[1]


def test_folds_take_a_tenth_of_the_time_at_most() -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    pace.begin()
    clock.now = 2
    pace.end()
    due = []
    for clock.now in (2, 19, 20):
        due.append(pace.due())
    assert due == [False, False, True]


async def test_a_change_that_has_to_wait_is_not_missed() -> None:
    tables, clock = MemoryTables(), Clock()
    await commit(tables, SHOP, *tastes(SHOP, 2))
    model = foreign(tables, Pace(5, clock))
    await model.follow((), changed=True)
    await commit(tables, SHOP, assignment("n", NOW, "new"), purchase("p", NOW, "new"), first=100)
    assert not await model.follow((), changed=True)
    clock.now = 5
    assert await model.follow((), changed=False)
    assert model.weights.customers == 11


async def test_a_server_that_is_away_delays_a_fold_and_does_not_cancel_it() -> None:
    tables = MemoryTables()
    await commit(tables, SHOP, *tastes(SHOP, 2))
    model = foreign(tables)
    model._tables = LostTables()
    model._tables._labelled = tables._labelled
    with pytest.raises(UnavailableError):
        await model.follow((), changed=True)
    model._tables = tables
    assert await model.follow((), changed=False)


def test_the_settings_choose_the_model() -> None:
    tables = MemoryTables()
    chosen = [following(worker_settings(model=name), SHOP, tables) for name in ("additive", BAYES)]
    assert [type(each) for each in chosen] == [Follower, ForeignFollower]
    with pytest.raises(SettingsError, match="'nope' is no River classifier"):
        following(worker_settings(model="nope"), SHOP, tables)


async def test_only_labelled_customers_with_behaviour_are_examples() -> None:
    tables = MemoryTables()
    await commit(
        tables, SHOP, purchase("p1", NOW, "bought"), assignment("a", NOW, "named"),
        assignment("b", NOW, "both", "student"), purchase("p2", NOW, "both"),
    )  # fmt: skip
    (found,) = await examples.read(tables, 1, SHOP)
    assert (found.customer_id, found.persona, found.assigned_at) == ("both", "student", NOW)
