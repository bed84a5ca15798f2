"""Models are tried before a process starts to work with them."""

import pytest

from stream_persona.errors import SettingsError
from stream_persona.model.river_trial import check_models
from tests.support.constants import PERSONAS


@pytest.mark.parametrize(
    "specification",
    ["additive", "river.naive_bayes:ComplementNB", "river.tree:HoeffdingTreeClassifier",
     "river.linear_model:LogisticRegression", "river.neighbors:KNNClassifier"],
)  # fmt: skip
def test_classifiers_that_work_are_taken_as_the_model_and_as_challengers(
    specification: str,
) -> None:
    check_models(specification, f"{specification}, river.naive_bayes:MultinomialNB", PERSONAS)


@pytest.mark.parametrize(("kind", "what"), [("Unlearning", "learn"), ("Silent", "predict")])
def test_a_classifier_that_fails_is_refused_by_the_name_of_its_setting(
    kind: str, what: str
) -> None:
    wrong = f"tests.support.wrong_classifiers:{kind}"
    with pytest.raises(SettingsError, match=f"STREAM_PERSONA_MODEL: .*{kind} failed to {what}: "):
        check_models(wrong, "", PERSONAS)
    with pytest.raises(SettingsError, match=f"_CHALLENGERS: .*{kind} failed to {what}: .*leave it"):
        check_models("additive", f"additive,{wrong}", PERSONAS)
