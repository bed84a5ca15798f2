"""What would make another persona the likeliest: the fewest equal events that do. Pure.

An event is one that may happen: somebody buys an item, looks at it, or searches. It happens at the
record's clock and goes through the worker's own code up to the posterior and the policy, so that
the answer is what the system would say. What nobody knows of it (price, attributes) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from msgspec.structs import replace

from stream_persona.domain.events import Behaviour, Browse, Item, Purchase
from stream_persona.domain.features import Counts, Observation, Profiles, fold, profiles
from stream_persona.domain.record import MILLION
from stream_persona.domain.slots import COARSE_SLOTS, EVENTS, SLOT_TYPE, SLOTS, WEIGHT_TYPE
from stream_persona.domain.token_names import MAX_NAME
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.explain import split
from stream_persona.pipeline.decision import Belief, decide, millionths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_persona.domain.record import Record
    from stream_persona.domain.taxonomy import Signals, Taxonomy
    from stream_persona.model.predictor import Predictor as Weights

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

#: So many events are supposed where tokens are compared.
_TYPICAL: Final = 5.0
_SLOT: Final = (1 << 16) - 1
#: Ids that are looked through for one that the model knows nothing of.
_IDS: Final = tuple(f"?{number}" for number in range(64))


class Flip(NamedTuple):
    """After ``events`` equal ones of a ``kind``, with this feature, ``persona`` is the likeliest.

    ``probability`` is the persona's own then, ``named`` whether it would be said: by confidence,
    evidence, hysteresis and dwell.
    """

    persona: str
    events: int
    kind: str
    feature: str
    value: str
    probability: float
    named: bool


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An event that may happen, and its tokens."""

    kind: str
    feature: str
    value: str
    slots: bytes
    weights: bytes


@dataclass(frozen=True, slots=True)
class _Trial:
    """What comes of so many of a candidate; probabilities in millionths."""

    candidate: _Candidate
    times: int
    counts: Counts
    distribution: tuple[int, ...]
    evidence: float

    @property
    def likeliest(self) -> int:
        """The column of the persona, as the policy chooses it."""
        return self.distribution.index(max(self.distribution))


def answer(
    customer_id: str, record: Record, weights: Weights, taxonomy: Taxonomy, names: Names
) -> dict[str, Any]:
    """The likeliest persona as of now, and what would flip it."""
    now = _distribution(record.counts, weights, taxonomy)
    return {
        "customer_id": customer_id,
        "persona": weights.classes[now.index(max(now))],
        "probability": max(now) / MILLION,
        "flips": [flip._asdict() for flip in flips(record, weights, taxonomy, names)],
    }


def flips(record: Record, weights: Weights, taxonomy: Taxonomy, names: Names) -> list[Flip]:
    """For each persona within reach the fewest events, by their number, then by probability.

    The fewest of ``TIMES``; of equally few those that make the persona likeliest.

    An assignment is looked through: it is the prediction that flips. A model whose tokens have no
    weights, a foreign classifier, has none that are telling: there are no flips of it.
    """
    counts = _speaking(record.counts, weights)
    at = counts.clock or (record.label.at if record.label else 0)
    candidates = _candidates(counts, at, weights, taxonomy, names)
    trials = _trials(counts, at, candidates, weights, taxonomy)
    now = _distribution(record.counts, weights, taxonomy)
    best: dict[int, _Trial] = {}
    for trial in sorted(trials, key=lambda each: (each.times, -max(each.distribution))):
        if trial.likeliest != now.index(max(now)):
            best.setdefault(trial.likeliest, trial)
    return [_flip(trial, record, weights, taxonomy) for trial in best.values()]


def _distribution(counts: Counts, weights: Weights, taxonomy: Taxonomy) -> tuple[int, ...]:
    """The posterior in millionths, as it is published."""
    return millionths(weights.probabilities(profiles([counts], taxonomy.features)))[0]


def _speaking(counts: Counts, weights: Weights) -> Counts:
    """The counts without what has no weight: they give the same posterior, in less time."""
    slots = counts.keys & _SLOT
    kept = (slots == EVENTS) | np.isin(slots, weights.weighted_slots)
    return Counts.of(counts.epoch, counts.clock, counts.keys[kept], counts.values[kept])


# --- trials ---


def _trials(
    counts: Counts,
    at: int,
    candidates: Sequence[_Candidate],
    weights: Weights,
    taxonomy: Taxonomy,
) -> list[_Trial]:
    """Every candidate so many times, all folded and predicted at once."""
    tried = [(each, times) for each in candidates for times in TIMES]
    if not tried:
        return []
    observed = [
        Observation(row, at, each.slots, _times(times, each.weights))
        for row, (each, times) in enumerate(tried)
    ]
    folded = fold([counts] * len(tried), observed, taxonomy.features)
    seen = profiles(folded, taxonomy.features)
    rows = zip(millionths(weights.probabilities(seen)), seen.events.tolist(), strict=True)
    return [
        _Trial(each, times, after, distribution, evidence)
        for (each, times), after, (distribution, evidence) in zip(tried, folded, rows, strict=True)
    ]


def _times(times: int, weights: bytes) -> bytes:
    """The packed weights of so many equal events at once."""
    return (times * np.frombuffer(weights, WEIGHT_TYPE)).tobytes()


def _flip(trial: _Trial, record: Record, weights: Weights, taxonomy: Taxonomy) -> Flip:
    persona, candidate = weights.classes[trial.likeliest], trial.candidate
    belief = Belief(
        trial.distribution, trial.evidence, weights.version, weights.threshold,
        weights.candidate_floor,
    )  # fmt: skip
    after = replace(record, label=None, counts=trial.counts)
    published = decide(after, belief, taxonomy, now=0) or record.published
    named = published is not None and published.current.persona == persona
    probability = max(trial.distribution) / MILLION
    what = candidate.kind, candidate.feature, candidate.value
    return Flip(persona, trial.times, *what, probability, named)


# --- candidates ---


def _candidates(
    counts: Counts, at: int, weights: Weights, taxonomy: Taxonomy, names: Names
) -> list[_Candidate]:
    """Events with the most telling tokens of each persona, each once."""
    tokenizer = _tokenizer(taxonomy)
    product = _nobodys(weights, tokenizer)
    found = []
    for slot, token in _telling(counts, weights, taxonomy, names, tokenizer).items():
        kind, event = _event(token, at, product, taxonomy.signals)
        tokens = tokenizer.tokenize(event)
        if slot in np.frombuffer(tokens.slots, SLOT_TYPE):
            found.append(_Candidate(kind, *token, tokens.slots, tokens.weights))
    return found


def _tokenizer(taxonomy: Taxonomy) -> Tokenizer:
    """One of its own, so that no query leaves names behind; it knows what the team has seeded."""
    tokenizer = Tokenizer(taxonomy)
    for persona in taxonomy.personas:
        for feature, values in persona.seeds.items():
            for value in values:
                tokenizer.slot(feature, value)
    return tokenizer


def _telling(
    counts: Counts, weights: Weights, taxonomy: Taxonomy, names: Names, tokenizer: Tokenizer
) -> dict[int, tuple[str, str]]:
    """Slot, feature and value of each persona's most telling tokens that can be named."""
    slots = weights.weighted_slots
    lead = _lead(slots, profiles([counts], taxonomy.features), weights)
    found: dict[int, tuple[str, str]] = {}
    for column in np.argsort(-lead, axis=0, kind="stable").T:
        named = (
            (slot, token)
            for slot in slots[column].tolist()
            for token in _made_of((*names.get(slot, ()), *tokenizer.names.tokens.get(slot, ())))
        )
        found.update(islice(named, MOST_TOKENS))
    return found


def _made_of(names: Iterable[str]) -> list[tuple[str, str]]:
    """The first of a slot's names that an event can be made of."""
    for name in names:
        feature, value = split(name)
        if feature in FEATURES and len(name) < MAX_NAME:  # else only its beginning is known
            return [(feature, value)]
    return []


def _lead(slots: Ints, profile: Profiles, weights: Weights) -> Floats:
    """By how much each token, alone, would lift each persona above all others: (slots, personas).

    In logits, after a typical number of events with it, when all else is diluted by them.
    """
    events = float(profile.events[0])
    held = np.zeros(SLOTS)
    held[profile.slots] = profile.shares
    before = held[slots] * events / (events + _TYPICAL)
    after = before + _TYPICAL / (events + _TYPICAL)
    middle, ends = np.searchsorted(slots, [COARSE_SLOTS]), np.array([0, len(slots)])

    def added(shares: Floats) -> Floats:
        alone = Profiles(ends, middle, slots, shares, np.array([events + _TYPICAL]))
        return weights.evidence(alone)[2]

    reached = weights.logits(profile) + added(after) - added(before)
    two = np.sort(reached, axis=1)[:, -2:]
    others = np.where(reached == two[:, 1:], two[:, :1], two[:, 1:])
    return np.asarray(reached - others)


def _nobodys(weights: Weights, tokenizer: Tokenizer) -> str:
    """The id of a product that the model knows nothing of, where products are read at all."""
    weighted = set(weights.weighted_slots.tolist())
    unknown = (each for each in _IDS if tokenizer.slot("product", each) not in weighted)
    return next(unknown, _IDS[0])


def _event(
    token: tuple[str, str], at: int, product: str, signals: Signals
) -> tuple[str, Behaviour]:
    """An event with a token, and its kind. An item is bought, if a purchase weighs most."""
    feature, value = token
    if feature == "query":
        return "browse", Browse("flip", "flip", at, "search", query=value)
    item = replace(Item(product), **{_FIELDS[feature]: value})
    if signals.purchase >= signals.view:
        return "purchase", Purchase("flip", "flip", at, (item,))
    return "browse", Browse("flip", "flip", at, "view", product=item)
