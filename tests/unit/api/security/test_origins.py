"""Without keys a request must be of this machine: its client, its Host, and the page it is from."""

from __future__ import annotations

import pytest
from starlette.types import Scope

from stream_persona.api.security.origins import find_stranger, is_loopback
from stream_persona.api.security.scopes import SCOPES
from tests.support.doors import OWN, Door

METHODS = ("GET", "POST", "PUT", "DELETE")
PATHS = ("/v1/personas", "/v1/changes", "/v1/customers/c1", "/v1/nothing", "/metrics")


def asked(
    *headers: tuple[str, str], path: str = "/v1/personas", peer: str | None = "127.0.0.1",
    version: str = "1.1", port: int | None = 8000,
) -> Scope:  # fmt: skip
    """A request as a server hands it on."""
    return {
        "type": "http", "method": "GET", "path": path, "scheme": "http", "http_version": version,
        "client": None if peer is None else (peer, 50_000), "server": ("127.0.0.1", port),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }  # fmt: skip


def refused(*headers: tuple[str, str], is_page: bool = False, **how: object) -> str:
    return find_stranger(asked(*headers, **how), is_page=is_page) or ""  # type: ignore[arg-type]


HOST = ("Host", OWN)


@pytest.mark.parametrize(
    "host",
    [OWN, "localhost:8000", "LocalHost:8000", "127.5.4.3:8000", "[::1]:8000",
     "[::ffff:127.0.0.1]:8000"],
)  # fmt: skip
def test_a_host_of_this_machine_with_our_port_is_let_in(host: str) -> None:
    assert not refused(("Host", host))
    assert not refused(("Host", host), ("Origin", f"http://{host}"))


@pytest.mark.parametrize(
    "host",
    ["attacker.example:8000", "attacker.example", "", "127.0.0.1", "localhost", "localhost:9000",
     "localhost.attacker.example:8000", "127.0.0.1.attacker.example:8000", "sub.localhost:8000",
     "localhost.:8000", "0.0.0.0:8000", "[::]:8000", "10.0.0.1:8000", "2130706433:8000",
     "0x7f.1:8000", "127.1:8000", "user@127.0.0.1:8000", "127.0.0.1:8000, attacker.example",
     "127.0.0.1:8000/", "http://127.0.0.1:8000", "[::1:8000", "::1:8000", "127.0.0.1:", "[]:8000"],
)  # fmt: skip
def test_any_other_host_is_refused(host: str) -> None:
    assert "the Host must be" in refused(("Host", host))


def test_a_host_that_is_missing_or_comes_twice_is_refused() -> None:
    assert "the Host must be" in refused()
    assert "the Host must be" in refused(HOST, HOST)
    assert "the Host must be" in refused(HOST, ("Host", "attacker.example:8000"))


@pytest.mark.parametrize("path", ["http://attacker.example/v1/personas", "*", ""])
def test_a_target_with_a_host_of_its_own_is_refused(path: str) -> None:
    assert "the Host must be" in refused(HOST, path=path)


def test_the_port_of_the_scheme_may_be_left_out() -> None:
    assert not refused(("Host", "localhost"), port=80)
    assert not refused(("Host", "localhost:80"), ("Origin", "http://localhost"), port=None)


@pytest.mark.parametrize(
    "peer", ["10.0.0.1", "192.168.1.7", "::ffff:10.0.0.1", "2001:db8::1", "", "unknown", None]
)
def test_a_client_of_another_machine_is_refused(peer: str | None) -> None:
    assert "client's address" in refused(HOST, peer=peer)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_a_client_of_this_machine_is_let_in(peer: str) -> None:
    assert is_loopback(peer)
    assert not refused(HOST, peer=peer)


@pytest.mark.parametrize(
    "name",
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded",
     "X-Forwarded-Anything", "Via", "X-Real-IP", "X-Client-IP", "Client-IP", "True-Client-IP",
     "CF-Connecting-IP", "CF-Ray", "CDN-Loop", "X-Original-Host", "X-Envoy-Internal",
     "Proxy-Connection", "Proxy-Authorization", "Max-Forwards", "X-Amzn-Trace-Id", "X-ProxyUser-Ip",
     "ngrok-skip-browser-warning", "Forwarded-For", "X_Forwarded_For", "X-Remote-IP",
     "X-Remote-Addr", "X-Originating-IP", "X-Host", "X-Scheme", "X-Url-Scheme", "Front-End-Https",
     "X-ARR-LOG-ID", "X-Varnish", "X-BlueCoat-Via", "Tailscale-User-Login", "X-Akamai-Edgescape",
     "Incap-Client-IP", "X-NginX-Proxy", "X-Rewrite-URL", "X-Cloud-Trace-Context", "X-Amz-Cf-Id",
     "X-Request-Start", "Surrogate-Capability", "X-Sucuri-ClientIP", "DO-Connecting-IP",
     "X-Traefik-Router", "X-Edge-IP", "CDN-RequestId", "X-Cluster-Client-IP"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["127.0.0.1", "for=127.0.0.1;host=127.0.0.1", ""])
def test_what_came_through_a_proxy_is_refused_whatever_it_says(name: str, value: str) -> None:
    assert "proxy" in refused(HOST, (name, value))
    assert "proxy" in refused(HOST, (name, value), is_page=True)


def test_a_request_of_http_1_0_is_taken_for_a_proxys() -> None:
    assert "proxy" in refused(HOST, version="1.0")


@pytest.mark.parametrize(
    "origin",
    ["http://attacker.example", "http://attacker.example:8000", "null", "https://127.0.0.1:8000",
     "http://127.0.0.1:3000", "http://localhost:8000", "http://127.0.0.1", "file://", "",
     "http://127.0.0.1:8000.attacker.example", "http://127.0.0.1:8000@attacker.example",
     "ws://127.0.0.1:8000", "chrome-extension://abcdef"],
)  # fmt: skip
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    assert "another origin" in refused(HOST, ("Origin", origin))
    assert "another origin" in refused(HOST, ("Origin", origin), ("Sec-Fetch-Site", "same-origin"))
    navigation = ("Sec-Fetch-Mode", "navigate")
    assert "another origin" in refused(HOST, ("Origin", origin), navigation, is_page=True)


@pytest.mark.parametrize("name", [
    "User-Agent", "Accept-Language", "X-Request-ID", "X-Requested-With", "X-API-Key", "traceparent",
    "Last-Event-ID", "X-Retry-Count", "Priority", "DNT", "Cache-Control", "Content-Encoding",
])  # fmt: skip
def test_what_programs_and_browsers_send_is_no_mark_of_a_proxy(name: str) -> None:
    assert not refused(HOST, (name, "1"))


@pytest.mark.parametrize(
    "referrer",
    ["http://attacker.example/", f"http://attacker.example/?http://{OWN}/", "http://127.0.0.1:3000/",
     f"https://{OWN}/", f"http://{OWN}@attacker.example/", "", "about:blank", f"{OWN}/"],
)  # fmt: skip
def test_a_foreign_referrer_is_refused_where_a_browser_says_nothing_else(referrer: str) -> None:
    assert "another origin" in refused(HOST, ("Referer", referrer))
    assert not refused(HOST, ("Referer", referrer), is_page=True)


def test_ones_own_referrer_is_let_in() -> None:
    for path in ("", "/", "/docs?x", "?x"):
        own = ("Referer", f"http://{OWN}{path}")
        assert not refused(HOST, own)


def test_two_origins_are_refused() -> None:
    own = ("Origin", f"http://{OWN}")
    assert "another origin" in refused(HOST, own, own)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "anything"])
def test_a_request_that_another_site_caused_is_refused(site: str) -> None:
    assert "another origin" in refused(HOST, ("Sec-Fetch-Site", site))
    assert "another origin" in refused(HOST, ("Origin", f"http://{OWN}"), ("Sec-Fetch-Site", site))


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_a_request_of_ones_own_page_or_of_the_user_is_let_in(site: str) -> None:
    assert not refused(HOST, ("Sec-Fetch-Site", site))


def test_a_link_elsewhere_may_lead_to_a_page_and_to_nothing_else() -> None:
    link = (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"))
    assert not refused(HOST, *link, is_page=True)
    assert refused(HOST, *link)
    assert refused(HOST, link[0], ("Sec-Fetch-Mode", "no-cors"), is_page=True)
    assert refused(("Host", "attacker.example:8000"), *link, is_page=True)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
async def test_the_door_holds_for_every_method_and_path(method: str, path: str) -> None:
    door = Door()
    async with door.client(host="attacker.example:8000") as rebound:
        answer = await rebound.request(method, path)
        assert answer.status_code == 403
        assert "set STREAM_PERSONA_API_KEYS" in answer.json()["message"]
    async with door.client() as here:
        assert (await here.request(method, path)).status_code != 403


async def test_probes_and_files_of_pages_are_open() -> None:
    async with Door().client(peer="10.0.0.1", host="attacker.example") as stranger:
        assert [
            (await stranger.get(path)).status_code
            for path in ("/healthz", "/readyz", "/static/app.js", "/")
        ] == [200, 200, 200, 403]


async def test_a_program_on_this_machine_may_do_everything_without_keys() -> None:
    async with Door().client() as here:
        answers = [
            await here.get("/v1/personas"), await here.post("/v1/rank"),
            await here.post("/v1/batch"), await here.put("/v1/customers/c1/assignment"),
            await here.delete("/v1/customers/c1"), await here.get("/metrics"),
        ]  # fmt: skip
        assert [answer.text for answer in answers] == [*SCOPES]


async def test_other_protocols_are_closed() -> None:
    sent = []

    async def send(message: object) -> None:
        sent.append(message)

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    door = Door()
    await door.app({**asked(HOST, path="/v1/changes"), "type": "websocket"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
