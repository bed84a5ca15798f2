"""The forms of settings: what a text must look like so that every server takes it.

Each check returns its value, or raises a ``ValueError`` whose sentence says what to write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

#: Topics that Kafka keeps for itself.
_KAFKAS_OWN: Final = frozenset(
    {"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"}
)
_SECURITY: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL")
_BROKER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\],]+)(?::(\d{1,5}))?")
_LARGEST_PORT: Final = 65_535
#: Settings of which no message shows anything: what is malformed hides no password from us, but we
#: could not know where it begins. Files are among them, since a key may be pasted in place of its
#: file's name.
_UNSHOWN: Final = re.compile(r"api_keys|redis_url|\w*(password|secret|token_url|_file)")
#: Where anything else may hold a login, as in an address that has none.
_HAS_LOGIN: Final = re.compile(r"@|://.*:|-----BEGIN ")
_LONGEST_GROUP: Final = 1_000
#: Bytes that a key of the API has, at least: fewer can be guessed.
LEAST_KEY_BYTES: Final = 16
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
    # A password with a question mark would end there, and the rest of it be read as options.
    is_cut = bool(parts.fragment) or "@" in parts.query
    if not has_host or is_cut or not re.fullmatch(r"/?|/\d{1,9}", parts.path):
        raise ValueError(f"{form}; {encoded}")
    return url


def check_security(protocol: str) -> str:
    """Check how brokers are connected to, in capitals or not."""
    if protocol.upper() not in _SECURITY:
        raise ValueError(f"expected {', '.join(_SECURITY[:-1])} or {_SECURITY[-1]}")
    return protocol.upper()


def check_mechanism(mechanism: str) -> str:
    """Check how to log in, in capitals or not; empty where nobody asks for a login."""
    if mechanism and mechanism.upper() not in _MECHANISMS:
        raise ValueError(f"expected {', '.join(_MECHANISMS[:-1])} or {_MECHANISMS[-1]}")
    return mechanism.upper()


def has_password(url: str) -> bool:
    """Whether an address of Redis has a password among its options, where clients read one too."""
    return bool(re.search(r"[?&]password=", url))


def check_password(secret: SecretStr) -> SecretStr:
    """Refuse a NUL, at which a login by password ends."""
    if "\x00" in secret.get_secret_value():
        raise ValueError("it has characters that no login takes; write it anew")
    return secret


def check_token_url(url: str) -> str:
    """Check the address of a token endpoint: a client's secret is sent there."""
    form = "expected https://host/path, without a login in it"
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError:
        raise ValueError(form) from None
    is_local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_local)
    has_host = bool(parts.hostname) and has_port and "@" not in parts.netloc
    if url and not (is_safe and has_host and not parts.fragment):
        raise ValueError(form)
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
    """Refuse keys that no header can carry or that can be guessed; they are not shown."""
    if not re.fullmatch(r"[ -~]*", text):
        raise ValueError("a key may have letters, digits and signs of ASCII alone")
    if any(len(key) < LEAST_KEY_BYTES for key in split_list(text)):
        message = f"a key has at least {LEAST_KEY_BYTES} characters, since fewer can be guessed"
        raise ValueError(f"{message}; make one with `openssl rand -hex 24`")
    return text


def check_origins(text: str) -> str:
    """Check origins as browsers write them."""
    for origin in split_list(text):
        if not re.fullmatch(r"\*|https?://[^/?#@\s]+", origin):
            raise ValueError("expected origins such as https://shop.example, without a path")
        if re.fullmatch(r"http://.+:80|https://.+:443", origin):
            raise ValueError("leave out the port: browsers do not write a scheme's own")
    return text


def check_web_address(url: str) -> str:
    """Check an address of a provider or of ours; only this machine may do without TLS."""
    host = r"https://[^/?#@\s]+|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
    if url and not re.fullmatch(rf"({host})(/[^?#\s]*)?", url):
        raise ValueError("expected https://..., without a user, a query or a fragment")
    return url


def check_secret(text: str) -> str:
    """Check a secret by which sessions are signed; it is not shown."""
    if text and (len(text.encode()) < LEAST_KEY_BYTES or not text.isprintable()):
        raise ValueError(f"expected the provider's secret, of {LEAST_KEY_BYTES} bytes at least")
    return text


def check_level(level: str) -> str:
    """Check a level of the log, in capitals or not."""
    if level.upper() not in _LEVELS:
        raise ValueError("expected DEBUG, INFO, WARNING or ERROR")
    return level


def split_list(text: str) -> tuple[str, ...]:
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
            both = f"{name_variable(other)} and {name_variable(setting)}"
            alike = "name the same topic" if topics[other] == name else "differ in . and _ alone"
            raise ValueError(f"{both} {alike}; give each a topic of its own (got {name!r})")


def name_variable(setting: str) -> str:
    """Return the environment's name of a setting."""
    return f"STREAM_PERSONA_{setting.upper()}"


def mask_value(setting: str, value: object) -> str:
    """Return what was given, for a message: shortened, and without keys and passwords."""
    if _UNSHOWN.fullmatch(setting) or _HAS_LOGIN.search(str(value)):
        return ""
    shown = repr(str(value))
    return f" (got {shown})" if len(shown) <= _LONGEST_SHOWN else f" (got {shown[:60]}...)"


Text = Annotated[str, AfterValidator(check_text)]
Name = Annotated[Text, AfterValidator(check_name)]
Group = Annotated[Name, AfterValidator(check_group)]
TopicName = Annotated[str, AfterValidator(check_topic)]
Brokers = Annotated[Text, AfterValidator(check_brokers)]
Security = Annotated[str, AfterValidator(check_security)]
Mechanism = Annotated[str, AfterValidator(check_mechanism)]
Password = Annotated[SecretStr, AfterValidator(check_password)]
TokenUrl = Annotated[Name, AfterValidator(check_token_url)]
RedisUrl = Annotated[Name, AfterValidator(check_redis_url)]
Host = Annotated[Name, AfterValidator(check_host)]
Keys = Annotated[str, AfterValidator(check_keys)]
Origins = Annotated[Text, AfterValidator(check_origins)]
WebAddress = Annotated[Text, AfterValidator(check_web_address)]
Secret = Annotated[str, AfterValidator(check_secret)]
Level = Annotated[str, AfterValidator(check_level)]
Specification = Annotated[Text, AfterValidator(str.strip)]
