"""The keys of an API process, read anew each second: a change of their file needs no restart."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from starlette.requests import cookie_parser

from stream_persona import audit_log
from stream_persona.api.security.caller import Caller
from stream_persona.api.security.keys import KeyRing, make_setting_keys, parse_keys
from stream_persona.api.security.logins import collect_scopes
from stream_persona.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.datastructures import Headers

    from stream_persona.api.security.oidc import Provider
    from stream_persona.api.security.scopes import Scope
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds between two looks at the file.
INTERVAL: Final = 1.0
#: The cookie that represents a key: an ``EventSource`` can send no headers. It holds the key, in
#: another alphabet: a cookie made of what the server has, the digest, could be made by whoever
#: reads the file of digests. No script can read it, and it is valid for as long as its key.
COOKIE: Final = "stream_persona_key"
#: That of a person that an OpenID provider has named.
SESSION_COOKIE: Final = "stream_persona_session"
_SETTING: Final = "STREAM_PERSONA_API_KEYS_FILE"
#: Most bytes of the file.
_MOST: Final = 1_000_000


class ApiKeys:
    """The valid keys: those of the setting, and those that their file holds just now.

    Where the file can't be used the keys that it held before stay valid meanwhile. ``changed`` is
    called when keys have.
    """

    def __init__(self, settings: Settings, wall_clock: Callable[[], float] = time.time) -> None:
        """Read the file.

        Raises:
            SettingsError: it can't be read, or has mistakes.
        """
        self._fixed = make_setting_keys(settings.keys)
        self._file = settings.api_keys_file
        self.changed: Callable[[], None] = lambda: None
        #: Whether callers need a key: settings decide, whatever has become of the file.
        self.needed = settings.needs_key
        self._last: bytes | None = None
        self._trouble: str | None = None
        self._wall_clock = wall_clock
        self.provider = _make_provider(settings, wall_clock)
        self.ring = KeyRing(self._fixed)
        if self._file is not None:
            self._last = _read(self._file)
            self.ring = self._parse(self._last)
            _warn_of_readers(self._file)

    @property
    def troubles(self) -> list[str]:
        """What is wrong with the file, in a sentence without a full stop."""
        return [] if self._trouble is None else [self._trouble]

    async def refresh(self) -> None:
        """Look at the file; keep what was valid before where it can't be read."""
        if self._file is None:
            return
        try:
            found = await asyncio.to_thread(_read, self._file)
        except SettingsError as error:
            self._last = None
            self._report(error)
            return
        if found == self._last:
            return
        self._last = found
        try:
            ring = self._parse(found)
        except SettingsError as error:
            self._report(error)
            return
        self._trouble = None
        _warn_of_readers(self._file)
        self._replace(ring)

    def identify(self, headers: Headers) -> Caller | None:
        """Return the caller with these headers, or None if they hold no valid key."""
        given = _find_key(headers)
        if given is not None:
            return self.find(given)
        cookies = cookie_parser(headers.get("cookie", ""))
        if COOKIE in cookies and (caller := self.find(_decode(cookies[COOKIE]), by_cookie=True)):
            return caller
        if self.provider is None or SESSION_COOKIE not in cookies:
            return None
        return self._find_person(cookies[SESSION_COOKIE])

    def _find_person(self, session: str) -> Caller | None:
        """Return the caller of a session; one that no table lets in any more is none."""
        person = self.provider.find_person(session) if self.provider else None
        scopes = frozenset() if person is None else collect_scopes(self.ring.logins, person)
        if person is None or not scopes:
            return None
        return Caller(person.name, scopes, by_cookie=True, person=person)

    def find(self, given: bytes, *, by_cookie: bool = False) -> Caller | None:
        """Return the caller who has this key."""
        key = self.ring.find(given)
        return None if key is None else Caller(key.name, key.scopes, by_cookie, key.digest)

    def may_go_on(self, caller: Caller | None, scope: Scope) -> bool:
        """Whether a caller who was let in still may do something: keys come and go."""
        if not self.needed:
            return True
        if caller is not None and caller.person is not None:
            has_ended = caller.person.until <= self._wall_clock()
            return not has_ended and scope in collect_scopes(self.ring.logins, caller.person)
        digests = {key.digest for key in self.ring if scope in key.scopes}
        return caller is not None and caller.digest in digests

    def make_cookie(self, given: str) -> str | None:
        """Return the cookie that represents a key, or None if the key is not valid."""
        key = given.encode(errors="replace")
        if self.ring.find(key) is None:
            return None
        return base64.urlsafe_b64encode(key).decode().rstrip("=")

    def _parse(self, found: bytes) -> KeyRing:
        try:
            text = found.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SettingsError(
                f"{_SETTING}: {self._file}: it is not UTF-8; write it anew"
            ) from None
        try:
            ring = parse_keys(text, str(self._file), self._fixed)
        except SettingsError as error:
            lines = str(error).splitlines()
            raise SettingsError("\n".join(f"{_SETTING}: {line}" for line in lines)) from None
        if self.provider is not None and not ring.logins:
            message = f"{_SETTING}: {self._file} has no [[login]] table: name who is let in"
            raise SettingsError(message)
        return ring

    def _report(self, error: SettingsError) -> None:
        """Report it once, and show it for as long as it lasts."""
        first = str(error).splitlines()[0]
        sentence = f"The file of keys can't be used, those of before stay valid: {first}"
        if sentence != self._trouble:
            logger.error("the keys of before stay valid: %s", error)
            audit_log.write("keys", "file", "failed", {})
        self._trouble = sentence

    def _replace(self, ring: KeyRing) -> None:
        before, now = {each.name: each for each in self.ring}, {each.name: each for each in ring}
        self.ring = ring
        changes = {
            "added": sorted(now.keys() - before.keys()),
            "removed": sorted(before.keys() - now.keys()),
            "altered": sorted(n for n in now.keys() & before.keys() if now[n] != before[n]),
        }
        if any(changes.values()):
            logger.info("the keys of the API have changed: %s", changes)
            audit_log.write("keys", "file", "changed", changes)
            self.changed()


def _make_provider(settings: Settings, wall_clock: Callable[[], float]) -> Provider | None:
    if not settings.oidc_issuer:
        return None
    try:
        from stream_persona.api.security.oidc import Provider  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        message = "STREAM_PERSONA_OIDC_ISSUER: pip install 'stream-persona[oidc]' to log people in"
        raise SettingsError(f"{message} ({error.name} is missing)") from None
    return Provider(settings, wall_clock)


def _read(file: Path) -> bytes:
    """Read the file.

    Raises:
        SettingsError: it can't be.
    """
    try:
        with file.open("rb") as opened:
            found = opened.read(_MOST + 1)
    except OSError as error:
        message = f"{_SETTING}: {file} can't be read ({error.strerror})"
        raise SettingsError(f"{message}; name a file that the process may read") from None
    if len(found) > _MOST:
        raise SettingsError(f"{_SETTING}: {file} is larger than {_MOST:,} bytes: is it of keys?")
    return found


def _warn_of_readers(file: Path) -> None:
    """Warn where others on this machine may read the file of keys, or write it."""
    with suppress(OSError):
        mode = file.stat().st_mode
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            logger.warning(
                "%s: others may read or write %s (mode %o): chmod 640 %s",
                _SETTING, file, stat.S_IMODE(mode), file,
            )  # fmt: skip


def _find_key(headers: Headers) -> bytes | None:
    """Return what is sent as a key; None where nothing is."""
    keys, logins = headers.getlist("x-api-key"), headers.getlist("authorization")
    if len(keys) > 1 or len(logins) > 1:  # a proxy may have looked at another one of them
        return b""
    if keys:
        return keys[0].encode("latin-1")
    scheme, _, token = "".join(logins).partition(" ")
    if scheme.lower() == "bearer":
        return token.strip().encode("latin-1")
    if scheme.lower() == "basic":  # the key is the user, with an empty password
        user, colon, password = _decode(token.strip()).partition(b":")
        return user if colon and not password else b""
    return None


def _decode(text: str) -> bytes:
    """Decode Base64 of either alphabet; what is none is no key."""
    padded = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
