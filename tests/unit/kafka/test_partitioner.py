"""Customers go to the partitions that other producers put them on."""

from aiokafka.partitioner import DefaultPartitioner

from stream_persona.kafka.partitioner import find_home_partition
from tests.support.constants import PERSONAS


def test_homes_are_those_of_other_producers() -> None:
    everything, chosen = list(range(12)), DefaultPartitioner()
    for name in [*PERSONAS, "é", "customer-1"]:
        assert find_home_partition(name, 12) == chosen(name.encode(), everything, everything)
