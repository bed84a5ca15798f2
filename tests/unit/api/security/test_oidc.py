"""People log in by an OpenID provider, and may do what tables of their domain or groups say."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from joserfc.jwk import RSAKey
from starlette.datastructures import Headers

from stream_persona.api import create_api
from stream_persona.api.security.key_file import ApiKeys
from stream_persona.api.security.keys import parse_keys
from stream_persona.api.security.oidc import LOGIN_SECONDS, SESSION_SECONDS
from stream_persona.domain import taxonomy
from stream_persona.errors import SettingsError
from stream_persona.settings import Settings, load_settings
from tests.support.doors import audited, key_of, table_of
from tests.support.openid_provider import CLIENT, REDIRECT, SECRET, OpenIdProvider, openid_provider

pytestmark = pytest.mark.usefixtures("few_authorities")
OF_DOMAIN = '[[login]]\ndomain = "shop.example"\nscopes = ["read"]\n'
OF_GROUP = '[[login]]\ngroup = "crm"\nscopes = ["read", "assign"]\n'
OWN = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    with openid_provider() as listening:
        yield listening


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (made := tmp_path / "keys.toml").write_text(OF_DOMAIN + OF_GROUP)
    return made


@pytest.fixture
def settings(provider: OpenIdProvider, file: Path) -> Settings:
    return Settings(
        _env_file=None, api_keys_file=file, oidc_issuer=provider.issuer, oidc_client_id=CLIENT,
        oidc_client_secret=SECRET, oidc_redirect_url=REDIRECT,
    )  # fmt: skip


@pytest.fixture
def api(settings: Settings) -> FastAPI:
    return create_api(settings, taxonomy.load(None))


@pytest.fixture
async def browser(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps cookies, as a browser does."""
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def at_the_provider(browser: httpx.AsyncClient) -> str:
    """Begin a login, log in at the provider; return the address to which it leads back."""
    begun = await browser.get("/login")
    assert begun.status_code == 303
    async with httpx.AsyncClient() as person:
        return (await person.get(begun.headers["location"])).headers["location"]


async def log_in(browser: httpx.AsyncClient) -> httpx.Response:
    return await browser.get(await at_the_provider(browser))


async def test_a_person_logs_in_and_may_do_what_a_table_says(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/")).headers["location"] == "/login"
    with audited() as lines:
        answer = await log_in(browser)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookies = answer.headers.get_list("set-cookie")
    (session,) = [each for each in cookies if each.startswith("stream_persona_session=")]
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(session.split("; "))
    assert (lines[0]["action"], lines[0]["who"]) == ("login", "login ann@shop.example")
    assert (await browser.get("/")).status_code == 200
    assert (await browser.get("/v1/overview")).status_code == 200
    refused = await browser.delete("/v1/customers/c1", headers=OWN)
    assert (refused.status_code, refused.json()["message"]) == (
        403, "this key lacks the scope `delete`",
    )  # fmt: skip


async def test_a_command_by_a_session_must_come_from_ones_own_page(
    browser: httpx.AsyncClient, provider: OpenIdProvider
) -> None:
    provider.person["groups"] = ["crm"]
    await log_in(browser)
    path, body = "/v1/customers/c1/assignment", {"persona": "no such persona"}
    for headers, status in (({}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403), (OWN, 400)):
        with audited():
            answer = await browser.put(path, json=body, headers=headers)
        assert (answer.status_code == 403) == (status == 403)


async def test_a_login_asks_with_pkce_a_state_and_a_nonce_that_are_new_each_time(
    browser: httpx.AsyncClient, provider: OpenIdProvider
) -> None:
    asked = [
        parse_qs(urlsplit((await browser.get("/login")).headers["location"]).query) for _ in "ab"
    ]
    for name in ("state", "nonce", "code_challenge"):
        assert len({each[name][0] for each in asked}) == 2
    assert {each["code_challenge_method"][0] for each in asked} == {"S256"}
    assert {each["redirect_uri"][0] for each in asked} == {REDIRECT}


@pytest.mark.parametrize(
    "person",
    [
        {"email": "eve@elsewhere.example"}, {"email": "eve@shop.example.evil.example"},
        {"email": "eve@evilshop.example"}, {"email_verified": False}, {"email_verified": "true"},
        {"email": None}, {"email": "shop.example"}, {"groups": "crm", "email": None},
        {"groups": ["CRM"], "email": None}, {"groups": [["crm"]], "email": None},
    ],
)  # fmt: skip
async def test_a_person_of_no_table_is_not_let_in(
    browser: httpx.AsyncClient, provider: OpenIdProvider, person: dict[str, Any]
) -> None:
    provider.person |= person
    answer = await log_in(browser)
    assert answer.status_code == 403
    assert "nobody has let you in" in answer.json()["message"]
    assert (await browser.get("/v1/overview")).status_code == 401


@pytest.mark.parametrize(
    "alter",
    [
        {"aud": "another-client"}, {"iss": "https://evil.example"}, {"nonce": "another"},
        {"exp": 1}, {"azp": "another-client"}, {"aud": [CLIENT, "another"]}, {"sub": None},
    ],
)  # fmt: skip
async def test_an_identity_that_is_not_of_this_login_is_refused(
    browser: httpx.AsyncClient, provider: OpenIdProvider, alter: dict[str, Any]
) -> None:
    provider.alter = alter
    with audited() as lines:
        assert (await log_in(browser)).status_code == 403
    assert lines[-1]["reason"] == "login"
    assert (await browser.get("/v1/overview")).status_code == 401


async def test_an_identity_that_another_key_has_signed_is_refused(
    browser: httpx.AsyncClient, provider: OpenIdProvider
) -> None:
    provider.signed_by = RSAKey.generate_key(2048, {"kid": "one"})
    assert (await log_in(browser)).status_code == 403


async def test_a_login_that_was_begun_elsewhere_is_refused(
    browser: httpx.AsyncClient, api: FastAPI
) -> None:
    back = await at_the_provider(browser)
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as victim:
        assert (await victim.get(back)).status_code == 403
        await victim.get("/login")
        assert (await victim.get(back)).status_code == 403
    assert (await browser.get(back.replace("state=", "state=x"))).status_code == 403
    assert (await browser.get("/login/callback")).status_code == 403
    assert (await browser.get(back)).status_code == 303


async def test_a_code_counts_once(browser: httpx.AsyncClient) -> None:
    back = await at_the_provider(browser)
    remembered = dict(browser.cookies)
    assert (await browser.get(back)).status_code == 303
    browser.cookies.clear()
    browser.cookies.update(remembered)
    assert (await browser.get(back)).status_code == 403


@pytest.mark.parametrize("session", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
async def test_a_session_that_we_have_not_signed_is_none(
    browser: httpx.AsyncClient, session: str
) -> None:
    browser.cookies.set("stream_persona_session", session)
    assert (await browser.get("/v1/overview")).status_code == 401


async def test_what_is_remembered_of_a_login_is_no_session(browser: httpx.AsyncClient) -> None:
    await browser.get("/login")
    browser.cookies.set("stream_persona_session", browser.cookies["stream_persona_login"])
    assert (await browser.get("/v1/overview")).status_code == 401


async def test_a_session_ends_with_its_time_and_with_its_table(
    settings: Settings, browser: httpx.AsyncClient, file: Path
) -> None:
    await log_in(browser)
    session, now = browser.cookies["stream_persona_session"], time.time()
    clock = [now]
    keys = ApiKeys(settings, lambda: clock[0])
    headers = Headers({"cookie": f"stream_persona_session={session}"})
    caller = keys.identify(headers)
    assert caller is not None
    assert (caller.scopes, keys.may_go_on(caller, "read")) == ({"read"}, True)
    clock[0] = now + SESSION_SECONDS + 1
    assert (keys.identify(headers), keys.may_go_on(caller, "read")) == (None, False)
    clock[0] = now
    file.write_text(OF_GROUP)
    await keys.refresh()
    assert (keys.identify(headers), keys.may_go_on(caller, "read")) == (None, False)


async def test_a_login_ends_that_takes_too_long(settings: Settings) -> None:
    clock = [time.time()]
    provider = ApiKeys(settings, lambda: clock[0]).provider
    assert provider is not None
    address, remembered = await provider.begin()
    state = parse_qs(urlsplit(address).query)["state"][0]
    clock[0] += LOGIN_SECONDS + 1
    with pytest.raises(Exception, match="took too long"):
        await provider.finish({"state": state, "code": "code"}, remembered)


async def test_a_person_logs_out(browser: httpx.AsyncClient) -> None:
    await log_in(browser)
    with audited() as lines:
        assert (await browser.post("/logout")).status_code == 403
    assert [(each["status"], each["reason"], each["route"]) for each in lines] == [
        (403, "another origin", "/logout")
    ]
    assert (await browser.post("/logout", headers=OWN)).status_code == 204
    assert (await browser.get("/v1/overview")).status_code == 401


async def test_a_provider_that_is_away_is_503_and_says_nothing_of_itself(
    settings: Settings,
) -> None:
    away = settings.model_copy(update={"oidc_issuer": "http://127.0.0.1:1"})
    transport = httpx.ASGITransport(create_api(away, taxonomy.load(None)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get("/login")
    assert (answer.status_code, ":1" in answer.text) == (503, False)


async def test_a_provider_that_names_another_issuer_is_not_used(
    settings: Settings, provider: OpenIdProvider
) -> None:
    provider.issuer = "https://evil.example"
    transport = httpx.ASGITransport(create_api(settings, taxonomy.load(None)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert (await client.get("/login")).status_code == 503


async def test_an_api_without_a_provider_has_no_login() -> None:
    transport = httpx.ASGITransport(create_api(Settings(_env_file=None), taxonomy.load(None)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert (await client.get("/login")).status_code == 404


# --- settings and tables ---


def test_a_provider_is_set_whole_or_not_at_all(file: Path) -> None:
    with pytest.raises(SettingsError, match="OIDC_CLIENT_SECRET, STREAM_PERSONA_OIDC_REDIRECT_URL"):
        load_settings(api_keys_file=file, oidc_issuer="https://id.example", oidc_client_id=CLIENT)


def test_a_provider_needs_a_table_that_lets_somebody_in(settings: Settings, file: Path) -> None:
    file.write_text(table_of("one", key_of("one"), "read"))
    with pytest.raises(SettingsError, match=r"has no \[\[login\]\] table"):
        ApiKeys(settings)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        (OF_DOMAIN.replace("domain", "mail"), 2, "'mail' is not known here"),
        (OF_DOMAIN + 'group = "crm"\n', 1, "either a domain or a group"),
        (OF_DOMAIN.replace("shop.example", "@shop.example"), 2, "what follows the @"),
        (OF_DOMAIN.replace("shop.example", "*"), 2, "what follows the @"),
        (OF_DOMAIN.replace("shop.example", "Shop.Example"), 2, "what follows the @"),
        (OF_GROUP.replace('"crm"', '" "'), 2, "the name of a group"),
        (OF_GROUP.replace("assign", "admin"), 3, "'admin' is no scope"),
        ('[[login]]\ngroup = "crm"\n', 1, "scopes: expected a list"),
    ],
)
def test_each_mistake_of_a_login_is_named_with_its_line(
    text: str, line: int, sentence: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_keys(text, "keys.toml")
    assert any(
        each.startswith(f"keys.toml:{line}: ") and sentence in each
        for each in str(caught.value).splitlines()
    )
