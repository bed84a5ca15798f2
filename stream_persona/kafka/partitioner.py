"""The home partition of a customer."""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=200_000)
def find_home_partition(customer_id: str, partitions: int) -> int:
    """Return a customer's home: the partition that Java's and aiokafka's producers choose."""
    return (int(murmur2(customer_id.encode())) & 0x7FFFFFFF) % partitions
