"""An hour that a dashboard can draw, as if the shop had been open for so long already."""

import math
import random
import time

import msgspec

from stream_persona.api.dashboard.history import STEP_MS, Sample, Snapshot, find_bucket
from stream_persona.domain.taxonomy import load
from stream_persona.settings import Settings
from stream_persona.store.redis import RedisTables

#: Samples of an hour, but for its last minutes: a gap must be drawable too.
SAMPLES, GAP = 360, 8
CHALLENGER = "river.naive_bayes:MultinomialNB"


async def remember_an_hour(settings: Settings) -> None:
    """Write samples up to a little ago; there may be none yet."""
    names, rng = load(settings.taxonomy).names, random.Random(5)
    tables = RedisTables.connect(settings.redis_url, settings.prefix)
    end = find_bucket(time.time_ns() // 1_000_000) - GAP * STEP_MS
    for number in range(SAMPLES):
        at = end - (SAMPLES - number) * STEP_MS
        await tables.add_sample(at, msgspec.json.encode(sample(number / SAMPLES, names, rng)))
    await tables.close()


def sample(share: float, names: tuple[str, ...], rng: random.Random) -> Sample:
    """The key figures after a share of the hour: more shoppers, and fewer of them ambiguous."""
    sizes = [9 + 8 * share + 2.5 * math.sin(9 * share + index) for index in range(len(names))]
    mix = {name: round(size) for name, size in zip(names, sizes, strict=True)}
    ambiguous = round(60 - 36 * share + 3 * math.sin(20 * share))
    loss = 0.85 + 0.9 * math.exp(-4 * share) + rng.uniform(-0.03, 0.03)
    snapshot = Snapshot(
        mix=mix,
        ambiguous=ambiguous,
        shoppers=ambiguous + sum(mix.values()),
        events_per_second=22 + 9 * math.sin(7 * share) + rng.uniform(0, 6),
        lag_events=rng.choice([0, 0, 0, 3, 12]),
        change_p99_ms=rng.uniform(40, 90),
        log_loss=loss,
        prior_log_loss=2.05,
        accuracy=1 - loss / 2.6,
        challengers={CHALLENGER: loss + 0.5 + rng.uniform(-0.05, 0.05)},
    )
    return Sample(snapshot, changes=rng.randrange(6, 30), flows=flows(names, rng))


def flows(names: tuple[str, ...], rng: random.Random) -> dict[str, int]:
    """A few shoppers on their way, by ``from:to``, most of them from ambiguous."""
    there = rng.choice(names[::2])
    back = rng.choice(names[1::2])
    return {f":{there}": rng.randrange(1, 4), f"{there}:{back}": 1, f"{back}:": 1}
