"""For ranking services and consumers: which persona a shopper has now, and what to show them.

::

    from stream_persona.client import PersonaClient

    personas = PersonaClient("redis://localhost:6379/0")
    shopper = personas.get("CUST-04812")
    if shopper.persona is None:  # unknown, ambiguous, or Redis did not answer in time
        ...  # the baseline ranking
    personas.rank(items, "CUST-04812").order  # the same decision, made for you

A lookup needs ``redis`` and ``orjson`` alone, ``watch`` needs ``aiokafka`` as well. No lookup and
no ranking fails a request: one without a persona has the reason in ``fallback`` and is counted in
``fallbacks``. What could be no customer's id (``None``, ``"undefined"``, a number) is ``unknown``
without a lookup, and an item that is none keeps its place.

**Cache.** With ``cache=10_000`` that many shoppers are kept in memory. The workers publish every
change on a channel, to which the client subscribes with its first lookup: a shopper that has
changed is dropped at once, and while there is no subscription nothing is kept. A dead connection
that was never closed is discovered after twice ``CHANNEL_SECONDS``.

**Own tastes.** With ``own=RECOMMENDED`` (0.7; ``BESIDE_BASKET``, 0.3, beside products in a basket)
a ranking also follows what the shopper buys more than others do (``own_tastes``), where the workers
keep that (``STREAM_PERSONA_TASTES``); ``own_fallbacks`` counts why it did not.
``ambiguous="mixture"`` ranks ambiguous shoppers by the mixture of their personas.

**Hold-out.** With ``holdout=0.1`` a tenth of the customers, always the same ones, keep the baseline
ranking, with the fallback ``holdout``. Compare what they buy with what the others do; another
``salt`` draws another tenth, for the next experiment.

To test code that uses a client, without a server, there is ``stream_persona.testing.client``.
"""

from stream_persona.client.async_client import AsyncPersonaClient
from stream_persona.client.base import TIMEOUT, Options
from stream_persona.client.decision import Ranking
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
from stream_persona.client.own_tastes import BESIDE_BASKET, RECOMMENDED
from stream_persona.client.ranking import Ranked, Reason
from stream_persona.client.sync_client import PersonaClient

__all__ = [
    "AMBIGUOUS", "BESIDE_BASKET", "FALLBACKS", "HOLDOUT", "RECOMMENDED", "TIMEOUT", "UNKNOWN",
    "UNREACHABLE", "UNREADABLE", "AsyncPersonaClient", "Change", "Options", "PersonaClient",
    "Ranked", "Ranking", "Reason", "Shopper",
]  # fmt: skip
