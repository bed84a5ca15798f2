"""Deployments in one Redis whose prefixes overlap: a key of the one can be a key of the other.

A key is the prefix, ``persona`` or ``persona-<kind>``, a colon and a name. Others choose the names:
a customer may be called ``persona:x``. So a prefix that continues another one as such a key begins
overlaps with it, as ``persona:`` does with the empty one: customer ``persona:x`` of the deployment
without a prefix and ``x`` of the other have the same record, whoever scans the one's records meets
the other's, and so on. Any other two prefixes have no key in common: neither continues the other,
or it goes on with what no key of the other begins with.

Two deployments of one prefix in two databases of one server have no key in common, but a channel:
channels know no databases.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from redis.exceptions import NoPermissionError, ResponseError

from stream_persona.errors import TopologyError
from stream_persona.store.entries import escape_pattern
from stream_persona.store.tables import Keyspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stream_persona.store.redis import RedisTables
    from stream_persona.store.redis_port import Store

logger = logging.getLogger(__name__)

#: How keys with a name begin behind the prefix, of all kinds that may come; and those of today
#: whose names others choose.
_BEGINNING: Final = re.compile(r"(?=persona(?:-[a-z-]+)?:)")
_PLAIN: Final = (
    "persona:", "persona-state:", "persona-deleted:", "persona-damaged:", "persona-affinity:",
    "persona-tastes:",
)  # fmt: skip
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


def list_shorter_overlapping(prefix: str) -> Iterator[str]:
    """Yield the prefixes that a prefix continues so that they overlap; the shortest is the first.

    >>> list(list_shorter_overlapping("shop:persona:eu:"))
    ['shop:']
    """
    return (prefix[: found.start()] for found in _BEGINNING.finditer(prefix))


async def refuse_overlaps(prefix: str, tables: RedisTables) -> None:
    """Refuse to run beside a deployment whose prefix overlaps with this one.

    Of longer prefixes the plain ones are looked up. A deployment that is not made yet looks for all
    others among all keys, which takes a while; later on it need not: they look for it.

    Raises:
        TopologyError: there is one; names it, and what to do.
        UnavailableError: Redis stayed away.
    """
    others = [*list_shorter_overlapping(prefix), *(prefix + each for each in _PLAIN)]
    found = await tables.ask(lambda store: _find_deployments(store, others))
    if not found and await tables.load_deployment() is None:
        found = await _find_longer(prefix, tables)
    if found:
        raise TopologyError(_explain(prefix, found[0]))
    if databases := await tables.ask(lambda store: _find_elsewhere(store, prefix)):
        raise TopologyError(
            f"STREAM_PERSONA_PREFIX {prefix!r}: database {databases[0]} of this Redis server holds "
            "another deployment with this prefix, and both would send their changes through one "
            "channel, since channels know no databases: give one of them a prefix of its own"
        )


async def _find_deployments(store: Store, prefixes: Iterable[str]) -> list[str]:
    """Find those of some prefixes that a deployment in this Redis has."""
    found = []
    for prefix in prefixes:
        with suppress(NoPermissionError):  # what we may not look at we can't read or write either
            (kind,) = await store.run(("TYPE", Keyspace(prefix).of("deployment")))
            found += [prefix] if kind != b"none" else []
    return found


async def _find_longer(prefix: str, tables: RedisTables) -> list[str]:
    """Find the prefixes of deployments that continue this one so that they overlap."""
    pattern, cursor = f"{escape_pattern(prefix)}persona*{_DESCRIPTOR}", 0
    found = []
    while True:
        cursor, keys = await tables.ask(
            lambda store, at=cursor: store.scan(at, pattern, _SCANNED)  # type: ignore[misc]
        )
        others = [key.decode(errors="replace").removesuffix(_DESCRIPTOR) for key in keys]
        found += [other for other in others if prefix in list_shorter_overlapping(other)]
        if not cursor:
            return found


async def _find_elsewhere(store: Store, prefix: str) -> list[str]:
    """Find the other databases of a server that hold a deployment with this prefix."""
    own = store.database
    if own is None:
        return []
    key = Keyspace(prefix).of("deployment")
    try:
        (info,) = await store.run(("INFO", "keyspace"))
        others = [name for name in _read_databases(info) if name != str(own)]
        (found,) = await store.run(("EVAL", _FIND_IN_DATABASES, 1, key, *others))
    except (NoPermissionError, ResponseError) as error:
        logger.info("other databases of this Redis are not looked at: it refuses to (%s)", error)
        return []
    return [each.decode() for each in found]


def _read_databases(info: object) -> list[str]:
    """Read which databases hold any key, from either form of an answer."""
    if isinstance(info, dict):
        return [str(name).removeprefix("db") for name in info]
    text = info.decode() if isinstance(info, bytes) else str(info)
    return re.findall(r"^db(\d+):", text, flags=re.MULTILINE)


def _explain(own: str, other: str) -> str:
    return (
        f"STREAM_PERSONA_PREFIX {own!r} and {other!r}, of another deployment in this Redis, "
        "overlap: a customer's key in the one may be a key of the other; give this one a prefix "
        "that does not continue the other with `persona:` or the like: 'shop-a:' beside 'shop-b:'"
    )
