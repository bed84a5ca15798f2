"""The forms of settings: what a text must look like so that every server takes it.

Each check returns its value, or raises a ``ValueError`` whose sentence says what to write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator

#: Topics that Kafka keeps for itself.
_KAFKAS_OWN: Final = frozenset(
    {"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"}
)
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL")
_BROKER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\],]+)(?::(\d{1,5}))?")
_LARGEST_PORT: Final = 65_535
_LONGEST_GROUP: Final = 1_000
#: Characters of a value that a message shows whole.
_LONGEST_SHOWN: Final = 200


def check_text(text: str) -> str:
    """Refuse characters that no name or address has: they come from files gone wrong."""
    if not text.isprintable():
        raise ValueError("it has characters that cannot be printed; write it anew")
    return text


def check_name(text: str) -> str:
    """Refuse blanks at an end: they would be a part of the name."""
    if text != text.strip():
        raise ValueError("take away the blanks at its ends")
    return text


def check_group(name: str) -> str:
    """Check a group's name: Kafka takes any text, but none that is empty or endless."""
    if not 0 < len(name.encode()) <= _LONGEST_GROUP:
        raise ValueError(f"expected a name of 1 to {_LONGEST_GROUP} bytes")
    return name


def check_brokers(text: str) -> str:
    """Check ``host:port,...``."""
    for part in text.split(","):
        found = _BROKER.fullmatch(part.strip())
        if found is None or not 0 < int(found[1] or 1) <= _LARGEST_PORT:
            raise ValueError("expected `host:port,host:port,...`")
    return text


def check_redis_url(url: str) -> str:
    """Check the address of a server; what the client itself would leave out unread is refused."""
    form = "expected redis://host:port/db or rediss://user:password@host:port/db"
    encoded = "percent-encode special characters of a password"
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError:
        raise ValueError(f"{form}; {encoded}") from None
    if url.startswith("unix://") and parts.path:
        return url
    has_host = url.startswith(("redis://", "rediss://")) and parts.hostname and has_port
    if not has_host or parts.fragment or not re.fullmatch(r"/?|/\d{1,9}", parts.path):
        raise ValueError(f"{form}; {encoded}")
    return url


def check_topic(name: str) -> str:
    """Check a topic's name as Kafka does."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) or name in {".", ".."}:
        raise ValueError("expected 1 to 249 of the characters a-z A-Z 0-9 . _ -")
    if name in _KAFKAS_OWN:
        raise ValueError("name another topic: this one is Kafka's own")
    return name


def check_host(host: str) -> str:
    """Check a name or an address to listen on."""
    if not re.fullmatch(r"[^\s/@\[\],:]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%\w]*", host):
        raise ValueError("expected an address without a port, such as 127.0.0.1, ::1 or 0.0.0.0")
    return host


def check_keys(text: str) -> str:
    """Refuse keys that no header can carry; they are not shown."""
    if not re.fullmatch(r"[ -~]*", text):
        raise ValueError("a key may have letters, digits and signs of ASCII alone")
    return text


def check_origins(text: str) -> str:
    """Check origins as browsers write them."""
    for origin in split(text):
        if not re.fullmatch(r"\*|https?://[^/?#@\s]+", origin):
            raise ValueError("expected origins such as https://shop.example, without a path")
        if re.fullmatch(r"http://.+:80|https://.+:443", origin):
            raise ValueError("leave out the port: browsers do not write a scheme's own")
    return text


def check_level(level: str) -> str:
    """Check a level of the log, in capitals or not."""
    if level.upper() not in _LEVELS:
        raise ValueError("expected DEBUG, INFO, WARNING or ERROR")
    return level


def split(text: str) -> tuple[str, ...]:
    """Split a list at its commas; what is empty or comes twice is left out."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))


def check_topics_differ(topics: Mapping[str, str]) -> None:
    """Refuse settings that name one topic twice; Kafka takes dots and underscores for equal.

    ``topics`` are names of topics by setting.
    """
    known: dict[str, str] = {}
    for setting, name in topics.items():
        other = known.setdefault(name.replace(".", "_"), setting)
        if other != setting:
            both = f"{variable(other)} and {variable(setting)}"
            alike = "name the same topic" if topics[other] == name else "differ in . and _ alone"
            raise ValueError(f"{both} {alike}; give each a topic of its own (got {name!r})")


def variable(setting: str) -> str:
    """Return the environment's name of a setting."""
    return f"STREAM_PERSONA_{setting.upper()}"


def show(setting: str, value: object) -> str:
    """Return what was given, for a message: shortened, and without keys and passwords."""
    if setting in {"api_keys", "registry_password"}:
        return ""
    text = str(value)
    if setting == "redis_url":  # a password may stand before the last @ or behind the ?
        text = re.sub(r"^(\w*:?/{0,2}).*@", r"\1***@", text.partition("?")[0])
    shown = repr(text)
    return f" (got {shown})" if len(shown) <= _LONGEST_SHOWN else f" (got {shown[:60]}...)"


Text = Annotated[str, AfterValidator(check_text)]
Name = Annotated[Text, AfterValidator(check_name)]
Group = Annotated[Name, AfterValidator(check_group)]
TopicName = Annotated[str, AfterValidator(check_topic)]
Brokers = Annotated[Text, AfterValidator(check_brokers)]
RedisUrl = Annotated[Name, AfterValidator(check_redis_url)]
Host = Annotated[Name, AfterValidator(check_host)]
Keys = Annotated[str, AfterValidator(check_keys)]
Origins = Annotated[Text, AfterValidator(check_origins)]
Level = Annotated[str, AfterValidator(check_level)]
Specification = Annotated[Text, AfterValidator(str.strip)]
