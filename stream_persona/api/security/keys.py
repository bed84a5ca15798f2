"""Keys: their names, their scopes, and the file that holds their digests.

A key is random and long, so that its SHA-256 alone, without salt and rounds, does not give it away.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stream_persona.api.security.logins import Login, check_login, make_logins
from stream_persona.api.security.scopes import SCOPES
from stream_persona.domain.toml_lines import find_line, find_lines, find_wrong_line
from stream_persona.errors import SettingsError
from stream_persona.setting_forms import LEAST_KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stream_persona.api.security.scopes import Scope

#: Random bytes of a key that we make, and what it begins with, by which scanners find a lost one.
_RANDOM_BYTES: Final = 32
_MARK: Final = "spk_"
_FIELDS: Final = ("name", "sha256", "scopes")
#: Names are written into logs; those of keys in a setting can't be taken.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_OF_SETTING: Final = "API_KEYS"
LOOPBACK: Final = "loopback"

_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A key, without itself: a name, the SHA-256 of it, and what it is good for."""

    name: str
    digest: bytes
    scopes: frozenset[Scope]


class KeyRing:
    """The valid keys at a time.

    Digests of one length are compared, each with every key, so that the time it takes reveals
    nothing of a key.
    """

    def __init__(self, keys: Iterable[Key] = (), logins: Iterable[Login] = ()) -> None:
        self._keys = tuple(keys)
        self.logins = tuple(logins)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def find(self, given: bytes) -> Key | None:
        """Return the key that was given; none that is too short is valid, whatever a file says."""
        digest = hashlib.sha256(given).digest()
        same = [hmac.compare_digest(digest, each.digest) for each in self._keys]
        if len(given) < LEAST_KEY_BYTES or not any(same):
            return None
        return self._keys[same.index(True)]


def make_setting_keys(keys: Iterable[str]) -> list[Key]:
    """Return the keys of ``STREAM_PERSONA_API_KEYS``: each is good for everything."""
    return [
        Key(f"{_OF_SETTING}-{number}", _digest(key), frozenset(SCOPES))
        for number, key in enumerate(keys, 1)
    ]


def make_key(name: str, scopes: Iterable[str]) -> tuple[str, str]:
    """Make a key; return it, and the table that stands for it in the file of keys.

    Raises:
        SettingsError: the name or a scope is none.
    """
    key = f"{_MARK}{secrets.token_urlsafe(_RANDOM_BYTES)}"
    listed = ", ".join(f'"{scope}"' for scope in dict.fromkeys(scopes))
    table = f'[[key]]\nname = "{name}"\nsha256 = "{_digest(key).hex()}"\nscopes = [{listed}]\n'
    mistakes = [] if _is_name(name) else [_explain_name()]
    mistakes += _check_scopes([*scopes])
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return key, table


def parse_keys(text: str, source: str, taken: Iterable[Key] = ()) -> KeyRing:
    """Parse a file of keys; ``taken`` are keys that belong to the ring as well, and come first.

    Raises:
        SettingsError: names each mistake with its line; no digest or key stands in it.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = find_wrong_line(text, error)
        # What the parser says may repeat a piece of the file.
        raise SettingsError(f"{source}:{line}: this is not valid TOML; write [[key]] tables with "
                            "name, sha256 and scopes") from None  # fmt: skip
    mistakes = [*_find_mistakes(document, [*taken])]
    if mistakes:
        lines = find_lines(text)
        raise SettingsError(
            "\n".join(f"{source}:{find_line(lines, path)}: {what}" for path, what in mistakes)
        )
    own = [
        Key(each["name"], bytes.fromhex(each["sha256"]), frozenset(each["scopes"]))
        for each in document.get("key", ())
    ]
    return KeyRing([*taken, *own], make_logins(document))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _find_mistakes(document: Mapping[str, Any], taken: list[Key]) -> Iterator[tuple[_Path, str]]:
    for name in document.keys() - {"key", "login"}:
        yield (
            (name,),
            f"{_show(name)} is not known here: a file of keys has [[key]] and [[login]] tables",
        )
    tables, logins = document.get("key", []), document.get("login", [])
    if not isinstance(tables, list) or not isinstance(logins, list) or not (tables or logins):
        yield ("key",), "there is no [[key]] table: make one with `stream-persona keys new`"
        return
    for number, login in enumerate(logins):
        for field, what in _check_login(login):
            yield ("login", number, field), what
    names = {each.name: "STREAM_PERSONA_API_KEYS" for each in taken}
    digests = {each.digest.hex(): each.name for each in taken}
    for number, table in enumerate(tables):
        if not isinstance(table, dict):
            yield ("key", number), "expected a [[key]] table"
            continue
        for field, what in _check_table(table):
            yield ("key", number, field), what
        yield from _find_repeats(("key", number), table, names, digests)


def _check_table(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in table.keys() - set(_FIELDS):
        yield name, f"{_show(name)} is not known here: a key has name, sha256 and scopes"
    for name in _FIELDS:
        if name not in table:
            yield name, f"the key has no {name}"
    if "name" in table and not _is_name(table["name"]):
        yield "name", _explain_name()
    digest = table.get("sha256", "0" * 64)
    if not (isinstance(digest, str) and re.fullmatch(r"[0-9a-fA-F]{64}", digest)):
        yield "sha256", "sha256: expected the 64 hexadecimal digits of the key's SHA-256"
    elif digest.lower() == hashlib.sha256(b"").hexdigest():
        yield "sha256", "sha256: this is the digest of nothing; the key was lost on its way"
    if "scopes" in table:
        yield from (("scopes", what) for what in _check_scopes(table["scopes"]))


def _check_login(table: object) -> Iterator[tuple[str, str]]:
    if not isinstance(table, dict):
        yield "", "expected a [[login]] table"
        return
    yield from check_login(table)
    yield from (("scopes", what) for what in _check_scopes(table.get("scopes")))


def _check_scopes(given: object) -> list[str]:
    known = ", ".join(SCOPES)
    if not isinstance(given, list) or not given:
        return [f"scopes: expected a list of at least one of {known}"]
    return [
        f"scopes: {_show(each)} is no scope; expected some of {known}"
        for each in given
        if each not in SCOPES
    ]


def _find_repeats(
    path: _Path, table: Mapping[str, Any], names: dict[str, str], digests: dict[str, str]
) -> Iterator[tuple[_Path, str]]:
    """Find what other keys have already, and note what this one has."""
    name, digest = str(table.get("name")), str(table.get("sha256")).lower()
    if name in names:
        yield (*path, "name"), f"another key has the name {name!r}; give each one of its own"
    if "sha256" in table and digest in digests:
        yield (
            (*path, "sha256"),
            f"this is the key of {digests[digest]!r} once more; make one for each caller",
        )
    names[name], digests[digest] = name, name


def _is_name(given: object) -> bool:
    is_form = isinstance(given, str) and bool(_NAME.fullmatch(given))
    return is_form and given != LOOPBACK and not str(given).startswith(_MARK)


def _explain_name() -> str:
    return (
        "name: expected 1 to 64 of the characters a-z A-Z 0-9 . _ @ -, not `loopback` nor a key, "
        "a letter or a digit first"
    )


def _show(given: object) -> str:
    """Show what stands where it should not, unless it may be a key that was pasted there."""
    text = str(given)
    return repr(text) if len(text) < LEAST_KEY_BYTES else "what stands here"
