"""Trees of all hits at once are, bit by bit, those that are computed for each hit by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.features import Profiles
from stream_persona.model.classifier import PersonaClassifier, make_profile, make_seed_sums
from stream_persona.model.estimator import derive
from stream_persona.model.explain import build_trees, compute_token_log_lifts, split_token
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.shard import merge_shards
from stream_persona.model.weights import Weights
from tests.support.events import shop
from tests.support.shards import labelled_records, shard_of

SHOP = shop()
TOKENS = [f"category:{name}" for name in (*SHOP.names, "food", "toys", "new")]
MOST_LOG = 300.0


def calibrated() -> Weights:
    fitter = ModelFitter(SHOP)
    fitter.update(*merge_shards([shard_of(labelled_records(SHOP, 12), SHOP)]), calibrate=True)
    return fitter.weights


def overwhelming() -> Weights:
    """Weights of personas that are perfectly apart: products of lifts are cut."""
    model = PersonaClassifier()
    for name in SHOP.names:
        for _ in range(20):
            model.learn_one({"events": 10, **{f"{name}{i}": 10 for i in range(60)}}, name)
    return derive(model, SHOP.names, make_seed_sums(SHOP))


MODELS = {
    "seeds": derive(PersonaClassifier(), SHOP.names, make_seed_sums(SHOP)),
    "calibrated": calibrated(),
}
MODELS["overwhelming"] = overwhelming()


def tree_by_itself(weights: Weights, profile: Profiles, persona: str) -> dict[str, Any]:
    """The definition, computed from the start for one persona."""
    column = weights.classes.index(persona)
    prior = float(np.exp(weights.log_prior[column]))
    _, slots, lifts = compute_token_log_lifts(weights, profile)
    logs = lifts[:, column]
    logs = logs * min(1.0, MOST_LOG / max(float(np.abs(logs).sum()), 1e-9))
    lift = np.exp(logs)
    rest = float(weights.predict_probabilities(profile)[0, column]) / (prior * float(np.prod(lift)))
    base = {"type": "baseP", "value": prior, "proposition": {"persona": {"$has": persona}}}
    normalizer = {"type": "normalizer", "name": "allPersonas", "value": rest}
    factors: list[dict[str, Any]] = [base, normalizer]
    for i in np.argsort(-lift, kind="stable").tolist():
        feature, value = split_token(str(slots[i]))
        lifted = {"proposition": {feature: {"$has": value}}, "value": float(lift[i])}
        factors.append({"type": "relatedPropositionLift", **lifted})
    return {"type": "product", "factors": factors}


def assert_same(weights: Weights, profile: Profiles) -> None:
    found = build_trees(weights, weights.classes, *weights.predict_one(profile), str)
    assert found == [tree_by_itself(weights, profile, each) for each in weights.classes]


customers = st.dictionaries(
    st.sampled_from(TOKENS) | st.integers(1, 60_000), st.floats(0.125, 50), max_size=90
)


@pytest.mark.parametrize("model", MODELS)
@given(st.floats(0.5, 300), customers)
def test_trees_of_all_personas_are_those_of_each(
    model: str, events: float, x: dict[int | str, float]
) -> None:
    assert_same(MODELS[model], make_profile({"events": events, **x}))


@pytest.mark.long
@pytest.mark.parametrize("own", [1, 7, 8, 9, 60])
def test_trees_of_overwhelming_evidence_are_those_of_each(own: int) -> None:
    for name in SHOP.names:
        x = {f"{name}{i}": 10.0 for i in range(own)}
        assert_same(overwhelming(), make_profile({"events": 10.0, **x}))


def test_no_hits_have_no_trees() -> None:
    profile, weights = make_profile({"category:food": 1.0}), MODELS["seeds"]
    assert build_trees(weights, [], *weights.predict_one(profile), str) == []


@pytest.mark.parametrize("model", MODELS)
@given(st.lists(st.tuples(st.floats(0.5, 300), customers), min_size=2, max_size=4))
def test_a_row_by_itself_has_the_bits_that_it_has_among_others(
    model: str, rows: list[tuple[float, dict[int | str, float]]]
) -> None:
    """What is asked of one row is worked out another way than that of several."""
    parts = [make_profile({"events": events, **x}) for events, x in rows]
    ends = np.cumsum([0, *(len(each.slots) for each in parts)])
    joined = Profiles(
        ends,
        np.concatenate([each.middles + end for each, end in zip(parts, ends[:-1], strict=True)]),
        np.concatenate([each.slots for each in parts]),
        np.concatenate([each.shares for each in parts]),
        np.concatenate([each.events for each in parts]),
    )
    weights = MODELS[model]
    together, (own, slots, added) = (
        weights.predict_probabilities(joined),
        weights.compute_contributions(joined),
    )
    for i, each in enumerate(parts):
        alone, found, adds = weights.predict_one(each)
        assert (
            alone.tobytes()
            == weights.predict_probabilities(each)[0].tobytes()
            == together[i].tobytes()
        )
        assert (
            found.tobytes()
            == weights.compute_contributions(each)[1].tobytes()
            == slots[own == i].tobytes()
        )
        assert (
            adds.tobytes()
            == weights.compute_contributions(each)[2].tobytes()
            == added[own == i].tobytes()
        )
