"""Shops made by a rule: where it is clear the model is right, where it is not it says nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.model.naming import NEVER
from tests.support.examples import count_examples
from tests.support.generated_shops import GeneratedShop, log_loss, named, predict, prior_log_loss

pytestmark = pytest.mark.long
NEW = 300
#: What a fit may cost, in nats: its numbers are fitted to some dozens of customers.
COST = 0.06

random_seed = st.integers(0, 2**32)


@given(random_seed, st.integers(2, 12), st.integers(60, 300), st.sampled_from([0, 0.02, 0.1, 0.2]))
@hypothesis(max_examples=count_examples(25), deadline=None)
def test_a_clear_shop_is_read_as_well_as_its_rule_allows(
    seed: int, personas: int, labelled: int, noise: float
) -> None:
    rng, shop = np.random.default_rng(seed), GeneratedShop.separable(personas, noise)
    weights, _ = shop.fit(rng, np.arange(labelled) % personas, events=4)
    true = rng.integers(0, personas, NEW)
    counts = shop.draw(rng, true, 4)
    found = predict(weights, counts)
    allowed = (shop.posterior(counts).argmax(axis=1) == true).mean()
    assert (found.argmax(axis=1) == true).mean() >= 0.95 * allowed
    assert log_loss(found, true) < prior_log_loss(weights, true)


@pytest.mark.parametrize("personas", [3, 5])
@pytest.mark.parametrize("labelled", [60, 300])
def test_a_clean_shop_names_everybody_and_everybody_rightly(personas: int, labelled: int) -> None:
    rng, shop = np.random.default_rng(1), GeneratedShop.separable(personas, noise=0.0)
    weights, _ = shop.fit(rng, np.arange(labelled) % personas, events=4)
    true = rng.integers(0, personas, NEW)
    found = predict(weights, shop.draw(rng, true, 4))
    assert (found.argmax(axis=1) == true).all()
    assert named(weights, found).all()


def unclear(seed: int, personas: int, kind: str) -> GeneratedShop:
    """A shop whose personas can't be told apart."""
    if kind == "constant":
        return GeneratedShop(np.ones((personas, 1)))
    alike = np.random.default_rng(seed).dirichlet(np.ones(10))
    return GeneratedShop(np.tile(alike, (personas, 1)))


@given(random_seed, st.integers(2, 8), st.integers(1, 20), st.sampled_from(["constant", "alike"]))
@hypothesis(max_examples=count_examples(25), deadline=None)
def test_personas_that_are_all_alike_leave_the_prior_and_name_nobody(
    seed: int, personas: int, events: int, kind: str
) -> None:
    rng, shop = np.random.default_rng(seed), unclear(seed, personas, kind)
    weights, _ = shop.fit(rng, np.arange(150) % personas, events)
    true = rng.integers(0, personas, NEW)
    found = predict(weights, shop.draw(rng, true, events))
    assert log_loss(found, true) <= prior_log_loss(weights, true) + COST
    assert named(weights, found).mean() < 0.02


@pytest.mark.long
@given(random_seed, st.integers(2, 6), st.integers(1, 10))
@hypothesis(max_examples=count_examples(25), deadline=None)
def test_a_random_shop_is_read_better_than_by_the_prior(
    seed: int, personas: int, events: int
) -> None:
    rng = np.random.default_rng(seed)
    shop = GeneratedShop(rng.dirichlet(np.full(12, 0.5), personas))
    weights, _ = shop.fit(rng, np.arange(200) % personas, events)
    true = rng.integers(0, personas, NEW)
    found = predict(weights, shop.draw(rng, true, events))
    assert log_loss(found, true) <= prior_log_loss(weights, true) + COST


@given(random_seed, st.integers(3, 8), st.sampled_from([0, 0.02]))
@hypothesis(max_examples=count_examples(20), deadline=None)
def test_a_persona_without_labels_or_with_one_swallows_nobody(
    seed: int, personas: int, noise: float
) -> None:
    rng, shop = np.random.default_rng(seed), GeneratedShop.separable(personas, noise)
    rest = personas - 2  # the last but one has a single label, the last has none
    labels = np.append(np.arange(40 * rest) % rest, rest)
    weights, calibration = shop.fit(rng, labels, events=4)
    true = rng.integers(0, rest, NEW)
    found = predict(weights, shop.draw(rng, true, 4))
    assert calibration.thresholds is not None
    assert calibration.thresholds[rest:] == (NEVER, NEVER)
    assert (found.argmax(axis=1) == true).mean() > 0.95
    assert named(weights, found).mean() > 0.9


@given(random_seed, st.integers(3, 7), st.sampled_from([0, 0.02, 0.1]))
@hypothesis(max_examples=count_examples(20), deadline=None)
def test_two_personas_that_behave_alike_are_not_named_and_the_others_are(
    seed: int, personas: int, noise: float
) -> None:
    rng, shares = np.random.default_rng(seed), GeneratedShop.separable(personas, noise).shares
    shop = GeneratedShop(np.concatenate([shares, shares[:1]]))
    weights, _ = shop.fit(rng, np.arange(40 * (personas + 1)) % (personas + 1), events=4)
    true = rng.integers(0, personas + 1, NEW)
    is_named = named(weights, predict(weights, shop.draw(rng, true, 4)))
    twins = (true == 0) | (true == personas)
    assert is_named[twins].mean() < 0.05
    assert is_named[~twins].mean() > 0.85


@given(random_seed)
@hypothesis(max_examples=count_examples(20), deadline=None)
def test_a_persona_that_is_a_mixture_of_others_does_not_make_it_worse_than_the_prior(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(12, 0.3), 4)
    shop = GeneratedShop(np.concatenate([shares, shares[:2].mean(axis=0, keepdims=True)]))
    weights, _ = shop.fit(rng, np.arange(200) % 5, events=4)
    true = rng.integers(0, 5, NEW)
    found = predict(weights, shop.draw(rng, true, 4))
    assert log_loss(found, true) < prior_log_loss(weights, true)


@pytest.mark.long
@given(random_seed)
@hypothesis(max_examples=count_examples(20), deadline=None)
def test_a_token_that_tells_all_of_one_persona_does_not_silence_the_rest(seed: int) -> None:
    """The first persona always buys a thing of its own; the others differ by degrees."""
    rng = np.random.default_rng(seed)
    others = rng.dirichlet(np.ones(8), 4)
    plain = GeneratedShop(np.pad(others, ((0, 0), (0, 1))))
    telling = GeneratedShop(np.concatenate([plain.shares, np.eye(9)[8:]]))
    labels, true = np.arange(240) % 4, rng.integers(0, 4, NEW)
    counts = plain.draw(rng, true, 8)
    without, _ = plain.fit(rng, labels, events=8)
    beside, _ = telling.fit(rng, np.append(labels, np.full(60, 4)), events=8)
    apart = predict(beside, counts)
    assert log_loss(apart, true) <= log_loss(predict(without, counts), true) + COST + 0.05
