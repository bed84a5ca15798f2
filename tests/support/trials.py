"""Trials of models: the persona that was assigned, and what had been predicted before."""

import math
import random

NAMES = tuple("abcdefg")

Trials = list[tuple[str, list[float]]]


def shoppers(seed: int, count: int, *, sharpness: float = 1.5, until: float = math.inf) -> Trials:
    """Trials of a calibrated model; from ``until`` on the truth has nothing to do with it."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        odds = [math.exp(rng.gauss(0, sharpness)) for _ in NAMES]
        row = [each / sum(odds) for each in odds]
        truth = rng.choices(NAMES, row if number < until else None)[0]
        made.append((truth, row))
    return made
