"""A real registry: what Confluent's own serializers register and send is read as plain values."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from stream_persona.errors import DecodeError
from stream_persona.kafka.deserializers import RegistryDecoder, find_number
from tests.support.schema_registry import Apicurio, can_run_apicurio
from tests.support.servers import require_no_real
from tests.support.workers import worker_settings

pytestmark = [pytest.mark.integration, pytest.mark.faults]

MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
AVRO = {
    "type": "record", "name": "Order", "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "price", "type": {
            "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    ],
}  # fmt: skip
JSON = {"title": "Order", "type": "object", "required": ["id"],
        "properties": {"id": {"type": "string"}}}  # fmt: skip


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apicurio]:
    if not can_run_apicurio():
        require_no_real("a schema registry: Java 17, Maven")
        pytest.skip("needs a schema registry")
    server = Apicurio(tmp_path_factory.mktemp("registry") / "registry.log")
    yield server
    server.close()


@pytest.fixture
def client(registry: Apicurio) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": registry.url})


def as_value(topic: str) -> SerializationContext:
    return SerializationContext(topic, MessageField.VALUE)


async def read(kind: str, registry: Apicurio, value: bytes | None) -> Any:
    decoder = RegistryDecoder(kind, registry.url, worker_settings())
    number = find_number(value)
    assert number is not None
    await decoder.prepare({number})
    return decoder.decode(value)


async def test_avro_is_read(registry: Apicurio, client: SchemaRegistryClient) -> None:
    order = {"id": "a", "at": MOMENT, "price": Decimal("12.50")}
    value = AvroSerializer(client, json.dumps(AVRO))(order, as_value("avro"))
    found = await read("avro", registry, value)
    assert found == {"id": "a", "at": "2026-03-01T12:00:00Z", "price": 12.5}


async def test_json_is_read(registry: Apicurio, client: SchemaRegistryClient) -> None:
    value = JSONSerializer(json.dumps(JSON), client)({"id": "a"}, as_value("json"))
    assert await read("json-schema", registry, value) == {"id": "a"}


def order_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    file.message_type.add(name="Other").field.add(name="x", number=1, type=9, label=1)
    order = file.message_type.add(name="Order")
    order.field.add(name="id", number=1, type=9, label=1)
    order.field.add(name="cents", number=2, type=3, label=1)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


async def test_protobuf_is_read(registry: Apicurio, client: SchemaRegistryClient) -> None:
    order = order_class()
    value = ProtobufSerializer(order, client)(order(id="a", cents=999), as_value("protobuf"))
    assert await read("protobuf", registry, value) == {"id": "a", "cents": 999}


async def test_a_protobuf_schema_may_be_the_text_of_a_file(
    registry: Apicurio, client: SchemaRegistryClient
) -> None:
    text = 'syntax = "proto3"; package shop; message Order { string id = 1; int64 cents = 2; }'
    number = client.register_schema("text-value", Schema(text, "PROTOBUF"))
    content = order_class()(id="a", cents=999).SerializeToString()
    value = b"\x00" + number.to_bytes(4, "big") + b"\x00" + content
    assert await read("protobuf", registry, value) == {"id": "a", "cents": 999}


async def test_a_number_that_the_registry_does_not_know_is_refused(registry: Apicurio) -> None:
    with pytest.raises(DecodeError, match="schema 99999: the registry has no such schema"):
        await read("avro", registry, b"\x00\x00\x01\x86\x9fa")
