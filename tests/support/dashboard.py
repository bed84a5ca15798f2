"""What tests of the dashboard's routes share: questions, waits, and shoppers to count."""

from __future__ import annotations

from typing import Any

import httpx

from stream_persona.domain.events import Browse, Event
from tests.support.api import NOW, basket
from tests.support.waiting import eventually

Json = dict[str, Any]


async def ask(client: httpx.AsyncClient, path: str) -> Json:
    """The answer to a GET that must succeed."""
    response = await client.get(path)
    assert response.status_code == 200, response.text
    found: Json = response.json()
    return found


async def becomes(client: httpx.AsyncClient, seconds: float = 30, **wanted: object) -> Json:
    """The overview, once it has these figures."""
    found: Json = {}

    async def same() -> bool:
        found.update(await ask(client, "/v1/overview"))
        return all(found[name] == value for name, value in wanted.items())

    try:
        await eventually(same, seconds)
    except AssertionError:
        raise AssertionError(f"expected {wanted}, got {found}") from None
    return found


async def has_findings(
    client: httpx.AsyncClient, *parts: str, seconds: float = 40, number: int = 1
) -> list[str]:
    """The sentences, once the overview has findings of exactly these parts, at least so many."""
    found: list[Json] = []

    async def same() -> bool:
        found[:] = (await ask(client, "/v1/overview"))["troubles"]
        least = number if parts else 0
        return {each["part"] for each in found} == set(parts) and len(found) >= least

    await eventually(same, seconds, f"expected {parts}, got {found}")
    return [each["message"] for each in found]


def population(number: int) -> list[Event]:
    """Shoppers who buy for children, for pets, or food."""
    tastes = ("baby/diapers", "pets/dog", "food")
    return [basket(f"e{n}", f"c{n:04}", *[tastes[n % 3]] * 5) for n in range(number)]


def searches(number: int, first: int = 0) -> list[Event]:
    """Searches of seven shoppers; their ids are numbered from ``first`` on."""
    return [
        Browse(f"b{n}", f"c{n % 7}", NOW + n, "search", query="shoes")
        for n in range(first, first + number)
    ]
