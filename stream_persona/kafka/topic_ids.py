"""The identities of topics: one that is deleted and made anew has the same name and another id.

aiokafka asks for metadata without ids, so this is Kafka's metadata request in the version that
brings them (KIP-516, Kafka 2.8 and newer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from uuid import UUID

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BytesIO

    from aiokafka.admin import AIOKafkaAdminClient


class _Id(AbstractType):  # type: ignore[misc]  # aiokafka has no types
    """16 bytes."""

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataResponse(Response):  # type: ignore[misc]  # the same
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Id),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]  # the same
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("id", _Id), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]  # the same
    API_KEY: ClassVar[int] = 3

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> Any:  # noqa: ANN401
        topics: list[tuple[UUID, str, dict[int, bytes]]] = [
            (UUID(int=0), name, {}) for name in self._names
        ]
        return request_struct_class(topics, False, False, True, {})  # noqa: FBT003 - in order


class TopicMetadata(NamedTuple):
    """What a broker says of a topic: an error's code, its id, and what this login may do with it.

    ``operations`` has a bit for each, by Kafka's numbers of them.
    """

    error: int
    identity: UUID
    operations: int


async def load_facts(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, TopicMetadata]:
    """Load what a broker says of topics; nothing where it is too old, or the embedded one.

    Raises:
        KafkaError: the broker did not answer.
    """
    request = _MetadataRequest(names)
    try:
        answer = await admin._send_request(request)  # noqa: SLF001 - as `describe_topics` does
    except (NotImplementedError, IncompatibleBrokerVersion):
        return {}
    return {
        topic: TopicMetadata(error, identity, operations)
        for error, topic, identity, _, _, operations, *_ in answer.topics
    }


async def load_topic_ids(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, str]:
    """Return the ids of the topics that exist; of none where the broker has no ids.

    Raises:
        KafkaError: the broker did not answer.
    """
    facts = await load_facts(admin, names)
    return {
        topic: str(found.identity)
        for topic, found in facts.items()
        if found.error == 0 and found.identity.int
    }
