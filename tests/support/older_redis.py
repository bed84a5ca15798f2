"""A deployment's keys put back as they were: what a Redis that comes back older holds.

An older file that is put back, and a replica that lagged and is promoted, look the same from
outside: at one moment, everything is as it was some time before. Both are done for real, by killing
servers, in ``make faults`` and ``make chaos``.
"""

from typing import Any

import redis

_TAKE = """
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  found[#found + 1] = key
  found[#found + 1] = redis.call('DUMP', key)
  found[#found + 1] = math.max(redis.call('PTTL', key), 0)
end
return found
"""
_PUT_BACK = """
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  redis.call('DEL', key)
end
for at = 2, #ARGV, 3 do
  redis.call('RESTORE', ARGV[at], ARGV[at + 2], ARGV[at + 1], 'REPLACE')
end
"""


class Snapshot:
    """All keys of a prefix on one server, at one moment."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url, self._prefix = url, prefix
        with self._connect() as server:
            self._values: list[Any] = server.eval(_TAKE, 0, prefix)

    def put_back(self) -> None:
        """Let the server hold these keys alone, from one moment to the next."""
        self.put_back_under(self._prefix)

    def put_back_under(self, prefix: str) -> None:
        """Let the server hold nothing else of a prefix: with an empty snapshot, it is flushed."""
        with self._connect() as server:
            server.eval(_PUT_BACK, 0, prefix, *self._values)

    def _connect(self) -> redis.Redis:
        return redis.Redis.from_url(self._url)
