"""One lookup of several customers: cached shoppers, those to read from Redis, the answers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from stream_persona.client.models import UNREACHABLE, Shopper, parse_shopper
from stream_persona.domain.identity import NOBODY_IDS, is_customer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_persona.client.cache import ShopperCache
    from stream_persona.domain.identity import NobodyIds


#: Holds the place of a customer until the answer comes.
_PENDING: Final = Shopper("", fallback=UNREACHABLE)


class Lookup:
    """A context manager around the question to Redis.

    Within it ``missing`` are the customers to ask for, and ``answer`` takes their records. At its
    end, also by an exception, the cache is given the answers; ``shoppers`` then has all of them,
    those without an answer as ``unreachable``. What could not be a customer's id, or is one of
    ``nobody``, is ``unknown`` without a question.
    """

    def __init__(
        self,
        customer_ids: Iterable[str],
        cache: ShopperCache | None,
        nobody: NobodyIds = NOBODY_IDS,
    ) -> None:
        self._cache = cache
        self._began: list[int] = []
        self._is_answered = False
        self.missing: list[str] = []
        self.shoppers: dict[str, Shopper] = {}
        for customer in _drop_repeated(customer_ids):
            if not is_customer(customer, nobody):
                self.shoppers[customer] = Shopper(customer)
                continue
            shopper = None if cache is None else cache.get(customer)
            if shopper is None:
                self.missing.append(customer)
            self.shoppers[customer] = shopper or _PENDING

    def answer(self, records: Sequence[bytes | None]) -> None:
        """Take the public records of the ``missing`` customers, in their order."""
        for customer, record in zip(self.missing, records, strict=True):
            self.shoppers[customer] = parse_shopper(customer, record)
        self._is_answered = True

    def __enter__(self) -> Self:
        if self._cache is not None:
            self._began = [self._cache.begin_lookup(customer) for customer in self.missing]
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_answered:
            for customer in self.missing:
                self.shoppers[customer] = Shopper(customer, fallback=UNREACHABLE)
        if self._cache is not None:
            for began, customer in zip(self._began, self.missing, strict=True):
                self._cache.end_lookup(began, self.shoppers[customer])


def as_list(given: Iterable[Any]) -> list[Any]:
    """Return what was given; an empty list for what is no collection, such as None."""
    return list(given) if hasattr(given, "__iter__") else []


def _drop_repeated(customer_ids: Iterable[str]) -> list[str]:
    """Return each id once; what cannot be a key is left out."""
    found: dict[str, None] = {}
    for customer in as_list(customer_ids):
        with suppress(TypeError):
            found[customer] = None
    return list(found)
