"""Waits until a shop is at rest: the model is the oracle's, and no more changes are published."""

import time

from stream_persona.domain.record import Record
from tests.chaos.verdict import Verdict
from tests.support.shop import Shop
from tests.support.waiting import eventually

#: Seconds for the model and the sweep to settle once all events are applied.
SETTLE = 120.0
#: Seconds without a new change after which a shop counts as still.
STILL = 4.0
#: Seconds after which an unchanged model that is not the oracle's is taken for final.
STUCK = 15.0


async def wait_until_still(shop: Shop, oracle: dict[str, Record], verdict: Verdict) -> None:
    """Wait until the published model is the oracle's, and no more changes are published."""
    expected = shop.weights_of(oracle)
    unchanged_for = Unchanged()

    async def settled() -> bool:
        version = await shop.weights()
        return version == expected or unchanged_for.seconds(version) > STUCK

    await eventually(settled, SETTLE, "the model never came to rest")
    if await shop.weights() != expected:
        verdict.add("model", "", "the published shards are at rest, and not the oracle's")
    await wait_until_quiet(shop)


class Unchanged:
    """Measures for how many seconds a value has been the same."""

    def __init__(self) -> None:
        self._last: object = None
        self._at = time.monotonic()

    def seconds(self, value: object) -> float:
        if value != self._last:
            self._last, self._at = value, time.monotonic()
        return time.monotonic() - self._at


async def wait_until_quiet(shop: Shop) -> None:
    """Wait until the topic of changes has not grown for ``STILL`` seconds."""
    unchanged_for = Unchanged()

    async def unchanged() -> bool:
        return unchanged_for.seconds(await shop.size(shop.settings.topic_changes)) > STILL

    await eventually(unchanged, SETTLE, "the sweep goes on publishing")
