"""Explains predictions by their factors, from the same arithmetic as the predictions themselves.

The posterior is log-linear in the tokens, so it is a product: the prior, one factor for each
token, and what makes the probabilities of all personas sum to 1. A token's *lift* is its factor
for this persona against its prior-weighted mean over all personas.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stream_persona.domain.binning import canonicalize_token
from stream_persona.domain.common_tastes import CommonShare
from stream_persona.domain.record import MILLION
from stream_persona.domain.slots import hash_to_slot
from stream_persona.domain.tastes import list_taste_features, may_be_taste

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from stream_persona.domain.features import Profiles
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.domain.token_names import TokenNames
    from stream_persona.model.predictor import Predictor

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: Each reason's feature, value and lift in millionths, the strongest first.
Reasons = tuple[tuple[str, str, int], ...]

#: Bound of the sum of all log-lifts in a tree, so that their product stays finite.
_MOST_LOG: Final = 300.0
#: Bound of a published log-lift: a factor of about a million.
_MOST_LIFT: Final = 13.8


def compute_token_log_lifts(predictor: Predictor, profiles: Profiles) -> tuple[Ints, Ints, Floats]:
    """Return row and slot of each weighted token of profiles, and its log-lift (tokens, classes).

    The rows ascend.
    """
    rows, slots, added = predictor.compute_contributions(profiles)
    return rows, slots, _log_lifts_of(added, predictor.log_prior)


def _log_lifts_of(added: Floats, log_prior: Floats) -> Floats:
    """Return the log-lift of tokens by what each adds to logits, both (tokens, classes)."""
    prior = np.exp(log_prior)
    # Subtracted so that no exponential overflows; numpy is quickest down long columns.
    most = np.ascontiguousarray(added.T).max(axis=0, initial=-np.inf)
    # Not a matrix product, whose last bits may depend on the rows around.
    odds = np.exp(added - most[:, None]) * (prior / prior.sum())
    mean = most + np.log(odds.sum(axis=1))
    return np.asarray(added - mean[:, None])


def split_token(token: str) -> tuple[str, str]:
    """Return feature and value of a token's name.

    >>> split_token("query:a:b")
    ('query', 'a:b')
    """
    feature, _, value = token.partition(":")
    return feature, value


def find_reasons(
    predictor: Predictor,
    profiles: Profiles,
    personas: Sequence[str],
    name: Callable[[int], str],
    count: int,
) -> list[Reasons]:
    """Return for each row the ``count`` strongest reasons why it is of its persona.

    ``personas`` has one for each row of ``profiles``; a reason is a token whose lift is above 1. A
    row of an unknown persona has none.
    """
    if not count or not len(personas):
        return [() for _ in personas]
    rows, slots, lifts = compute_token_log_lifts(predictor, profiles)
    column = _find_columns(predictor.classes, personas)[rows]
    lift = lifts[np.arange(len(rows)), column]
    lift[column < 0] = 0.0
    strongest = _select_top_of_rows(rows, lift, count)
    rows, slots, lift = rows[strongest], slots[strongest], lift[strongest]
    shown = np.rint(np.exp(np.minimum(lift, _MOST_LIFT)) * MILLION).astype(np.int64)
    named = {slot: split_token(name(slot)) for slot in np.unique(slots).tolist()}
    found: list[list[tuple[str, str, int]]] = [[] for _ in personas]
    for row, slot, value in zip(rows.tolist(), slots.tolist(), shown.tolist(), strict=True):
        found[row].append((*named[slot], value))
    return [tuple(each) for each in found]


def _find_columns(classes: Sequence[str], personas: Sequence[str]) -> Ints:
    """Return the column of each persona among the classes, -1 for one that is not there."""
    return np.array([classes.index(each) if each in classes else -1 for each in personas])


def _select_top_of_rows(rows: Ints, lift: Floats, count: int) -> Ints:
    """Return positions of each row's ``count`` greatest positive lifts, in descending order.

    ``rows`` ascend, and so do those of the positions.
    """
    positive = np.flatnonzero(lift > 0)
    own = rows[positive]
    order = np.lexsort((-lift[positive], own))
    rank = np.arange(len(order)) - np.searchsorted(own, own)
    return positive[order[rank < count]]


def build_tree(
    predictor: Predictor, profile: Profiles, persona: str, name: Callable[[int], str]
) -> dict[str, Any]:
    """Return ``$why``: the product of the values of all factors is the persona's probability."""
    posterior, slots, added = predictor.predict_one(profile)
    return build_trees(predictor, [persona], posterior, slots, added, name)[0]


def build_trees(
    predictor: Predictor,
    personas: Sequence[str],
    posterior: Floats,
    slots: Ints,
    added: Floats,
    name: Callable[[int], str],
) -> list[dict[str, Any]]:
    """Return ``$why`` of each of some personas: the product of its factors is the probability.

    ``posterior``, ``slots`` and ``added`` are of ``predict_one``. Factors are ordered from the one
    most for the persona to the one most against it.
    """
    lifts = _log_lifts_of(added, predictor.log_prior)
    columns = [predictor.classes.index(persona) for persona in personas]
    logs = np.ascontiguousarray(lifts.T[columns])
    # The product of all must be a number; overwhelming lifts are shown in proportion.
    sizes = np.abs(logs).sum(axis=1)
    logs = logs * np.minimum(1.0, _MOST_LOG / np.maximum(sizes, 1e-9))[:, None]
    lift = np.exp(logs)
    orders, products = np.argsort(-lift, axis=1, kind="stable"), np.prod(lift, axis=1)
    priors = np.exp(predictor.log_prior)[columns]
    rests = posterior[columns] / (priors * products)
    named = [split_token(name(slot)) for slot in slots.tolist()]
    propositions = [{feature: {"$has": value}} for feature, value in named]
    figures = (priors, rests, orders, lift)
    rows = zip(personas, *[each.tolist() for each in figures], strict=True)
    return [
        _build_product(persona, prior, rest, [
            {"type": "relatedPropositionLift", "proposition": propositions[i], "value": own[i]}
            for i in order
        ])
        for persona, prior, rest, order, own in rows
    ]  # fmt: skip


def _build_product(
    persona: str, prior: float, rest: float, lifts: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "type": "product",
        "factors": [
            {"type": "baseP", "value": prior, "proposition": {"persona": {"$has": persona}}},
            {"type": "normalizer", "name": "allPersonas", "value": rest},
            *lifts,
        ],
    }


def compute_affinities(
    predictor: Predictor, name: Callable[[int], str]
) -> dict[str, dict[str, float]]:
    """Return for each persona the lift of every token that has one, by the canonical token.

    The lift is the persona's share of the token over the common share. ``name`` returns a slot's
    token as it is shown.
    """
    slots = predictor.weighted_slots
    keys = [_canonicalize_name(slot, name(slot)) for slot in slots.tolist()]
    ratios = predictor.compute_share_log_ratios(slots)
    lifts = np.exp(ratios)
    return {
        persona: {
            keys[i]: round(float(lifts[i, column]), 6)
            for i in np.flatnonzero(ratios[:, column]).tolist()
        }
        for column, persona in enumerate(predictor.classes)
    }


def list_common_tastes(
    predictor: Predictor, taxonomy: Taxonomy, names: TokenNames
) -> dict[str, CommonShare]:
    """Return the common share of every category and type that may be shown, by canonical token.

    A slot with more than one token, shown or not, does not show which of them a shopper has: it
    moves items, and is no reason.
    """
    found, is_taste = {}, may_be_taste(taxonomy)
    beginnings = tuple(f"{feature}:" for feature in list_taste_features(taxonomy))
    for slot, share in zip(*map(np.ndarray.tolist, predictor.list_common_shares()), strict=True):
        is_reason = names.find_sole_name(slot) is not None
        for shown in names.tokens.get(slot, ()) if is_taste[slot] else ():
            token = canonicalize_token(shown)
            if token.startswith(beginnings) and _is_of_slot(slot, token):
                found[token] = CommonShare(slot, round(share, 9), is_reason)
    return found


@lru_cache(maxsize=1 << 16)
def _canonicalize_name(slot: int, name: str) -> str:
    """Return the canonical form of a slot's name, or of both names where two tokens share it.

    A name of which no canonical form is counted in the slot stays as it is: only its beginning is
    known, or it was counted there before spellings were compared.
    """
    if _is_of_slot(slot, token := canonicalize_token(name)):
        return token
    parts = [(part, canonicalize_token(part)) for part in name.split(" | ")]
    return " | ".join(token if _is_of_slot(slot, token) else part for part, token in parts)


def _is_of_slot(slot: int, token: str) -> bool:
    return slot in (hash_to_slot(token, fine=False), hash_to_slot(token, fine=True))
