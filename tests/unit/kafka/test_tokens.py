"""Tokens come from an endpoint over HTTP, one for all clients, renewed before they end."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_plus

import pytest
import trustme
from pydantic import SecretStr

from stream_persona.errors import TopologyError
from stream_persona.kafka.connection import connection_options, explain_connecting
from stream_persona.kafka.tokens import RefusedTokenError, TokenError, TokenProvider
from stream_persona.settings import load_settings
from tests.support.token_endpoint import Endpoint

SECRET = "zq:+/ %ä"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    started = Endpoint()
    yield started
    started.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def provider(endpoint: Endpoint, clock: Clock, scope: str = "kafka") -> TokenProvider:
    return TokenProvider(endpoint.url, "client", SecretStr(SECRET), scope, clock=clock)


async def test_the_client_logs_in_as_the_standard_says(endpoint: Endpoint) -> None:
    assert await provider(endpoint, Clock()).token() == "token-1"
    ((path, login, fields),) = endpoint.asked
    assert path == "/token"
    user, _, password = base64.b64decode(login.removeprefix("Basic ")).decode().partition(":")
    assert (unquote_plus(user), unquote_plus(password)) == ("client", SECRET)
    assert fields == {"grant_type": ["client_credentials"], "scope": ["kafka"]}


async def test_one_token_serves_all_until_it_has_a_fifth_of_its_time_left(
    endpoint: Endpoint,
) -> None:
    clock = Clock()
    tokens = provider(endpoint, clock, scope="")
    assert set(await asyncio.gather(*(tokens.token() for _ in range(20)))) == {"token-1"}
    clock.now = 69.0
    assert await tokens.token() == "token-1"
    assert await asyncio.to_thread(asyncio.run, tokens.token()) == "token-1"  # on another loop
    clock.now = 70.0
    assert await tokens.token() == "token-2"
    assert "scope" not in endpoint.asked[0][2]


@pytest.mark.parametrize("expires_in", [None, "100", "soon", 0, -1])
async def test_a_token_without_a_time_holds_for_some_minutes(
    endpoint: Endpoint, expires_in: object
) -> None:
    clock = Clock()
    endpoint.answer = {"access_token": "t", "expires_in": expires_in}
    tokens = provider(endpoint, clock)
    assert await tokens.token() == "t"
    clock.now = 60.0
    assert await tokens.token() == "t"
    assert len(endpoint.asked) == 1
    clock.now = 300.0
    await tokens.token()
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    ("status", "answer", "sentence"),
    [(401, {"error": "invalid_client", "error_description": SECRET}, "HTTP 401, invalid_client"),
     (400, {"error": SECRET}, "HTTP 400"), (404, b"none", "HTTP 404"),
     (200, b"<html>", "is no JSON"), (200, {"token": "t"}, "no access_token"), (200, [1], "no acc"),
     (302, b"", "HTTP 302")],
)  # fmt: skip
async def test_a_refusal_is_permanent_and_shows_no_secret(
    endpoint: Endpoint, status: int, answer: object, sentence: str
) -> None:
    endpoint.status, endpoint.answer = status, answer
    endpoint.headers = {"Location": endpoint.url} if status == 302 else {}
    tokens = provider(endpoint, Clock())
    with pytest.raises(RefusedTokenError) as caught:
        await tokens.token()
    error = explain_connecting(load_settings(), "a:1", caught.value)
    assert isinstance(error, TopologyError)
    assert sentence in str(error)
    assert "STREAM_PERSONA_KAFKA_TOKEN_URL" in str(error)
    assert "zq" not in f"{error!r} {tokens!r}"
    assert len(endpoint.asked) == 1  # no redirect takes the secret elsewhere


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_endpoint_that_fails_is_asked_again(endpoint: Endpoint, status: int) -> None:
    endpoint.status = status
    tokens = provider(endpoint, Clock())
    with pytest.raises(TokenError) as caught:
        await tokens.token()
    assert not isinstance(caught.value, RefusedTokenError)
    endpoint.status = 200
    assert await tokens.token() == "token-2"


async def test_an_endpoint_that_is_away_may_come_back(endpoint: Endpoint) -> None:
    endpoint.close()
    with pytest.raises(TokenError, match="does not answer") as caught:
        await provider(endpoint, Clock()).token()
    assert not isinstance(caught.value, RefusedTokenError)


def test_all_clients_of_a_login_share_a_provider() -> None:
    settings = load_settings(
        kafka_security="SASL_PLAINTEXT", kafka_sasl_mechanism="OAUTHBEARER",
        kafka_username="client", kafka_password=SECRET, kafka_token_url="https://idp.example/token",
    )  # fmt: skip
    first, second = (connection_options(settings)["sasl_oauth_token_provider"] for _ in range(2))
    assert first is second
    assert "zq" not in repr(connection_options(settings))


async def test_an_endpoint_of_an_authority_of_ones_own_is_trusted_by_its_file(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(file := tmp_path / "authority.pem")
    endpoint = Endpoint(authority.issue_cert("127.0.0.1"))
    try:
        ours = TokenProvider(endpoint.url, "client", SecretStr(SECRET), authorities=file)
        assert await ours.token() == "token-1"
        unknown = TokenProvider(endpoint.url, "client", SecretStr(SECRET))
        with pytest.raises(RefusedTokenError, match=r"add its authority to .*_KAFKA_CA_FILE"):
            await unknown.token()
    finally:
        endpoint.close()
