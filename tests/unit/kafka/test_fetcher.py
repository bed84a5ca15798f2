"""Brokers are asked for records only while these are waited for, and do not hold them back."""

from typing import Any

from stream_persona.kafka.faust_app import BatchApp, make_faust_options
from stream_persona.kafka.fetcher import ConsumerThread, FetchGate
from stream_persona.settings import Settings


async def test_quiet_partitions_hold_busy_ones_up_for_a_tenth_of_a_second_at_most() -> None:
    app = BatchApp(**make_faust_options(Settings(_env_file=None)))
    thread = ConsumerThread(app.consumer)
    made = thread._create_worker_consumer(app.transport)
    assert made._fetch_max_wait_ms <= 100
    await made.stop()


class Asking:
    """What a gate needs of aiokafka's fetcher, and of an assignment of one partition."""

    has_valid_position = True
    tps = ("a partition",)

    def __init__(self) -> None:
        self.notified = 0
        self._wait_consume_future = None

    def state_value(self, _: str) -> "Asking":
        return self

    def _get_actions_per_node(self, _: object) -> str:
        return "what is to be fetched"

    def _notify(self, _: object) -> None:
        self.notified += 1


def test_brokers_are_asked_only_while_records_are_waited_for() -> None:
    fetcher: Any = Asking()
    gate = FetchGate(fetcher)
    assert fetcher._get_actions_per_node(fetcher)[:2] == ([], {})
    with gate:
        assert fetcher.notified == 1
        assert fetcher._get_actions_per_node(fetcher) == "what is to be fetched"
    assert fetcher._get_actions_per_node(fetcher)[:2] == ([], {})


def test_the_beginning_of_a_partition_is_asked_for_at_once() -> None:
    fetcher: Any = Asking()
    FetchGate(fetcher)
    fetcher.has_valid_position = False
    assert fetcher._get_actions_per_node(fetcher) == "what is to be fetched"
