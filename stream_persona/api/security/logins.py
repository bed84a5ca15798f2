"""Logins: the scopes of an OpenID provider's people; ``[[login]]`` tables in the file of keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from stream_persona.errors import StreamPersonaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stream_persona.api.security.scopes import Scope

_KINDS: Final = ("domain", "group")
_DOMAIN: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


class LoginError(StreamPersonaError):
    """A login failed; the sentence is for the person, the log says why."""


class ProviderAwayError(LoginError):
    """The provider does not answer."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person as a provider has named them: a verified e-mail address, if any, and groups.

    ``until`` is when the session ends, in epoch seconds.
    """

    subject: str
    email: str
    groups: frozenset[str]
    until: int

    @property
    def name(self) -> str:
        """The name in the audit log."""
        return f"login {self.email or self.subject}"


@dataclass(frozen=True, slots=True)
class Login:
    """The scopes of all whose address is of a domain, or who are in a group."""

    kind: Literal["domain", "group"]
    value: str
    scopes: frozenset[Scope]

    def admits(self, person: Person) -> bool:
        """Whether a person is one of them."""
        if self.kind == "domain":
            _, at, domain = person.email.rpartition("@")
            return bool(at) and domain.lower() == self.value
        return self.value in person.groups


def make_logins(document: Mapping[str, Any]) -> list[Login]:
    """Return the logins of a file without mistakes."""
    return [
        Login(kind, table[kind], frozenset(table["scopes"]))
        for table in document.get("login", ())
        for kind in _KINDS
        if kind in table
    ]


def collect_scopes(logins: Iterable[Login], person: Person) -> frozenset[Scope]:
    """Return what a person may do: the scopes of all that admit them."""
    return frozenset[Any]().union(*(each.scopes for each in logins if each.admits(person)))


def check_login(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each mistake of a table but for its scopes', after its field."""
    for name in table.keys() - {*_KINDS, "scopes"}:
        yield name, f"{name!r} is not known here: a login has a domain or a group, and scopes"
    kinds = [kind for kind in _KINDS if kind in table]
    if len(kinds) != 1:
        yield "", "a login has either a domain or a group"
        return
    value = table[kinds[0]]
    if kinds[0] == "domain" and not (isinstance(value, str) and _DOMAIN.fullmatch(value)):
        yield "domain", "domain: expected what follows the @ of an address, as shop.example"
    if kinds[0] == "group" and not (isinstance(value, str) and value.strip()):
        yield "group", "group: expected the name of a group as the provider writes it"
