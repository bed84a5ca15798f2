"""At the start, the topics that keep their producers' times are named with what that means."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import errors as kafka
from aiokafka.admin import AIOKafkaAdminClient

from stream_persona.kafka.timestamps import warn_of_producers_times
from stream_persona.kafka.topics import list_topics
from stream_persona.settings import Settings

SETTINGS = Settings(_env_file=None, brokers="one:9092")


class Broker:
    """Describes each input topic, with these times of its messages."""

    def __init__(self, times: dict[str, str], error: Exception | None = None) -> None:
        self._times, self._error = times, error

    async def describe_configs(self, resources: list[Any]) -> list[Any]:
        if self._error is not None:
            raise self._error
        return [
            SimpleNamespace(
                resources=[
                    (0, "", 2, each.name, [
                        ("cleanup.policy", "delete", False, False, False),
                        ("message.timestamp.type", self._times.get(each.name, "LogAppendTime"),
                         False, False, False),
                    ])
                ]
            )
            for each in resources
        ]  # fmt: skip


async def warnings(caplog: pytest.LogCaptureFixture, broker: Broker) -> list[str]:
    await warn_of_producers_times(cast("AIOKafkaAdminClient", broker), SETTINGS)
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


async def test_topics_with_producers_times_are_named_once_with_the_command_that_mends_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = Broker({"purchases": "CreateTime", "customer-deletions": "CreateTime"})
    (warning,) = await warnings(caplog, broker)
    assert "is not LogAppendTime for purchases, customer-deletions:" in warning
    assert "future_time" in warning
    assert "policy.clock_tolerance_seconds" in warning
    assert warning.endswith(
        "for topic in purchases customer-deletions; do kafka-configs.sh --bootstrap-server "
        "one:9092 --alter --entity-type topics --entity-name $topic --add-config "
        "message.timestamp.type=LogAppendTime; done"
    )


async def test_nothing_is_said_of_topics_with_arrivals_nor_where_the_broker_does_not_say(
    caplog: pytest.LogCaptureFixture,
) -> None:
    silent = (kafka.ClusterAuthorizationFailedError(), AttributeError("no controller"))
    for broker in (Broker({}), *(Broker({"purchases": "CreateTime"}, each) for each in silent)):
        assert not await warnings(caplog, broker)


def test_topics_that_we_make_hold_arrivals() -> None:
    made = {topic.name: topic.configs for topic in list_topics(SETTINGS)}
    for name in (*SETTINGS.input_topics, SETTINGS.topic_reroutes):
        assert made[name]["message.timestamp.type"] == "LogAppendTime"
