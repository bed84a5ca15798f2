"""The topics of a deployment: declared where missing, and checked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from stream_persona.errors import TopologyError, UnavailableError
from stream_persona.kafka.connection import connection_options, start_client
from stream_persona.kafka.refusals import explain_missing_right
from stream_persona.kafka.tokens import TokenError
from stream_persona.retrying import retry_until
from stream_persona.settings import Settings

T = TypeVar("T")

logger = logging.getLogger(__name__)

DEADLINE_SECONDS = 30.0
_FORWARDED_BYTES = 8_388_608


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the system needs it."""

    name: str
    partitions: int
    configs: dict[str, str]


def list_topics(settings: Settings) -> list[Topic]:
    """Return every topic of a deployment; those keyed by customer have one partition count."""
    count = settings.partitions
    # Arrival by the broker's clock: a producer whose clock is wrong must not date its own events.
    arrived = {"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime"}
    # A message that was just within the limit gets headers on its way here.
    roomy = {**arrived, "max.message.bytes": str(_FORWARDED_BYTES)}
    return [
        *(Topic(name, count, arrived) for name in settings.input_topics),
        Topic(settings.topic_reroutes, count, roomy),
        Topic(settings.topic_changes, count, {"cleanup.policy": "compact"}),
        Topic(settings.topic_dead_letters, count, roomy),
    ]


async def ask(settings: Settings, question: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
    """Return what a broker answers, asking another one while the first is just dying.

    Raises:
        TopologyError: brokers refuse the login, or it lacks a right.
        UnavailableError: none answered in ``settings.retry_seconds``, or not as expected.
    """

    async def ask_once() -> T:
        admin = await _connect(settings)
        try:
            with explain_missing_right(settings, "Describe"):
                return await question(admin)
        except KafkaError as error:
            if not error.retriable:
                raise _make_unexpected_error(settings, error) from error
            raise
        finally:
            await admin.close()

    deadline = asyncio.get_running_loop().time() + settings.retry_seconds
    try:
        return await retry_until(deadline, ask_once, on=KafkaError)
    except KafkaError as error:
        raise _make_unexpected_error(settings, error) from error


def _make_unexpected_error(settings: Settings, error: KafkaError) -> UnavailableError:
    return UnavailableError(f"the broker at {settings.brokers} did not answer as expected: {error}")


async def _connect(settings: Settings) -> AIOKafkaAdminClient:
    async def connect_once() -> AIOKafkaAdminClient:
        admin = AIOKafkaAdminClient(**connection_options(settings))
        try:
            await start_client(admin, settings)
        except BaseException:
            await admin.close()
            raise
        return admin

    deadline = asyncio.get_running_loop().time() + settings.retry_seconds
    try:
        return await retry_until(deadline, connect_once, on=(KafkaError, ValueError))
    except (KafkaError, ValueError) as error:
        message = (
            f"no Kafka broker answered at {settings.brokers} for "
            f"{settings.retry_seconds:g} s ({error}); set STREAM_PERSONA_BROKERS, and "
            "STREAM_PERSONA_KAFKA_SECURITY if it takes TLS or a login"
        )
        if isinstance(error, TokenError):
            message = f"{error.args[0]}; tried for {settings.retry_seconds:g} s"
        raise UnavailableError(message) from error


async def declare(
    admin: AIOKafkaAdminClient, wanted: list[Topic], replication: int, brokers: int
) -> None:
    """Create the topics that are missing, where the broker allows it.

    Raises:
        TopologyError: a topic can't be created.
    """
    existing = set(await admin.list_topics())
    missing = [topic for topic in wanted if topic.name not in existing]
    if not missing:
        return
    if replication > brokers:
        message = f"STREAM_PERSONA_REPLICATION: {replication} replicas take as many brokers"
        raise TopologyError(f"{message}, and there are {brokers}; set it to {brokers} or less")
    new = [
        NewTopic(topic.name, topic.partitions, replication, topic_configs=topic.configs)
        for topic in missing
    ]
    try:
        response = await admin.create_topics(new)
    except (KafkaError, AttributeError) as error:
        # The embedded broker has no controller to ask (an AttributeError in the client), and
        # makes topics when they are first used.
        logger.debug("the broker does not create topics: %s", error)
        return
    for name, code, *_ in response.topic_errors:
        if code not in {0, TopicAlreadyExistsError.errno}:
            message = f"topic {name} cannot be created: {for_code(code).__name__}"
            raise TopologyError(
                f"{message}; create it yourself, or allow the worker to (ACL: Create on the topic)"
            )
        logger.info("created topic %s", name)


async def check_partitions(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    """Check that topics exist and have the deployment's number of partitions.

    An input topic may have more: its events are rerouted.

    Raises:
        TopologyError: names the topic and what to do.
    """
    wanted = list_topics(settings)
    seconds = DEADLINE_SECONDS if settings.declare_topics else 0.0
    found = await load_partition_counts(admin, [topic.name for topic in wanted], seconds)
    for topic in wanted:
        count = found.get(topic.name, 0)
        if not count:
            message = (
                f"topic {topic.name} does not exist; create it with {topic.partitions} "
                "partitions, or set STREAM_PERSONA_DECLARE_TOPICS=true"
            )
            raise TopologyError(message)
        if topic.name in settings.input_topics and count > topic.partitions:
            logger.warning(
                "topic %s has %d partitions where the deployment has %d: all its events take the "
                "detour over %s", topic.name, count, topic.partitions, settings.topic_reroutes,
            )  # fmt: skip
            continue
        if count != topic.partitions and topic.name != settings.topic_dead_letters:
            message = (
                f"topic {topic.name} has {count} partitions and STREAM_PERSONA_PARTITIONS is "
                f"{topic.partitions}: all customer-keyed topics need the same number; "
                f"set it to {count}, or create the topic anew"
            )
            raise TopologyError(message)


async def load_partition_counts(
    admin: AIOKafkaAdminClient, names: list[str], seconds: float
) -> dict[str, int]:
    """Return the partition counts of existing topics; wait for those just created."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        found = {
            topic["topic"]: len(topic["partitions"])
            for topic in await admin.describe_topics(names)
            if topic["error_code"] == 0
        }
        if len(found) == len(names) or loop.time() > deadline:
            return found
        await asyncio.sleep(0.1)


async def check_policies(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    """Check that changes are compacted, and that dead letters are not.

    A new consumer finds every customer's last change; and any message can become a letter, while
    a compacted topic takes none without a key.

    Raises:
        TopologyError: a topic has another policy.
    """
    changes, letters = settings.topic_changes, settings.topic_dead_letters
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in (changes, letters)]
    try:
        answers = await admin.describe_configs(resources)
    except KafkaError as error:
        logger.debug("the broker does not describe its topics' settings: %s", error)
        return
    for answer in answers:
        for _, _, _, topic, entries in answer.resources:
            policies = [entry[1] for entry in entries if entry[0] == "cleanup.policy"]
            if not policies or ("compact" in policies[0]) == (topic == changes):
                continue
            message = (
                f"topic {changes} has cleanup.policy={policies[0]}; "
                "set it to compact, so that each customer's last change is kept"
                if topic == changes
                else f"topic {letters} has cleanup.policy={policies[0]}; "
                "set it to delete, since a message without a key may become a letter"
            )
            raise TopologyError(message)
