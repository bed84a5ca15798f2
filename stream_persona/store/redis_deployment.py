"""The deployment's descriptor in Redis: one key, so that it is the same on a Cluster."""

from __future__ import annotations

from typing import Final

from stream_persona.errors import RedisUnavailableError
from stream_persona.store.redis_access import RedisAccess

#: Returns 1 also if an earlier try, whose answer was lost, has replaced it.
_REPLACE: Final = """
local found = redis.call('GET', KEYS[1])
if found == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return (found == ARGV[1] or found == ARGV[2]) and 1 or 0
"""


class DeploymentInRedis(RedisAccess):
    """The part of the tables that holds the descriptor."""

    async def create_deployment(self, blob: bytes) -> bytes:
        await self._run(("SET", self._keys.of("deployment"), blob, "NX"))
        found = await self.load_deployment()
        if found is None:
            message = "Redis does not keep what is written to it: the deployment's descriptor went"
            raise RedisUnavailableError(message)
        return found

    async def load_deployment(self) -> bytes | None:
        found: bytes | None
        (found,) = await self._run(("GET", self._keys.of("deployment")))
        return found

    async def replace_deployment(self, old: bytes, new: bytes) -> bool:
        (done,) = await self._run(("EVAL", _REPLACE, 1, self._keys.of("deployment"), old, new))
        return bool(done)
