"""Stubs of the clients: what your ranker or consumer is given in its tests.

>>> from stream_persona.testing.client import StubPersonaClient
>>> personas = StubPersonaClient()
>>> personas.set("C-1", "parent", confidence=0.9)
>>> personas.set_affinities("parent", {"category:baby": 4.0})

A ranker asks it as it asks the real client:

>>> items = [{"product_id": "P-1", "score": 1.0},
...          {"product_id": "P-2", "category": "baby/diapers", "score": 0.5}]
>>> [item["product_id"] for item in personas.rank(items, "C-1").order]
['P-2', 'P-1']
>>> personas.rank(items, "C-2").fallback
'unknown'

Own tastes are asked for by their strength, beside the persona's or without one:

>>> personas.set_tastes("C-3", {"category:baby": 0.5}, events=20.0)
>>> personas.set_common({"category:baby": 0.05})
>>> [item["product_id"] for item in personas.rank(items, "C-3", own=0.5).order]
['P-2', 'P-1']

Redis is away, and every shopper gets the baseline:

>>> personas.fail()
>>> personas.get("C-1").fallback
'unreachable'
>>> dict(personas.fallbacks)
{'unknown': 2, 'unreachable': 1}

A consumer watches changes, each once; unlike the real client's, this iterator ends:

>>> personas.forget("C-1")
>>> [(change.persona, change.deleted) for change in personas.watch()]
[('parent', False), (None, True)]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_persona.client import AsyncPersonaClient, Options, PersonaClient
from stream_persona.testing.shoppers import StubShoppers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
    from typing import Unpack

    from stream_persona.client import Change
    from stream_persona.client.renewal import Renewal

#: An address at which nothing listens; no stub connects to any.
_NOWHERE: Final = "redis://127.0.0.1:1/0"


class StubPersonaClient(StubShoppers, PersonaClient):
    """A ``PersonaClient`` with the shoppers that a test gives it; see ``StubShoppers``.

    It takes the arguments of the real one, and connects to nothing. It caches nothing, so that what
    a test sets holds from the next call on.
    """

    def __init__(self, url: str = _NOWHERE, **options: Unpack[Options]) -> None:
        options["cache"] = 0
        PersonaClient.__init__(self, url, **options)
        StubShoppers.__init__(self)

    def watch(
        self,
        brokers: str = "",  # noqa: ARG002 - there is none
        topic: str = "",  # noqa: ARG002
        *,
        group: str | None = None,  # noqa: ARG002
        from_beginning: bool = False,
        connection: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Iterator[Change]:
        """Yield the changes that no call has yielded yet, or all, and end after the last."""
        return self._stub_changes(from_beginning=from_beginning)

    def _read_records(self, customer_ids: Sequence[str]) -> Sequence[bytes | None]:
        return self._stub_records(customer_ids)

    def _read_affinities(self, personas: Sequence[str]) -> Sequence[dict[Any, Any]]:
        return self._stub_affinities(personas)

    def _renew(
        self, renewal: Renewal[Any], load: Callable[[Sequence[str]], None], wanted: Sequence[str]
    ) -> None:
        load(renewal.list_parts(wanted))

    def _read_tastes(self, customer_id: str) -> bytes | None:
        return self._stub_tastes(customer_id)

    def _read_common(self) -> dict[Any, Any]:
        return self._stub_common()


class StubAsyncPersonaClient(StubShoppers, AsyncPersonaClient):
    """The same for an ``AsyncPersonaClient``."""

    def __init__(self, url: str = _NOWHERE, **options: Unpack[Options]) -> None:
        options["cache"] = 0
        AsyncPersonaClient.__init__(self, url, **options)
        StubShoppers.__init__(self)

    async def watch(
        self,
        brokers: str = "",  # noqa: ARG002 - there is none
        topic: str = "",  # noqa: ARG002
        *,
        group: str | None = None,  # noqa: ARG002
        from_beginning: bool = False,
        connection: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> AsyncIterator[Change]:
        """Yield the changes that no call has yielded yet, or all, and end after the last."""
        for change in self._stub_changes(from_beginning=from_beginning):
            yield change

    async def _read_records(self, customer_ids: Sequence[str]) -> Sequence[bytes | None]:
        return self._stub_records(customer_ids)

    async def _read_affinities(self, personas: Sequence[str]) -> Sequence[dict[Any, Any]]:
        return self._stub_affinities(personas)

    async def _renew(
        self,
        renewal: Renewal[Any],
        load: Callable[[Sequence[str]], Coroutine[Any, Any, None]],
        wanted: Sequence[str],
    ) -> None:
        await load(renewal.list_parts(wanted))

    async def _read_tastes(self, customer_id: str) -> bytes | None:
        return self._stub_tastes(customer_id)

    async def _read_common(self) -> dict[Any, Any]:
        return self._stub_common()
