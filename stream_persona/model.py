"""The classifier: additive sums over labelled customers, and weights derived from them.

Each labelled customer contributes once, as a bounded profile, in exact integers (units of
2**-20): learning adds it, unlearning subtracts it, models merge by adding. Weights are a pure
function of the sums, scores are integer sums over tokens, so a prediction does not depend on
the order of anything, on the split over workers or on the company it is computed in.

Three views of the same tokens speak (MODEL in the notes of ``CONTRIBUTING.md``): shares of all
tokens against a smoothed multinomial with shrunken log-ratios, and a linear discriminant with
shrunken centroids (Tibshirani, Hastie, Narasimhan, Chu, PNAS 2002; shrinkage after James and
Stein, 1961) on log(1 + 200 q), for coarse and for fine tokens apart.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from river import base

from stream_persona.features import MAX_EVENTS, SCALE, Profiles, log_share
from stream_persona.tokens import COARSE_SLOTS, EVENTS, SLOTS, slot_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from stream_persona.taxonomy import Taxonomy

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: How evidence of n events speaks, per view: exp(a) * n / (n + exp(b)).
GAINS: Final = ((-0.4, 0.2), (-1.4, 4.6), (-2.9, 0.1))
#: A token counts once so many labelled customers have it.
MIN_SUPPORT: Final = 3
_SMOOTHING: Final = 20.0
_SEED_SHARE: Final = 0.1
_MOST_WEIGHT: Final = 128.0
#: Rows of a class's sums: customers that have the token, then the four moments.
_COUNT, _E, _E2, _P, _P2 = range(5)


@dataclass(slots=True)
class Contribution:
    """What one labelled customer adds: sorted slots and five integers for each."""

    events: int
    slots: Ints
    moments: Ints  # (5, slots)


def contribution(profile: Profiles) -> Contribution:
    """The contribution of a profile of one row; a pure function of it."""
    events = float(min(profile.events[0], MAX_EVENTS))
    shares = profile.shares[1:]  # slot 0 counts the events themselves
    e = np.rint(shares * events * SCALE).astype(np.int64)
    p = np.rint(log_share(shares) * SCALE).astype(np.int64)
    moments = np.stack([np.ones_like(e), e, e * e // SCALE, p, p * p // SCALE])
    return Contribution(round(events * SCALE), profile.slots[1:], moments)


class _Sums:
    """Of one class: customers, their bounded events, and five sums per slot."""

    __slots__ = ("customers", "events", "moments")

    def __init__(self) -> None:
        self.customers = 0
        self.events = 0
        self.moments = np.zeros((5, SLOTS), np.int64)

    def add(self, part: Contribution, sign: int) -> None:
        self.customers += sign
        self.events += sign * part.events
        self.moments[:, part.slots] += sign * part.moments


@dataclass(frozen=True, slots=True)
class Weights:
    """What predictions need, derived from a model's sums; immutable.

    ``index`` maps a slot to its row in ``shares_w`` and ``logs_w`` (tokens, classes; integers in
    2**-20), -1 where the token has no weight. ``offsets`` (2, classes) are the discriminants'
    constants for coarse and fine tokens, ``log_prior`` (classes,).
    """

    classes: tuple[str, ...]
    index: NDArray[np.int32]
    shares_w: Ints
    logs_w: Ints
    offsets: Floats
    log_prior: Floats
    customers: int
    version: str

    def logits(self, profiles: Profiles) -> Floats:
        """Unnormalised log-probabilities, (rows, classes)."""
        views = self._views(profiles)
        return np.asarray(self.log_prior + (gains(profiles.events)[:, :, None] * views).sum(axis=0))

    def _views(self, profiles: Profiles) -> Floats:
        """The three views' scores, (3, rows, classes), summed as integers: exact in any order."""
        position = self.index[profiles.slots]
        kept = position >= 0
        before = np.concatenate(([0], np.cumsum(kept)))
        starts, middles = before[profiles.starts], before[profiles.middles]
        shares, position = profiles.shares[kept], position[kept]
        q = np.rint(shares * SCALE).astype(np.int64)[:, None]
        p = np.rint(log_share(shares) * SCALE).astype(np.int64)[:, None]
        first = _running(q * self.shares_w[position])
        second = _running(p * self.logs_w[position])
        unit = float(SCALE) ** 2
        return np.stack([
            (first[starts[1:]] - first[starts[:-1]]) / unit,
            (second[middles] - second[starts[:-1]]) / unit + self.offsets[0],
            (second[starts[1:]] - second[middles]) / unit + self.offsets[1],
        ])  # fmt: skip

    def probabilities(self, profiles: Profiles) -> Floats:
        """Posterior over ``classes``, (rows, classes); each row sums to 1."""
        logits = self.logits(profiles)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def evidence(self, profile: Profiles) -> tuple[Ints, Floats]:
        """Of a profile of one row, its slots and what each adds to the logits (tokens, classes)."""
        position = self.index[profile.slots]
        kept = position >= 0
        slots, shares, position = profile.slots[kept], profile.shares[kept], position[kept]
        gain = gains(profile.events)[:, 0]
        q = np.rint(shares * SCALE)[:, None] / SCALE
        p = np.rint(log_share(shares) * SCALE)[:, None] / SCALE
        view = np.where(slots < COARSE_SLOTS, gain[1], gain[2])[:, None]
        return slots, (
            gain[0] * q * (self.shares_w[position] / SCALE)
            + view * p * (self.logs_w[position] / SCALE)
        )

    def constants(self, profile: Profiles) -> Floats:
        """What the discriminants' constants add to the logits of a profile of one row."""
        gain = gains(profile.events)[:, 0]
        return np.asarray(gain[1] * self.offsets[0] + gain[2] * self.offsets[1])


def gains(events: Floats) -> Floats:
    """How loudly each view speaks after n events, (3, rows)."""
    a, b = np.exp(np.array(GAINS)).T[:, :, None]
    return np.asarray(a * events / (events + b))


def _running(values: Ints) -> Ints:
    return np.concatenate((np.zeros((1, values.shape[1]), np.int64), np.cumsum(values, axis=0)))


class PersonaClassifier(base.MiniBatchClassifier):
    """An additive classifier over decayed token counts; a River estimator.

    ``x`` maps tokens (``field:value``) or slots to decayed counts; the key ``events`` holds the
    effective number of events (the largest count when it is missing).

    >>> model = PersonaClassifier()
    >>> for _ in range(5):
    ...     model.learn_one({"events": 3, "category:baby": 3}, "parent")
    ...     model.learn_one({"events": 3, "category:tools": 2}, "builder")
    >>> model.predict_one({"events": 2, "category:baby": 1})
    'parent'
    >>> model.unlearn_one({"events": 3, "category:baby": 3}, "parent")
    """

    def __init__(self) -> None:
        self._sums: dict[str, _Sums] = {}
        self._weights: Weights | None = None

    @property
    def customers(self) -> int:
        """Labelled customers learned."""
        return sum(part.customers for part in self._sums.values())

    def labels(self) -> dict[str, int]:
        """Labelled customers of each class that has any."""
        return {y: part.customers for y, part in sorted(self._sums.items()) if part.customers}

    def learn_one(self, x: Mapping[Any, float], y: Any, **_: Any) -> None:
        """Add one customer."""
        self.add(contribution(profile_of(x)), y)

    def unlearn_one(self, x: Mapping[Any, float], y: Any) -> None:
        """Take one customer out again, exactly."""
        self.add(contribution(profile_of(x)), y, -1)

    def learn_many(self, X: Any, y: Any) -> None:  # noqa: N803 - River's name
        """Add the customers in the rows of a DataFrame."""
        for row, label in zip(X.to_dict("records"), y, strict=True):
            self.learn_one(row, label)

    def predict_proba_one(self, x: Mapping[Any, float], **_: Any) -> dict[Any, float]:
        """The posterior over the classes seen; empty before the first."""
        weights = self.weights()
        if not weights.classes:
            return {}
        row = weights.probabilities(profile_of(x))[0]
        return dict(zip(weights.classes, row.tolist(), strict=True))

    def predict_proba_many(self, X: Any) -> Any:  # noqa: N803 - River's name
        """The posteriors of the rows of a DataFrame."""
        rows = [self.predict_proba_one(row) for row in X.to_dict("records")]
        return type(X)(rows, index=X.index)

    def add(self, part: Contribution, y: Any, sign: int = 1) -> None:
        """Add a contribution of class ``y``, or subtract it with ``sign`` -1."""
        if y not in self._sums:
            self._sums[y] = _Sums()
        self._sums[y].add(part, sign)
        self._weights = None

    def merge(self, other: PersonaClassifier) -> None:
        """Add another model's sums to this one's."""
        for y, part in other._sums.items():
            mine = self._sums.setdefault(y, _Sums())
            mine.customers += part.customers
            mine.events += part.events
            mine.moments += part.moments
        self._weights = None

    def weights(self) -> Weights:
        """The weights of the present sums over the classes seen (kept until they change)."""
        if self._weights is None:
            self._weights = derive(self, sorted((y for y in self.labels()), key=str))
        return self._weights

    def canonical(self) -> bytes:
        """Equal sums give equal bytes, whatever was learned and unlearned, in any order."""
        parts = []
        for y in sorted(self._sums, key=str):
            sums = self._sums[y]
            slots = np.flatnonzero(sums.moments[_COUNT])
            if not (sums.customers or len(slots)):
                continue
            name = str(y).encode()
            head = np.array([len(name), sums.customers, sums.events, len(slots)], "<i8")
            moments = np.ascontiguousarray(sums.moments[:, slots]).astype("<i8")
            parts += [head.tobytes(), name, slots.astype("<i8").tobytes(), moments.tobytes()]
        return b"".join(parts)

    def to_bytes(self) -> bytes:
        """The canonical bytes, compressed."""
        return self.compress(self.canonical())

    @staticmethod
    def compress(canonical: bytes) -> bytes:
        """Canonical bytes, small: ``from_bytes`` reads them."""
        return zlib.compress(canonical, 1)

    @classmethod
    def from_bytes(cls, blob: bytes) -> PersonaClassifier:
        """The model that ``to_bytes`` gave."""
        raw, at, model = zlib.decompress(blob), 0, cls()
        while at < len(raw):
            length, customers, events, count = np.frombuffer(raw, "<i8", 4, at).tolist()
            name, at = raw[at + 32 : at + 32 + length].decode(), at + 32 + length
            numbers = np.frombuffer(raw, "<i8", 6 * count, at).reshape(6, count)
            sums = model._sums[name] = _Sums()
            sums.customers, sums.events = customers, events
            sums.moments[:, numbers[0]] = numbers[1:]
            at += 48 * count
        return model

    def stacked(self, classes: Sequence[str]) -> tuple[Floats, Floats, Ints]:
        """Customers (C,), events (C,) and moments (5, C, slots) of ``classes``."""
        none = _Sums()
        sums = [self._sums.get(y, none) for y in classes]
        customers = np.array([s.customers for s in sums], np.float64)
        events = np.array([s.events for s in sums], np.float64) / SCALE
        return customers, events, np.stack([s.moments for s in sums], axis=1)


def profile_of(x: Mapping[Any, float]) -> Profiles:
    """The profile of a mapping from tokens (text, read as coarse) or slots to counts."""
    counts: dict[int, float] = {}
    for key, value in x.items():
        if key != "events" and value > 0:
            slot = key if isinstance(key, int) else slot_of(str(key), fine=False)
            counts[slot] = counts.get(slot, 0.0) + float(value)
    events = max(float(x.get("events", max(counts.values(), default=0.0))), 1e-9)
    slots = np.array([EVENTS, *sorted(counts)], np.int64)
    shares = np.array([1.0, *(counts[slot] / events for slot in slots[1:].tolist())])
    middle = np.searchsorted(slots, [COARSE_SLOTS])
    return Profiles(np.array([0, len(slots)]), middle, slots, shares, np.array([events]))


def seeds(taxonomy: Taxonomy, fine: Iterable[str] = ()) -> PersonaClassifier:
    """A model of a few imagined customers per seeded persona, so that a shop can start."""
    model, fine = PersonaClassifier(), frozenset(fine or taxonomy.features.fine)
    for persona in taxonomy.personas:
        slots = {
            slot_of(f"{name}:{value}", fine=name in fine or name.partition(".")[0] in fine)
            for name, values in persona.seeds.items()
            for value in values
        }
        if not slots:
            continue
        e = round(MAX_EVENTS * _SEED_SHARE * SCALE)
        # Pseudo-counts speak in the multinomial view only: they know nothing of spread.
        moments = np.tile(np.array([[1], [e], [e * e // SCALE], [0], [0]]), len(slots))
        part = Contribution(round(MAX_EVENTS * SCALE), np.array(sorted(slots)), moments)
        for _ in range(taxonomy.policy.seed_customers):
            model.add(part, persona.name)
    return model


def derive(
    model: PersonaClassifier, classes: Sequence[str], prior: PersonaClassifier | None = None
) -> Weights:
    """Weights over ``classes`` from a model's sums; ``prior`` adds pseudo-counts (``seeds``)."""
    customers, events, moments = model.stacked(classes or ("",))
    support = moments[_COUNT].sum(axis=0)
    shares, total = moments[[_COUNT, _E, _E2]], customers
    if prior is not None:
        extra, extra_events, seeded = prior.stacked(classes or ("",))
        support = support + MIN_SUPPORT * seeded[_COUNT].sum(axis=0)
        shares, total, events = shares + seeded[:3], customers + extra, events + extra_events
    active = np.flatnonzero(support >= MIN_SUPPORT)
    logs_w, offsets = _discriminants(customers, moments[:, :, active] / SCALE, active)
    index = np.full(SLOTS, -1, np.int32)
    index[active] = np.arange(len(active), dtype=np.int32)
    return Weights(
        classes=tuple(classes),
        index=index,
        shares_w=_fixed(_multinomial(total, events, shares[:, :, active] / SCALE)),
        logs_w=_fixed(logs_w),
        offsets=offsets,
        log_prior=np.log((total + 1) / (total.sum() + len(total)))[: len(classes)],
        customers=int(customers.sum()),
        version=hashlib.blake2b(model.canonical(), digest_size=6).hexdigest(),
    )


def _fixed(weights: Floats) -> Ints:
    return np.ascontiguousarray(np.rint(weights.T * SCALE).astype(np.int64))


def _multinomial(customers: Floats, events: Floats, moments: Floats) -> Floats:
    """Shrunken log-ratios of each class's smoothed share to the common one, (C, tokens)."""
    e, e2 = moments[1], moments[2]
    if not customers.sum():
        return np.zeros_like(e)
    common = (e.sum(axis=0) + 0.5) / (events.sum() + 1.0)
    ratio = np.log((e + _SMOOTHING * common) / (events[:, None] + _SMOOTHING) / common)
    number = np.maximum(customers, 1)[:, None]
    mean = e / number
    variance = np.maximum(e2 / number - mean**2, 1e-12)
    noise = variance / number / np.maximum(mean, 1e-6) ** 2
    shrunk = ratio * np.maximum(0.0, 1.0 - noise / np.maximum(ratio**2, 1e-9))
    return np.where(customers[:, None] > 0, shrunk, 0.0)


def _discriminants(customers: Floats, moments: Floats, slots: Ints) -> tuple[Floats, Floats]:
    """Weights (C, tokens) and constants (2, C) of the linear discriminants on log(1 + 200 q)."""
    p, p2 = moments[3], moments[4]
    total, classes = customers.sum(), int((customers > 0).sum())
    if total <= classes or classes < 2:  # noqa: PLR2004 - nothing to tell apart
        return np.zeros_like(p), np.zeros((2, len(customers)))
    number = np.maximum(customers, 1)[:, None]
    mean, centre = p.sum(axis=0) / total, p / number
    within = p2.sum(axis=0) - (number * centre**2).sum(axis=0)
    deviation = np.sqrt(np.maximum(within / (total - classes), 1e-5))
    spread = deviation.copy()
    coarse = slots < COARSE_SLOTS
    for view in (coarse, ~coarse):
        if view.any():
            spread[view] += 0.5 * np.median(deviation[view])
    standard_error = np.sqrt(np.maximum(1 / number - 1 / total, 1e-9)) * spread
    shift = centre - mean
    shift *= np.maximum(0.0, 1.0 - standard_error**2 / np.maximum(shift**2, 1e-18))
    shift[customers == 0] = 0.0
    # Bounded, so that integer scores can't overflow where a token never varies.
    weights = np.clip(shift / spread**2, -_MOST_WEIGHT, _MOST_WEIGHT)
    constant = weights * (mean + shift / 2)
    return weights, -np.stack([constant[:, view].sum(axis=1) for view in (coarse, ~coarse)])
