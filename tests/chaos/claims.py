"""Who owns the partitions of a trial's shop, and which writes its Redis knows."""

from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from redis.exceptions import RedisError

from tests.support.shop import Shop
from tests.support.waiting import eventually


class Claims:
    """The claims on the partitions of a shop, as its Redis has them.

    Redis may be away for ``seconds`` at most where it is waited for.
    """

    def __init__(self, shop: Shop, seconds: float) -> None:
        self._redis, self._settings, self._seconds = shop.redis, shop.settings, seconds

    async def read_owners(self) -> dict[int, bytes]:
        """Read the owners' tokens, by partition; none while Redis is away."""
        keys = [f"{self._settings.prefix}persona-owner:{p}" for p in self._partitions]
        with suppress(RedisError, OSError):
            found = cast("list[bytes | None]", await self._redis.mget(keys))
            return {p: token for p, token in enumerate(found) if token}
        return {}

    async def read_last_writes(self) -> dict[int, bytes]:
        """Read which write of each partition was the last, once Redis answers."""
        prefix, found = self._settings.prefix, dict[int, bytes]()

        async def answers() -> bool:
            with suppress(RedisError, OSError):
                for p in self._partitions:
                    write = await self._redis.hget(f"{prefix}persona-offsets:{p}", ":write")
                    found[p] = cast("bytes | None", write) or b""
                return True
            return False

        await eventually(answers, self._seconds, "Redis does not answer")
        return found

    async def wait_until_claimed_anew(self, written: Mapping[int, bytes], since: int) -> None:
        """Wait until each partition that has lost its last write is claimed, after ``since``.

        ``since`` is in microseconds since the epoch, as tokens are. A partition that had no write
        in the time that Redis has lost needs no new owner.
        """
        found = await self.read_last_writes()
        lost = {partition for partition, write in written.items() if found[partition] != write}
        assert lost, "Redis came back as it was"

        async def claimed_anew() -> bool:
            owners = await self.read_owners()
            return all(int(owners.get(partition, 0)) > since for partition in lost)

        await eventually(claimed_anew, self._seconds, f"{lost} were not claimed anew")

    @property
    def _partitions(self) -> range:
        return range(self._settings.partitions)
