"""Deployments in one Redis whose prefixes overlap: a key of the one can be a key of the other.

A key is the prefix, ``persona`` or ``persona-<kind>``, a colon and a name. Names are chosen by others:
a customer may be called ``persona:x``. So a prefix that continues another one with the beginning
of such a key, as ``persona:`` continues the empty one, overlaps with it: customer ``persona:x``
of the deployment without a prefix and ``x`` of the other have the same record, whoever scans the
one's records meets the other's, and so on. Any other two prefixes have no key in common: neither
continues the other, or it goes on with what no key of the other begins with.

Two deployments of one prefix in two databases of one server have no key in common, but a channel:
channels know no databases.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from redis.exceptions import NoPermissionError, ResponseError

from stream_persona.errors import TopologyError
from stream_persona.store.entries import escape
from stream_persona.store.tables import Keyspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_persona.store.redis import RedisTables
    from stream_persona.store.redis_port import Store

logger = logging.getLogger(__name__)

#: How the keys of customers and of personas begin, behind the prefix.
_BEGINNING: Final = re.compile(r"persona(?:-[a-z-]+)?:")
_DESCRIPTOR: Final = "persona-deployment"
#: Keys looked at in one scan.
_SCANNED: Final = 10_000
#: Returns which databases hold a key; a script's SELECT ends with the script.
_FIND_IN_DATABASES: Final = """
local found = {}
for _, database in ipairs(ARGV) do
  redis.call('SELECT', database)
  if redis.call('EXISTS', KEYS[1]) == 1 then found[#found + 1] = database end
end
return found
"""


def shorter_overlapping(prefix: str) -> Iterator[str]:
    """Yield the prefixes that a prefix continues so that they overlap; the shortest is the first.

    >>> list(shorter_overlapping("shop:persona:eu:"))
    ['shop:']
    """
    return (prefix[: found.start()] for found in _BEGINNING.finditer(prefix))


def overlap(one: str, other: str) -> bool:
    """Whether two prefixes overlap."""
    return one in shorter_overlapping(other) or other in shorter_overlapping(one)


async def refuse_overlaps(prefix: str, tables: RedisTables) -> None:
    """Refuse to run beside a deployment whose prefix overlaps with this one.

    A deployment that is not made yet looks at all keys for those that continue its prefix; later
    on it need not: they look for it.

    Raises:
        TopologyError: there is one; names it, and what to do.
        UnavailableError: Redis stayed away.
    """
    for other in shorter_overlapping(prefix):
        if await tables.ask(lambda store, key=other + _DESCRIPTOR: _exists(store, key)):  # type: ignore[misc]
            raise TopologyError(_explain(prefix, other))
    if await tables.load_deployment() is None and (longer := await _find_longer(prefix, tables)):
        raise TopologyError(_explain(prefix, longer))
    if databases := await tables.ask(lambda store: _find_elsewhere(store, prefix)):
        raise TopologyError(
            f"STREAM_PERSONA_PREFIX {prefix!r}: database {databases[0]} of this Redis server holds "
            "another deployment with this prefix, and both would send their changes through one "
            "channel, since channels know no databases: give one of them a prefix of its own"
        )


async def _exists(store: Store, key: str) -> bool:
    try:
        (kind,) = await store.run(("TYPE", key))
    except NoPermissionError:  # what it may not look at it can't read or write either
        return False
    return bool(kind != b"none")


async def _find_longer(prefix: str, tables: RedisTables) -> str | None:
    """Find the prefix of a deployment that continues this one so that they overlap."""
    pattern, cursor = f"{escape(prefix)}persona*{_DESCRIPTOR}", 0
    while True:
        cursor, keys = await tables.ask(
            lambda store, at=cursor: store.scan(at, pattern, _SCANNED)  # type: ignore[misc]
        )
        for key in keys:
            other = key.decode(errors="replace").removesuffix(_DESCRIPTOR)
            if prefix in shorter_overlapping(other):
                return str(other)
        if not cursor:
            return None


async def _find_elsewhere(store: Store, prefix: str) -> list[str]:
    """Find the other databases of a server that hold a deployment with this prefix."""
    own = store.database
    if own is None:
        return []
    key = Keyspace(prefix).of("deployment")
    try:
        (info,) = await store.run(("INFO", "keyspace"))
        others = [name for name in _databases(info) if name != str(own)]
        (found,) = await store.run(("EVAL", _FIND_IN_DATABASES, 1, key, *others))
    except (NoPermissionError, ResponseError) as error:
        logger.info("other databases of this Redis are not looked at: it refuses to (%s)", error)
        return []
    return [each.decode() for each in found]


def _databases(info: object) -> list[str]:
    """Read which databases hold any key, from either form of an answer."""
    if isinstance(info, dict):
        return [str(name).removeprefix("db") for name in info]
    text = info.decode() if isinstance(info, bytes) else str(info)
    return re.findall(r"^db(\d+):", text, flags=re.MULTILINE)


def _explain(own: str, other: str) -> str:
    return (
        f"STREAM_PERSONA_PREFIX {own!r} and {other!r}, of another deployment in this Redis, overlap: "
        "a customer's key in the one may be a key of the other; give this one a prefix that does "
        "not continue the other with `persona:` or the like, such as 'shop-a:' beside 'shop-b:'"
    )
