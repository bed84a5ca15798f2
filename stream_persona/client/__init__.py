"""For ranking services and consumers: which persona a shopper has now, and what to show them.

::

    from stream_persona.client import PersonaClient

    personas = PersonaClient("redis://localhost:6379/0")
    shopper = personas.get("CUST-04812")
    if shopper.persona is None:  # unknown, ambiguous, or Redis did not answer in time
        ...  # the baseline ranking
    personas.rank(items, "CUST-04812").order  # the same decision, made for you

A lookup needs ``redis`` and ``orjson`` alone, ``watch`` needs ``aiokafka`` as well. None of them
fails a request: one that can't be answered says so in ``fallback`` and is counted in ``fallbacks``.

**Cache.** With ``cache=10_000`` that many shoppers are kept in memory. The workers tell of every
change on a channel, which the client listens to from its first lookup on: what has changed is
forgotten at once, and while the channel is away nothing is kept. A connection that is dead without
saying so is found out after ``CHANNEL_SECONDS``, twice.

**Hold-out.** With ``holdout=0.1`` a tenth of the customers, always the same ones, keep the baseline
ranking, with the fallback ``holdout``. Compare what they buy with what the others do; ``salt``
draws them anew for the next experiment.
"""

from stream_persona.client.async_client import AsyncPersonaClient
from stream_persona.client.base import TIMEOUT, Options, Ranking
from stream_persona.client.models import (
    AMBIGUOUS,
    FALLBACKS,
    HOLDOUT,
    UNKNOWN,
    UNREACHABLE,
    UNREADABLE,
    Change,
    Shopper,
)
from stream_persona.client.ranking import Ranked, Reason
from stream_persona.client.sync_client import PersonaClient

__all__ = [
    "AMBIGUOUS", "FALLBACKS", "HOLDOUT", "TIMEOUT", "UNKNOWN", "UNREACHABLE", "UNREADABLE",
    "AsyncPersonaClient", "Change", "Options", "PersonaClient", "Ranked", "Ranking", "Reason",
    "Shopper",
]  # fmt: skip
