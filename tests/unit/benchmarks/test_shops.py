"""Synthetic shops: their posterior is Bayes' rule, and what is drawn follows what is stated."""

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.quality.shops import (
    EVENTS,
    Floats,
    Shop,
    alike,
    draw_categories,
    even,
    fold_shoppers,
    odd_shops,
    separable,
)


def random_shop(seed: int) -> Shop:
    rng = np.random.default_rng(seed)
    return Shop(rng.dirichlet(np.ones(4), 3), rng.dirichlet(np.ones(3)))


def joint(shop: Shop, outcome: tuple[int, ...]) -> list[float]:
    """The probability of each persona together with an outcome, term by term."""
    return [
        share * prod(row[category] for category in outcome)
        for share, row in zip(shop.shares.tolist(), shop.buys.tolist(), strict=True)
    ]


def outcomes(shop: Shop, events: int) -> list[tuple[int, ...]]:
    return list(product(range(shop.buys.shape[1]), repeat=events))


@given(st.integers(0, 1_000), st.integers(1, 3))
def test_the_posterior_is_bayes_rule(seed: int, events: int) -> None:
    shop = random_shop(seed)
    every = outcomes(shop, events)
    expected = np.array([joint(shop, outcome) for outcome in every])
    expected /= expected.sum(axis=1, keepdims=True)
    assert shop.posterior(np.array(every)) == pytest.approx(expected)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_what_is_allowed_after_one_event_is_all_but_the_noise(noise: float) -> None:
    shop = separable(5, noise)
    posterior = shop.posterior(np.arange(5)[:, None])
    assert posterior.max(axis=1) == pytest.approx(np.full(5, 1.0 - noise))


@pytest.mark.parametrize("personas", [3, 5])
def test_what_is_allowed_on_drawn_shoppers_is_the_exact_bound(personas: int) -> None:
    shop, rng = separable(personas, 0.2), np.random.default_rng(personas)
    exact = sum(max(joint(shop, outcome)) for outcome in outcomes(shop, EVENTS))
    drawn = draw_categories(shop, rng.integers(0, personas, 20_000), rng)
    assert shop.posterior(drawn).max(axis=1).mean() == pytest.approx(exact, abs=0.01)


def test_the_likeliest_persona_is_right_as_often_as_the_posterior_says() -> None:
    shop, rng = separable(3, 0.2), np.random.default_rng(1)
    personas = rng.integers(0, 3, 20_000)
    posterior = shop.posterior(draw_categories(shop, personas, rng))
    right = (posterior.argmax(axis=1) == personas).mean()
    assert right == pytest.approx(posterior.max(axis=1).mean(), abs=0.01)


def test_nobody_can_tell_personas_that_are_alike() -> None:
    shop, rng = alike(), np.random.default_rng(2)
    drawn = draw_categories(shop, rng.integers(0, 5, 100), rng)
    assert shop.posterior(drawn) == pytest.approx(np.full((100, 5), 0.2))


def test_what_is_drawn_follows_what_is_stated() -> None:
    shop, rng = random_shop(7), np.random.default_rng(3)
    for persona, row in enumerate(shop.buys):
        drawn = draw_categories(shop, np.full(20_000, persona), rng)
        assert np.bincount(drawn.ravel(), minlength=4) / drawn.size == pytest.approx(row, abs=0.01)


@pytest.mark.parametrize("name", odd_shops())
def test_the_probabilities_of_an_odd_shop_sum_to_one(name: str) -> None:
    shop = odd_shops()[name]
    assert shop.buys.sum(axis=1) == pytest.approx(np.ones(len(shop.shares)))
    assert shop.shares.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("most", "expected"), [(None, 12), (0, 0), (1, 1)])
def test_the_last_persona_has_no_more_labels_than_it_may(most: int | None, expected: int) -> None:
    buys: Floats = np.eye(5)
    labels = Shop(buys, even(5), last_labels=most).label(60)
    assert np.bincount(labels, minlength=5).tolist() == [12, 12, 12, 12, expected]


def test_folded_shoppers_have_their_events_and_their_noise() -> None:
    shop, rng = Shop(np.eye(5), even(5), noise=20), np.random.default_rng(4)
    personas = np.arange(5)
    bought = draw_categories(shop, personas, rng)
    customers = fold_shoppers(shop, personas, bought, rng, "S")
    assert customers.numbers(shop.taxonomy.names).tolist() == personas.tolist()
    assert customers.profiles.events == pytest.approx(np.full(5, EVENTS), rel=1e-3)
    plain = fold_shoppers(Shop(np.eye(5), even(5)), personas, bought, rng, "S")
    more = np.diff(customers.profiles.starts) - np.diff(plain.profiles.starts)
    assert (more >= shop.noise).all()
    assert (more <= 2 * shop.noise).all()
