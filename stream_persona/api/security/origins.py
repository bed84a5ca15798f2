"""Where a request comes from: this machine, one's own page, or elsewhere. Pure.

Without keys any caller that reaches the API could do everything. A web page reaches it by a name
that leads to 127.0.0.1 for once (DNS rebinding), and anybody does through a proxy on this machine.
So the client's address, the host that it asked for and the page that it asks from must all be of
this machine. What forwards bytes and adds nothing can't be distinguished from a program here.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

if TYPE_CHECKING:
    from starlette.types import Scope

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

#: Headers by which proxies, tunnels and caches say that they stand between.
_OF_PROXIES: Final = re.compile(
    # the client, whatever name the address has; the way; the name, scheme and path asked for there
    r"(.*[-_])?(forwarded|via|(real|client|connecting|remote|originating|edge|proxyuser)[-_]?ip)"
    r"|(.*[-_])?forwarded[-_].*|x-remote-.*|x-original-.*|x-rewrite-.*|x-host|x-(url-)?scheme"
    r"|front-end-https|max-forwards|cdn-.*|surrogate-.*|x-request-start|x-varnish"
    # products
    r"|(x-)?(proxy|cf|fastly|fly|ngrok|tailscale|akamai|incap|sucuri|arr|nginx|envoy|traefik"
    r"|haproxy|amz|amzn|vercel|azure|appengine|goog|cloud-trace|cdn|zrok|railway|render|heroku"
    r"|bluecoat|squid|ms-arr|ms-proxy)(-.*)?"
)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@/\s]+)(?::(\d{1,5}))?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
#: What a browser says of a request that no other site caused.
_OWN_SITE: Final = frozenset({"same-origin", "none"})

_REMEDY: Final = (
    "without keys only programs and pages of this machine are answered: set STREAM_PERSONA_API_KEYS"
)


def find_stranger(scope: Scope, *, is_page: bool) -> str | None:
    """Return what shows that a request is not of this machine alone, in a sentence; or None.

    ``is_page``: what is asked for is a page, which links on other sites may lead to.
    """
    headers = Headers(scope=scope)
    host = _find_single(headers, "host")
    if not _is_loopback_client(scope):
        return _explain("the client's address is not a loopback one")
    if scope.get("http_version") == "1.0" or any(map(_is_of_proxies, headers)):
        return _explain("the request came through a proxy")
    if host is None or not scope["path"].startswith("/") or not _is_own_host(host, scope):
        return _explain("the Host must be that of the address which is listened on, as 127.0.0.1")
    if is_page and headers.get("sec-fetch-mode") == "navigate" and "origin" not in headers:
        return None
    if not is_own_origin(scope, headers) or not _is_own_referrer(scope, headers, is_page=is_page):
        return _explain("the request comes from a page of another origin")
    return None


def is_own_origin(scope: Scope, headers: Headers, *, required: bool = False) -> bool:
    """Whether the page that asks is ours, so far as the browser says where it is from.

    ``required``: it must say so. ``Sec-Fetch-Site`` is the browser's own word, which holds behind a
    proxy as well; ``Origin`` is compared with the host that was asked for.
    """
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if len(sites) > 1 or len(origins) > 1 or (required and not sites and not origins):
        return False
    if sites and sites[0] not in _OWN_SITE:
        return False
    if not origins or (required and sites):
        return True
    host = _find_single(headers, "host")
    scheme, separator, named = origins[0].lower().partition("://")
    if host is None or not separator or scheme not in _DEFAULT_PORTS:
        return False
    own = scope.get("scheme", "http")
    return scheme == own and _split(named, scheme) == _split(host, own) is not None


def _is_own_referrer(scope: Scope, headers: Headers, *, is_page: bool) -> bool:
    """Whether the page that asks is ours by its ``Referer``, where a browser says nothing else."""
    says_more = "origin" in headers or "sec-fetch-site" in headers
    named = headers.getlist("referer")
    if says_more or is_page or not named:
        return True
    scheme, separator, rest = named[0].lower().partition("://")
    own, authority = scope.get("scheme", "http"), re.split(r"[/?#]", rest, maxsplit=1)[0]
    host = _find_single(headers, "host")
    if len(named) > 1 or not separator or scheme != own or host is None:
        return False
    return _split(authority, own) == _split(host, own) is not None


# A caller's headers have the same names each time: to match them takes as long as all else here.
@lru_cache(maxsize=256)
def _is_of_proxies(name: str) -> bool:
    return _OF_PROXIES.fullmatch(name) is not None


# Callers on this machine have two or three addresses, which take 2 us to parse.
@lru_cache(maxsize=64)
def is_loopback(address: str) -> bool:
    """Whether an address, without brackets, is one of this machine alone."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def _explain(what: str) -> str:
    return f"{what}; {_REMEDY}"


def _find_single(headers: Headers, name: str) -> str | None:
    """Return the value of a header that came once."""
    values = headers.getlist(name)
    return values[0] if len(values) == 1 else None


def _is_loopback_client(scope: Scope) -> bool:
    client = scope.get("client")
    return client is not None and is_loopback(client[0])


def _is_own_host(host: str, scope: Scope) -> bool:
    """Whether a Host is a name of this machine that nobody can let lead elsewhere, and our port.

    ``*.localhost`` is none: not every resolver keeps it on this machine.
    """
    split = _split(host, scope.get("scheme", "http"))
    if split is None:
        return False
    name, port = split
    server = scope.get("server") or (None, None)
    listening = server[1] or _DEFAULT_PORTS.get(scope.get("scheme", "http"))
    return port == listening and (name == "localhost" or is_loopback(name.strip("[]")))


def _split(host: str, scheme: str) -> tuple[str, int] | None:
    """Split ``host:port``, where a scheme's own port may be left out."""
    found = _HOST.fullmatch(host)
    if found is None:
        return None
    return found[1].lower(), int(found[2] or _DEFAULT_PORTS.get(scheme, 80))
