"""Checks the address of Redis as its client reads it, options included."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio.connection import ConnectionPool, parse_url
from redis.exceptions import RedisError

from stream_persona.errors import TopologyError

#: Options with which the client gives other values than the bytes that were stored.
_TEXTS: Final = ("decode_responses", "encoding", "encoding_errors")
_FILES: Final = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


def check_address(url: str) -> None:
    """Check an address; connect to nothing.

    Raises:
        TopologyError: the client takes no such address.
    """
    try:
        options: dict[str, object] = {**parse_url(url)}
        ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RedisError) as error:
        raise _make_error(f"the client takes no such address{_show(error, url)}") from None
    for name in _TEXTS:
        if name in options:
            raise _make_error(f"records are bytes, and {name} makes text of them")
    for name in _FILES:
        if name in options and not Path(str(options[name])).exists():
            raise _make_error(f"there is no {options[name]}, which {name} names")
    if options.get("ssl_cert_reqs", "required") != "required":
        raise _make_error(
            "a certificate is always verified, and ssl_cert_reqs would leave that out"
        )
    if not options.get("ssl_check_hostname", True):
        raise _make_error(
            "a server's name is always verified, and ssl_check_hostname leaves that out"
        )


def _show(error: Exception, url: str) -> str:
    """Show the client's reason, if it repeats nothing of what a password may stand in."""
    text, login = str(error), urlsplit(url).netloc.rpartition("@")[0]
    secrets = [part for part in re.split(r"[:@/?#]", unquote(login) + ":" + login) if part]
    options = parse_qs(urlsplit(url).query)
    secrets += [value for name in ("password", "username") for value in options.get(name, ())]
    return "" if any(secret in text for secret in secrets) else f" ({text})"


def _make_error(why: str) -> TopologyError:
    return TopologyError(
        f"STREAM_PERSONA_REDIS_URL: {why}; correct it, or leave out what is behind '?'"
    )
