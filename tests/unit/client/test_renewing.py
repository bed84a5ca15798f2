"""Affinities that several shoppers share, with the reads of a stub and a clock of the test's."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from stream_persona.client import UNREACHABLE, AsyncPersonaClient, PersonaClient, Ranking
from stream_persona.client.renewal import RENEWAL_SECONDS
from stream_persona.testing.shoppers import StubShoppers
from tests.support.waiting import eventually

ITEM = {"product_id": "P-1", "category": "games", "score": 1.0}


class Renewing(StubShoppers):
    """What is asked of Redis, and by a clock that a test moves; renewed as the client does it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.is_away = False
        self.asked: list[tuple[str, ...]] = []

    def give(self, personas: Sequence[str]) -> list[dict[Any, Any]]:
        if self.is_away:
            raise RedisConnectionError
        self.asked.append(tuple(personas))
        return self._stub_affinities(personas)


class Blocking(Renewing, PersonaClient):
    def __init__(self) -> None:
        PersonaClient.__init__(self, "redis://127.0.0.1:1", clock=lambda: self.now)
        Renewing.__init__(self)

    now = 0.0

    def _read_records(self, customer_ids: Sequence[str]) -> Sequence[bytes | None]:
        return self._stub_records(customer_ids)

    def _read_affinities(self, personas: Sequence[str]) -> Sequence[dict[Any, Any]]:
        return self.give(personas)


class Waiting(Renewing, AsyncPersonaClient):
    def __init__(self) -> None:
        AsyncPersonaClient.__init__(self, "redis://127.0.0.1:1", clock=lambda: self.now)
        Renewing.__init__(self)

    now = 0.0

    async def _read_records(self, customer_ids: Sequence[str]) -> Sequence[bytes | None]:
        return self._stub_records(customer_ids)

    async def _read_affinities(self, personas: Sequence[str]) -> Sequence[dict[Any, Any]]:
        return self.give(personas)


@pytest.fixture(params=[Blocking, Waiting])
def client(request: pytest.FixtureRequest) -> Blocking | Waiting:
    made: Blocking | Waiting = request.param()
    for persona, lift in {"gamer": 5.0, "player": 4.0}.items():
        made.set_affinities(persona, {"category:games": lift})
        made.set(persona, persona, distribution={persona: 1.0})
    made.set("stranger", "stranger", distribution={"stranger": 1.0})
    return made


def rank(client: Blocking | Waiting, customer: str) -> Ranking:
    found: Any = client.rank([ITEM], customer)
    return asyncio.run(found) if asyncio.iscoroutine(found) else found


def affinity(client: Blocking | Waiting, customer: str) -> float:
    return rank(client, customer).items[0].affinity


def test_every_shopper_is_ranked_by_their_own_personas_whoever_asked_last(
    client: Blocking | Waiting,
) -> None:
    found = [affinity(client, customer) for customer in ("gamer", "player", "gamer")]
    assert found == pytest.approx([5.0, 4.0, 5.0])


def test_personas_that_were_read_are_not_read_again_at_once(client: Blocking | Waiting) -> None:
    for customer in ("gamer", "player", "gamer", "player"):
        rank(client, customer)
    assert client.asked == [("gamer",), ("player", "gamer")]


def test_a_persona_that_redis_has_nothing_of_is_asked_for_once_and_is_the_reason(
    client: Blocking | Waiting,
) -> None:
    rank(client, "gamer")
    assert [rank(client, "stranger").fallback for _ in range(2)] == [UNREACHABLE] * 2
    assert client.asked == [("gamer",), ("stranger", "gamer")]
    assert rank(client, "gamer").fallback is None


def test_a_persona_that_could_not_be_read_is_the_reason_and_is_asked_for_a_second_later(
    client: Blocking | Waiting,
) -> None:
    rank(client, "gamer")
    client.is_away = True
    assert rank(client, "player").fallback == UNREACHABLE
    client.is_away = False
    assert (rank(client, "player").fallback, client.asked) == (UNREACHABLE, [("gamer",)])
    client.now += 1.0
    assert affinity(client, "player") == pytest.approx(4.0)


def test_shares_without_affinities_move_nothing_beside_those_that_have_some(
    client: Blocking | Waiting,
) -> None:
    shares: Mapping[str, float] = {"stranger": 0.5, "gamer": 0.5}
    client.set("both", "stranger", distribution=shares)
    assert (rank(client, "both").fallback, affinity(client, "both")) == (None, pytest.approx(3.0))


async def test_affinities_are_renewed_while_a_ranking_uses_the_old_ones(
    client: Blocking | Waiting,
) -> None:
    async def ask() -> float:
        found: Any = client.rank([ITEM], "gamer")
        return (await found if asyncio.iscoroutine(found) else found).items[0].affinity

    await ask()
    client.set_affinities("gamer", {"category:games": 2.0})
    client.now += RENEWAL_SECONDS - 1
    assert (await ask(), len(client.asked)) == (pytest.approx(5.0), 1)
    client.now += 1
    assert await ask() in (pytest.approx(5.0), pytest.approx(2.0))  # a thread may be quick

    async def is_renewed() -> bool:
        return await ask() == pytest.approx(2.0)

    await eventually(is_renewed, 5)
    assert len(client.asked) == 2
