"""Counterfactuals: the fewest equal events that make another persona the likeliest. Pure.

An event is one that may happen: a customer buys an item, looks at it, or searches. It happens at
the record's clock and goes through the worker's own code up to the posterior and the policy, so
that the answer is what the worker would publish. Its price and attributes are unknown: left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from msgspec.structs import replace

from stream_persona.domain.events import Behaviour, Browse, Item, Purchase
from stream_persona.domain.features import Counts, Observation, Profiles, compute_profiles, fold
from stream_persona.domain.record import MILLION
from stream_persona.domain.slots import COARSE_SLOTS, EVENTS, SLOT_TYPE, SLOTS, WEIGHT_TYPE
from stream_persona.domain.token_names import MAX_NAME
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.explain import split_token
from stream_persona.pipeline.decision import Belief, decide, to_millionths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Signals, Taxonomy
    from stream_persona.model.predictor import Predictor

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

#: Slot -> the tokens in it, as ``TokenNames.tokens``.
Names = Mapping[int, Sequence[str]]

#: How many equal events are tried.
TIMES: Final = (1, 2, 3, 5, 8, 13, 20)
#: Features that an event can be made of; of an item the fields that they are read from.
_FIELDS: Final = {"category": "category", "product": "product_id", "brand": "brand"}
FEATURES: Final = (*_FIELDS, "query")
#: Tokens that are tried for each persona: those that lift it most above the others.
MOST_TOKENS: Final = 12

#: Events with a token that are assumed to follow, where tokens are compared.
_TYPICAL: Final = 5.0
_SLOT: Final = (1 << 16) - 1
#: Ids of products, among which one without weight in the model is looked for.
_PRODUCT_IDS: Final = tuple(f"?{number}" for number in range(64))


class Counterfactual(NamedTuple):
    """After ``events`` equal ones of a ``kind``, with this feature, ``persona`` is the likeliest.

    ``probability`` is the persona's own then, ``named`` whether it would be published: by
    confidence, evidence, hysteresis and dwell.
    """

    persona: str
    events: int
    kind: str
    feature: str
    value: str
    probability: float
    named: bool


@dataclass(frozen=True, slots=True)
class _HypotheticalEvent:
    """An event that may happen, and its tokens."""

    kind: str
    feature: str
    value: str
    slots: bytes
    weights: bytes


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The result of ``times`` events of a candidate; probabilities in millionths."""

    candidate: _HypotheticalEvent
    times: int
    counts: Counts
    distribution: tuple[int, ...]
    evidence: float

    @property
    def likeliest(self) -> int:
        """The column of the likeliest persona, as the policy chooses it."""
        return self.distribution.index(max(self.distribution))


def answer_counterfactuals(
    customer_id: str, record: Record, weights: Predictor, taxonomy: Taxonomy, names: Names
) -> dict[str, Any]:
    """Answer with the likeliest persona as of now, and the counterfactuals."""
    now = _predict(record.counts, weights, taxonomy)
    return {
        "customer_id": customer_id,
        "persona": weights.classes[now.index(max(now))],
        "probability": max(now) / MILLION,
        "flips": [
            each._asdict() for each in find_counterfactuals(record, weights, taxonomy, names)
        ],
    }


def find_counterfactuals(
    record: Record, weights: Predictor, taxonomy: Taxonomy, names: Names
) -> list[Counterfactual]:
    """Find the fewest events that reach each other persona; by their number, then by probability.

    The number is one of ``TIMES``; of equally few, those that make the persona likeliest. Personas
    out of reach are left out. An assignment is ignored: it is the prediction that is changed. A
    foreign classifier, whose tokens have no weights, has no counterfactuals.
    """
    counts = _keep_weighted(record.counts, weights)
    at = counts.clock or (record.label.at if record.label else 0)
    candidates = _build_candidates(counts, at, weights, taxonomy, names)
    attempts = _try_candidates(counts, at, candidates, weights, taxonomy)
    now = _predict(record.counts, weights, taxonomy)
    best: dict[int, _Attempt] = {}
    for attempt in sorted(attempts, key=lambda each: (each.times, -max(each.distribution))):
        if attempt.likeliest != now.index(max(now)):
            best.setdefault(attempt.likeliest, attempt)
    return [_decide(attempt, record, weights, taxonomy) for attempt in best.values()]


def _predict(counts: Counts, weights: Predictor, taxonomy: Taxonomy) -> tuple[int, ...]:
    """Predict the posterior in millionths, as it is published."""
    return to_millionths(
        weights.predict_probabilities(compute_profiles([counts], taxonomy.features))
    )[0]


def _keep_weighted(counts: Counts, weights: Predictor) -> Counts:
    """Drop the slots without weight: the others give the same posterior, in less time."""
    slots = counts.keys & _SLOT
    kept = (slots == EVENTS) | np.isin(slots, weights.weighted_slots)
    return Counts.of(counts.epoch, counts.clock, counts.keys[kept], counts.values[kept])


# --- attempts ---


def _try_candidates(
    counts: Counts,
    at: int,
    candidates: Sequence[_HypotheticalEvent],
    weights: Predictor,
    taxonomy: Taxonomy,
) -> list[_Attempt]:
    """Fold each candidate each number of times, and predict all of them at once."""
    tried = [(each, times) for each in candidates for times in TIMES]
    if not tried:
        return []
    observed = [
        Observation(row, at, each.slots, _multiply(times, each.weights))
        for row, (each, times) in enumerate(tried)
    ]
    folded = fold([counts] * len(tried), observed, taxonomy.features)
    seen = compute_profiles(folded, taxonomy.features)
    rows = zip(
        to_millionths(weights.predict_probabilities(seen)), seen.events.tolist(), strict=True
    )
    return [
        _Attempt(each, times, after, distribution, evidence)
        for (each, times), after, (distribution, evidence) in zip(tried, folded, rows, strict=True)
    ]


def _multiply(times: int, weights: bytes) -> bytes:
    """Pack the weights of that many equal events into one."""
    return (times * np.frombuffer(weights, WEIGHT_TYPE)).tobytes()


def _decide(
    attempt: _Attempt, record: Record, weights: Predictor, taxonomy: Taxonomy
) -> Counterfactual:
    """Decide, by the policy, whether the persona that an attempt makes likeliest is named."""
    persona, candidate = weights.classes[attempt.likeliest], attempt.candidate
    belief = Belief(
        attempt.distribution, attempt.evidence, weights.version, weights.thresholds,
        weights.candidate_floor,
    )  # fmt: skip
    after = replace(record, label=None, counts=attempt.counts, faded_at=0)
    published = decide(after, belief, taxonomy, now=0) or record.published
    named = published is not None and published.current.persona == persona
    probability = max(attempt.distribution) / MILLION
    what = candidate.kind, candidate.feature, candidate.value
    return Counterfactual(persona, attempt.times, *what, probability, named)


# --- candidates ---


def _build_candidates(
    counts: Counts, at: int, weights: Predictor, taxonomy: Taxonomy, names: Names
) -> list[_HypotheticalEvent]:
    """Build an event of each persona's strongest tokens, each once."""
    tokenizer = Tokenizer(taxonomy)
    product = _find_unweighted_product(weights, tokenizer)
    candidates = []
    for slot, token in _find_strongest_tokens(counts, weights, taxonomy, names, tokenizer).items():
        kind, event = _build_event(token, at, product, taxonomy.signals)
        tokens = tokenizer.tokenize(event)
        if slot in np.frombuffer(tokens.slots, SLOT_TYPE):
            candidates.append(_HypotheticalEvent(kind, *token, tokens.slots, tokens.weights))
    return candidates


def _find_strongest_tokens(
    counts: Counts, weights: Predictor, taxonomy: Taxonomy, names: Names, tokenizer: Tokenizer
) -> dict[int, tuple[str, str]]:
    """Find each persona's strongest tokens that have a name: slot -> feature and value."""
    slots = weights.weighted_slots
    lead = _compute_leads(slots, compute_profiles([counts], taxonomy.features), weights)
    found: dict[int, tuple[str, str]] = {}
    for column in np.argsort(-lead, axis=0, kind="stable").T:
        named = (
            (slot, token)
            for slot in slots[column].tolist()
            for token in _select_usable_names(
                (*names.get(slot, ()), *tokenizer.names.tokens.get(slot, ()))
            )
        )
        found.update(islice(named, MOST_TOKENS))
    return found


def _select_usable_names(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the first of a slot's names that an event can be built of, in a list, or none."""
    for name in names:
        feature, value = split_token(name)
        if feature in FEATURES and len(name) < MAX_NAME:  # else only its beginning is known
            return [(feature, value)]
    return []


def _compute_leads(slots: Ints, profile: Profiles, weights: Predictor) -> Floats:
    """Return by how much each token alone would lift each persona above all others.

    The shape is (slots, personas), the unit logits; after a typical number of events with the
    token, which dilute all others.
    """
    events = float(profile.events[0])
    held = np.zeros(SLOTS)
    held[profile.slots] = profile.shares
    before = held[slots] * events / (events + _TYPICAL)
    after = before + _TYPICAL / (events + _TYPICAL)
    middle, ends = np.searchsorted(slots, [COARSE_SLOTS]), np.array([0, len(slots)])

    def compute_added(shares: Floats) -> Floats:
        alone = Profiles(ends, middle, slots, shares, np.array([events + _TYPICAL]))
        return weights.compute_contributions(alone)[2]

    reached = weights.compute_logits(profile) + compute_added(after) - compute_added(before)
    two = np.sort(reached, axis=1)[:, -2:]
    others = np.where(reached == two[:, 1:], two[:, :1], two[:, 1:])
    return np.asarray(reached - others)


def _find_unweighted_product(weights: Predictor, tokenizer: Tokenizer) -> str:
    """Find the id of a product that has no weight, in case the taxonomy reads products at all."""
    weighted = set(weights.weighted_slots.tolist())
    unknown = (
        each for each in _PRODUCT_IDS if tokenizer.find_slot("product", each) not in weighted
    )
    return next(unknown, _PRODUCT_IDS[0])


def _build_event(
    token: tuple[str, str], at: int, product: str, signals: Signals
) -> tuple[str, Behaviour]:
    """Build an event with a token; return its kind too. An item is bought if that weighs most."""
    feature, value = token
    if feature == "query":
        return "browse", Browse("flip", "flip", at, "search", query=value)
    item = replace(Item(product), **{_FIELDS[feature]: value})
    if signals.purchase >= signals.view:
        return "purchase", Purchase("flip", "flip", at, (item,))
    return "browse", Browse("flip", "flip", at, "view", product=item)
