"""What a model makes of a synthetic shop, beside what the generator allows."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.quality.separable import Floats, Found, compare, summarise
from tests.benchmarks.quality.shops import draw_categories, separable

NOBODY = np.zeros(50, bool)


def posterior(seed: int = 0) -> Floats:
    shop, rng = separable(3, 0.2), np.random.default_rng(seed)
    return shop.posterior(draw_categories(shop, rng.integers(0, 3, 50), rng))


def uniform() -> Floats:
    return np.full((50, 3), 1.0 / 3)


@given(st.integers(0, 1_000))
def test_no_predictions_do_better_than_the_generator_allows(seed: int) -> None:
    p = np.random.default_rng(seed).dirichlet(np.ones(3), 50)
    found = compare(p, uniform(), posterior(seed), NOBODY)
    assert found.share <= 1.0
    assert found.log_loss >= found.bayes


def test_the_posterior_itself_has_all_that_is_allowed() -> None:
    found = compare(posterior(), uniform(), posterior(), NOBODY)
    assert found.share == 1.0
    assert found.log_loss == found.bayes < found.prior
    assert found.prior == pytest.approx(np.log(3))


def test_names_are_wrong_as_often_as_the_posterior_says() -> None:
    certain = np.eye(3)[np.zeros(50, int)]
    half = np.tile([0.5, 0.5, 0.0], (50, 1))
    found = compare(certain, uniform(), half, np.arange(50) < 20)
    assert found.named == 0.4
    assert found.wrong == pytest.approx(0.2)


def test_the_worst_trial_of_a_shop_is_the_one_that_counts() -> None:
    good = Found(0.9, 0.9, 0.3, 0.3, 1.1, 1.0, 0.1)
    summary = summarise([good, replace(good, right=0.45, log_loss=1.2), good])
    assert summary["least_share"] == pytest.approx(0.5)
    assert summary["excess_over_prior"] == pytest.approx(0.1)
    assert summary["right"] == pytest.approx(0.75)
