"""What both clients do between two questions, with a stub's records and a clock of the test's."""

from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from stream_persona.client import (
    AMBIGUOUS,
    BESIDE_BASKET,
    HOLDOUT,
    RECOMMENDED,
    UNKNOWN,
    UNREACHABLE,
    PersonaClient,
)
from stream_persona.client.base import BaseClient
from stream_persona.testing.client import StubPersonaClient
from tests.support.clients import ITEMS


@pytest.mark.parametrize(
    "options", [{"holdout": 2.0}, {"holdout": -0.1}, {"strength": -1.0}, {"strength": 11.0}]
)
def test_an_option_out_of_its_bounds_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        BaseClient(**options)  # type: ignore[arg-type]


def test_a_strength_out_of_its_bounds_is_refused_for_every_shopper() -> None:
    with pytest.raises(ValueError, match="strength: expected 0 to 10"):
        StubPersonaClient().rank(ITEMS, "nobody", strength=-1.0)


def test_every_answer_without_a_persona_is_counted_once() -> None:
    client = StubPersonaClient()
    client.set("named", "gamer")
    client.set("torn", None)
    client.get_many(["named", "torn", "nobody"])
    client.rank(ITEMS, "nobody")
    client.rank(ITEMS, "named")  # there are no affinities
    assert client.fallbacks == {AMBIGUOUS: 1, UNKNOWN: 2, UNREACHABLE: 1}


def test_a_customer_who_is_held_out_is_not_looked_up() -> None:
    client = StubPersonaClient(holdout=1.0)
    client.fail()
    assert client.rank(ITEMS, "c").fallback == HOLDOUT
    assert client.fallbacks == {HOLDOUT: 1}


def test_a_silent_channel_is_pinged_once_and_then_given_up() -> None:
    client = BaseClient(cache=1)
    assert client._receive(None, is_pinged=False)
    assert not client._receive({"type": "pong"}, is_pinged=True)
    with pytest.raises(RedisConnectionError):
        client._receive(None, is_pinged=True)


def test_a_message_that_is_no_change_is_passed_over() -> None:
    client = BaseClient(cache=1)
    for data in (b"{", b"[]", b"{}", b"null"):
        assert not client._receive({"type": "message", "data": data}, is_pinged=False)


def test_a_client_connects_to_nothing_before_it_is_asked() -> None:
    with PersonaClient("redis://127.0.0.1:1/0", cluster=True) as client:
        assert client._redis is None


def test_the_strengths_that_are_recommended_are_those_of_the_readme() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    recommended = " ".join(readme.partition("We recommend ")[2].split())
    assert recommended.startswith(
        f"{RECOMMENDED:g} for a search and for recommendations, {BESIDE_BASKET:g} beside a basket"
    )
