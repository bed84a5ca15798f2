"""Drift on a synthetic stream: how soon a persona changes, and how often it does by mistake.

The generator: eight personas, 64 categories, eight of them each persona's own. An event is one
purchase of one item; with probability ``OWN`` it is of an own category, else of any of the 64.
Events come every hour. A stream has one persona for 200 events and another for 200 more.

The exact Bayes filter knows these distributions, and that a persona changes with probability
``HAZARD`` at an event, but not when. ``OWN`` and ``HAZARD`` are such that it changes after 17 to 19
events (median) with about 5.4 false changes per 1,000 events where a lead of 0.2 is asked for.

Every label is decided by ``change.decide``, with a margin of 0.2 or without hysteresis. A flip to a
persona that is not the stream's at the time is a false one; the first 30 events are left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import Pool
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from stream_persona.domain.events import Item, Purchase
from stream_persona.domain.features import Counts, Observation, compute_profiles, fold
from stream_persona.domain.record import Record
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.calibration import fit_calibration
from stream_persona.model.calibration_panel import Member
from stream_persona.model.statistics import Sums, make_contribution
from stream_persona.model.weights import Weights
from stream_persona.pipeline.decision import Belief, decide, to_millionths
from tests.benchmarks.tasks import key_and_fold

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PERSONAS, CATEGORIES = 8, 64
OWN, HAZARD = 0.2, 0.009
STREAMS, EVENTS, DRIFT, WARM = 400, 400, 200, 30
LABELLED = 60
#: Half-lives in events; 0 is none.
HALF_LIVES = (20, 25, 30, 40, 80, 0)
MARGINS = {"hysteresis": 0.2, "no_hysteresis": 0.0}
NEVER = float("inf")

_HOUR = 3_600_000
_START = 1_735_689_600_000  # in the midst of an epoch of any of the half-lives


@dataclass
class Streams:
    """``personas`` and ``categories`` (streams, events)."""

    personas: Ints
    categories: Ints


def draw(rng: np.random.Generator, personas: Ints) -> Streams:
    """Categories bought by these personas (streams, events)."""
    each = CATEGORIES // PERSONAS
    own = personas * each + rng.integers(0, each, personas.shape)
    some = rng.integers(0, CATEGORIES, personas.shape)
    return Streams(personas, np.where(rng.random(personas.shape) < OWN, own, some))


def draw_drifting(rng: np.random.Generator) -> Streams:
    """Streams whose persona becomes another after ``DRIFT`` events."""
    first = rng.integers(0, PERSONAS, STREAMS)
    second = (first + rng.integers(1, PERSONAS, STREAMS)) % PERSONAS
    return draw(rng, np.where(np.arange(EVENTS) < DRIFT, first[:, None], second[:, None]))


def shop(half_life: int, margin: float) -> Taxonomy:
    """A taxonomy whose half-life is so many events and whose labels need such a lead."""
    features = {"half_life_days": half_life / 24 or 3_650.0, "fields": ["category"]}
    policy = {"min_confidence": 0.0, "min_evidence": 0.0, "switch_margin": margin}
    personas = [{"name": f"persona-{i}"} for i in range(PERSONAS)]
    fields = {"persona": personas, "features": features, "policy": policy}
    return Taxonomy.model_validate(fields)


# --- posteriors, one (streams, personas) after each event ---


def filter_exactly(streams: Streams) -> Iterator[Floats]:
    """Yield those of the exact Bayes filter."""
    rows = np.arange(len(streams.categories))
    likely = np.full((CATEGORIES, PERSONAS), (1 - OWN) / CATEGORIES)
    likely[np.arange(CATEGORIES), np.arange(CATEGORIES) * PERSONAS // CATEGORIES] += (
        OWN * PERSONAS / CATEGORIES
    )
    p = np.full((len(rows), PERSONAS), 1 / PERSONAS)
    for categories in streams.categories.T:
        p = p * (1 - HAZARD) + (1 - p) * HAZARD / (PERSONAS - 1)
        p *= likely[categories]
        p /= p.sum(axis=1, keepdims=True)
        yield p


def fold_events(streams: Streams, taxonomy: Taxonomy) -> Iterator[list[Counts]]:
    """Yield the counts of each stream after each event."""
    tokenizer = Tokenizer(taxonomy)
    tokens = [
        tokenizer.tokenize(Purchase("p", "c", 0, (Item("i", category=f"category-{i}"),)))
        for i in range(CATEGORIES)
    ]
    counts: Sequence[Counts] = [Counts.empty() for _ in streams.categories]
    for number, categories in enumerate(streams.categories.T.tolist()):
        at = _START + number * _HOUR
        observed = [
            Observation(row, at, tokens[i].slots, tokens[i].weights)
            for row, i in enumerate(categories)
        ]
        counts = fold(counts, observed, taxonomy.features)
        yield list(counts)


def learn(taxonomy: Taxonomy, rng: np.random.Generator) -> Weights:
    """Fit weights to labelled customers that never drift."""
    personas = np.repeat(np.arange(PERSONAS), LABELLED)
    streams = draw(rng, np.repeat(personas[:, None], EVENTS, axis=1))
    *_, last = fold_events(streams, taxonomy)
    seen, sums, panel = compute_profiles(last, taxonomy.features), Sums(), []
    for row, persona in enumerate(personas.tolist()):
        key, part = key_and_fold(f"customer-{row}")
        panel.append(Member(key, part, taxonomy.names[persona], seen.select_row(row)))
        sums.add(make_contribution(seen.select_row(row), part), taxonomy.names[persona])
    stacked = sums.stack(taxonomy.names)
    return fit_calibration(panel, stacked, taxonomy.names).derive_weights(stacked, taxonomy.names)


def predict(streams: Streams, taxonomy: Taxonomy, weights: Weights) -> Iterator[Floats]:
    """Yield those of the additive classifier."""
    for counts in fold_events(streams, taxonomy):
        yield weights.predict_probabilities(compute_profiles(counts, taxonomy.features))


# --- labels, and when they change ---


def decide_labels(posteriors: Sequence[Floats], taxonomy: Taxonomy) -> Ints:
    """Return the persona's number that ``decide`` names after each event, (streams, events)."""
    number = {name: i for i, name in enumerate(taxonomy.names)}
    found = np.zeros((len(posteriors[0]), len(posteriors)), np.int64)
    for stream in range(len(found)):
        record = Record()
        for event, p in enumerate(posteriors):
            belief = Belief(to_millionths(p[stream : stream + 1])[0], event + 1.0, "")
            published = decide(record, belief, taxonomy, 0)
            record = record if published is None else replace(record, published=published)
            assert record.published is not None
            assert record.published.current.persona is not None
            found[stream, event] = number[record.published.current.persona]
    return found


def evaluate(streams: Streams, named: Ints) -> dict[str, float]:
    """Return the median of events until the change, the share without it, false ones per 1,000."""
    changes = np.diff(named, axis=1) != 0
    wrong = changes & (named != streams.personas)[:, 1:]
    right = (named == streams.personas)[:, DRIFT:]
    delays = np.where(right.any(axis=1), right.argmax(axis=1) + 1.0, NEVER)
    return {
        "median_events_to_flip": float(np.median(delays)),
        "never": float(np.isinf(delays).mean()),
        "false_flips_per_1000": 1_000 * float(wrong[:, WARM:].mean()),
    }


def measure(half_life: int | None, seed: int) -> dict[str, dict[str, float]]:
    """With and without hysteresis; None is the Bayes filter."""
    rng = np.random.default_rng(seed)
    streams = draw_drifting(rng)
    if half_life is None:
        posteriors = list(filter_exactly(streams))
    else:
        taxonomy = shop(half_life, 0.0)
        posteriors = list(predict(streams, taxonomy, learn(taxonomy, rng)))
    return {
        name: evaluate(streams, decide_labels(posteriors, shop(half_life or 0, margin)))
        for name, margin in MARGINS.items()
    }


def run(pool: Pool, seed: int = 0) -> dict[str, Any]:
    """The report: the Bayes filter and each half-life."""
    names = ["bayes_filter", *(f"half_life_{h}" if h else "no_decay" for h in HALF_LIVES)]
    found = pool.map(partial(measure, seed=seed), (None, *HALF_LIVES), chunksize=1)
    return dict(zip(names, found, strict=True))
