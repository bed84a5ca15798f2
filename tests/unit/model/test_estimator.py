"""River's own checks of an estimator, for the classifier."""

from collections.abc import Callable

import pytest
from river import checks
from river.base import Estimator

from stream_persona.model.classifier import PersonaClassifier

CHECKS = list(checks.yield_checks(PersonaClassifier()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_classifier_passes_rivers_own_check(check: Callable[[Estimator], None]) -> None:
    model = PersonaClassifier()
    assert check.__name__ not in model._unit_test_skips()
    check(model.clone())


def test_the_classifier_is_checked_on_more_than_two_classes() -> None:
    names = [check.__name__ for check in CHECKS]
    assert "check_predict_proba_one_binary" not in names
    assert "check_predict_proba_many_matches_predict_proba_one" in names
