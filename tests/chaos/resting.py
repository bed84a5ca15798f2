"""When a shop is at rest: the model is what it should be, and nobody says anything more."""

import time

from stream_persona.domain.record import Record
from tests.chaos.verdict import Verdict
from tests.support.shop import Shop
from tests.support.waiting import eventually

#: Seconds for the model and the sweep to settle once all events are applied.
SETTLE = 120.0
#: Seconds in which nothing may be said any more before a shop counts as still.
STILL = 4.0
#: Seconds after which a model that has not moved and is not the oracle's never will be.
STUCK = 15.0


async def still(shop: Shop, oracle: dict[str, Record], verdict: Verdict) -> None:
    """Wait until the published model is the oracle's, and nothing more is said."""
    expected = shop.weights_of(oracle)
    calm = Calm()

    async def settled() -> bool:
        version = await shop.weights()
        return version == expected or calm.since(version) > STUCK

    await eventually(settled, SETTLE, "the model never came to rest")
    if await shop.weights() != expected:
        verdict.add("model", "", "the published parts are at rest, and not the oracle's")
    await quiet(shop)


class Calm:
    """For how many seconds something has been the same."""

    def __init__(self) -> None:
        self._last: object = None
        self._at = time.monotonic()

    def since(self, value: object) -> float:
        if value != self._last:
            self._last, self._at = value, time.monotonic()
        return time.monotonic() - self._at


async def quiet(shop: Shop) -> None:
    """Wait until the topic of changes has not grown for ``STILL`` seconds."""
    calm = Calm()

    async def unchanged() -> bool:
        return calm.since(await shop.size(shop.settings.topic_changes)) > STILL

    await eventually(unchanged, SETTLE, "the sweep goes on speaking")
