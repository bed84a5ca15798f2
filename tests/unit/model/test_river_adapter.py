"""River classifiers: made from a specification, trained in a fair form, asked for whole rows."""

import math
import sys
import types

import pytest
from river import compose, linear_model, naive_bayes, preprocessing

from stream_persona.domain.features import Profiles
from stream_persona.domain.slots import COARSE_SLOTS, EVENTS, hash_to_slot
from stream_persona.errors import SettingsError
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.river_adapter import (
    Example,
    Learner,
    find_form,
    make_classifier,
    make_features,
    normalize_row,
    parse_specifications,
    refold,
    sort_by_hash,
)
from tests.support.constants import PERSONAS
from tests.support.events import browse, purchase, shop
from tests.support.labelled import labelled_examples
from tests.support.processing import profile_after

SHOP = shop()
BAYES = "river.naive_bayes:MultinomialNB"
SEVERAL = (
    "additive", BAYES, "river.naive_bayes:ComplementNB", "river.naive_bayes:BernoulliNB",
    "river.linear_model:SoftmaxRegression", "river.linear_model:LogisticRegression(l2=0.1)",
    "river.tree:HoeffdingTreeClassifier", "river.forest:ARFClassifier(n_models=3)",
    "river.neighbors:KNNClassifier",
)  # fmt: skip


def bought(*categories: str, times: int = 1) -> Profiles:
    events = [purchase(f"p{i}", categories=categories) for i in range(times)]
    return profile_after(*events, taxonomy=SHOP)


@pytest.fixture
def own_module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A team's own module that holds estimators."""
    module = types.ModuleType("team_models")
    module.scaled = compose.Pipeline(  # type: ignore[attr-defined]
        preprocessing.StandardScaler(), linear_model.SoftmaxRegression()
    )
    module.no_end = compose.Pipeline(preprocessing.StandardScaler())  # type: ignore[attr-defined]
    module.make = naive_bayes.MultinomialNB  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "team_models", module)
    return module


@pytest.mark.parametrize("specification", SEVERAL)
def test_any_river_classifier_learns_and_predicts_whole_rows(specification: str) -> None:
    learner = Learner(make_classifier(specification), SHOP.names)
    assert sum(learner.predict_probabilities(bought("parent"))) == pytest.approx(1)
    for example in sort_by_hash(labelled_examples(SHOP)):
        learner.learn(example.persona, example.profile)
    row = learner.predict_probabilities(bought("parent", times=5))
    assert len(row) == len(PERSONAS)
    assert sum(row) == pytest.approx(1)


@pytest.mark.parametrize("specification", SEVERAL)
def test_what_is_folded_depends_on_the_set_of_examples_alone(specification: str) -> None:
    learner, known = Learner(make_classifier(specification), SHOP.names), labelled_examples(SHOP)
    asked = bought("student", "food", times=3)
    one, other = refold(learner, known), refold(learner, known[::-1])
    assert one.predict_probabilities(asked) == other.predict_probabilities(asked)


def test_a_fold_begins_with_nothing() -> None:
    learner, asked = Learner(make_classifier(BAYES), SHOP.names), bought("parent")
    learner.learn("student", bought("parent", times=9))
    assert refold(learner, ()).predict_probabilities(asked) == (0.2,) * 5


def test_a_class_that_was_never_seen_is_impossible() -> None:
    learner = Learner(make_classifier(BAYES), SHOP.names)
    learner.learn("student", bought("parent"))
    assert learner.predict_probabilities(bought("parent")) == (0, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("row", "expected"),
    [([0, 0], (0.5, 0.5)), ([math.nan, 1], (0, 1)), ([math.nan, math.inf], (0.5, 0.5)),
     ([1, 3], (0.25, 0.75)), ([-1, 2], (0, 1))],
)  # fmt: skip
def test_any_row_becomes_probabilities(row: list[float], expected: tuple[float, ...]) -> None:
    assert normalize_row(row) == expected


def test_naive_bayes_takes_counts_and_other_classifiers_take_bounded_logs() -> None:
    profile = bought("parent", times=400)
    slot = hash_to_slot("category:parent", fine=False)
    counts, logs = make_features(profile, "counts"), make_features(profile, "logs")
    assert counts[slot] == pytest.approx(100)
    assert logs[slot] == pytest.approx(math.log1p(200), abs=1e-5)
    assert find_form(make_classifier(BAYES)) == "counts"
    assert find_form(make_classifier("river.linear_model:SoftmaxRegression")) == "logs"
    assert find_form(PersonaClassifier()) == "whole"


def test_our_own_classifier_takes_the_whole_profile() -> None:
    features = make_features(bought("parent", times=400), "whole")
    assert features["events"] == pytest.approx(400)
    assert features[hash_to_slot("category:parent", fine=False)] == pytest.approx(400)
    assert 0 not in features


def test_features_come_in_the_order_of_slots_without_the_events_and_fine_ones_last() -> None:
    profile = profile_after(browse("b", query="red shoes"), taxonomy=SHOP)
    slots = list(make_features(profile, "counts"))
    assert slots == sorted(slots)
    assert slots[0] > EVENTS
    assert slots[-2] >= COARSE_SLOTS


def test_examples_are_ordered_by_a_hash_and_not_by_groups_of_ids() -> None:
    groups = [Example(f"{group}-{i}", "parent", bought("a")) for group in "abcd" for i in range(25)]
    first = {example.customer_id[0] for example in sort_by_hash(groups)[:20]}
    assert first == set("abcd")


def test_a_list_of_specifications_may_hold_arguments_with_commas() -> None:
    text = " a:B , c:D(x=1, y=[2, 3]),a:B,, "
    assert parse_specifications(text) == ("a:B", "c:D(x=1, y=[2, 3])")


def test_arguments_are_given_to_the_constructor() -> None:
    made = make_classifier("river.naive_bayes:MultinomialNB(alpha=0.5)")
    assert isinstance(made, naive_bayes.MultinomialNB)
    assert made.alpha == 0.5


def test_a_stochastic_classifier_has_a_seed_unless_it_is_given_one() -> None:
    made = [make_classifier(f"river.forest:ARFClassifier{given}") for given in ("", "(seed=7)")]
    assert [model.seed for model in made] == [1, 7]  # type: ignore[attr-defined]


def test_a_pipeline_of_a_module_is_run_as_a_copy(own_module: types.ModuleType) -> None:
    made = make_classifier("team_models:scaled")
    assert isinstance(made, compose.Pipeline)
    assert made is not own_module.scaled
    assert find_form(made) == "logs"


WRONG = {
    "nonsense": "write module:Class",
    "river.naive_bayes:MultinomialNB(0.5)": "write module:Class",
    "river.naive_bayes:MultinomialNB(alpha=__import__('os'))": "write module:Class",
    "river.naive_bayes:MultinomialNB(**{'alpha': 1})": "write module:Class",
    "river.naive_bayes:MultinomialNB(alpha=1).x()": "write module:Class",
    "river.naive_bayes:MultinomialNB(beta=1)": "it cannot be made (",
    "river.naive_bayes:Nope": "it cannot be imported (",
    "no_such_module:Nope": "it cannot be imported (No module named 'no_such_module')",
    "river.linear_model:LinearRegression": "neither a class nor an estimator for classes",
    "os:getcwd": "neither a class nor an estimator for classes",
    "team_models:no_end": "the pipeline ends in a StandardScaler",
    "river.ensemble:BaggingClassifier": "it cannot be made (",
}


@pytest.mark.parametrize("specification", WRONG)
def test_what_is_no_classifier_is_refused_with_one_sentence(
    specification: str, own_module: types.ModuleType
) -> None:
    with pytest.raises(SettingsError) as caught:
        make_classifier(specification)
    reason = str(caught.value)
    assert reason.startswith(f"{specification!r} is no River classifier that can be run: ")
    assert WRONG[specification] in reason
    assert "\n" not in reason
