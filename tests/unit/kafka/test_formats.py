"""Avro, Protobuf and JSON Schema become plain JSON; what cannot be read says why."""

import base64
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from google.protobuf import descriptor_pb2, timestamp_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from stream_persona.errors import DecodeError
from stream_persona.kafka.avro_format import make_avro_decoder
from stream_persona.kafka.json_schema_format import make_json_decoder
from stream_persona.kafka.plain_values import make_plain
from stream_persona.kafka.protobuf_format import make_protobuf_decoder
from tests.support.avro_messages import ORDER, avro
from tests.support.schema_registry import standing_in

LINKED = {
    "type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]
}  # fmt: skip
PROTO = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message Other { string x = 1; }
message Order {
  enum Kind { NEW = 0; OLD = 1; }
  message Line { string sku = 1; int64 cents = 2; bytes raw = 3; }
  string id = 1;
  google.protobuf.Timestamp at = 2;
  repeated Line lines = 3;
  Kind kind = 4;
  map<string, int64> counts = 5;
  optional string note = 6;
  google.protobuf.Int64Value total = 7;
}
"""


def test_logical_types_of_avro_become_numbers_and_texts() -> None:
    identity = UUID("c0ffee00-0000-4000-8000-000000000001")
    moment = datetime(2026, 3, 1, 12, 0, 0, 123_000, UTC)
    value = {
        "id": identity, "at": moment, "fine": moment.replace(microsecond=123_456),
        "day": date(2026, 3, 1), "price": Decimal("12.50"), "raw": b"\x00\xff",
        "tags": {"a": 0.5}, "kind": "OLD",
    }  # fmt: skip
    found = make_avro_decoder(json.dumps(ORDER), {})(avro(ORDER, value))
    assert found == {
        "id": str(identity), "at": "2026-03-01T12:00:00.123000Z",
        "fine": "2026-03-01T12:00:00.123456Z", "day": "2026-03-01", "price": 12.5, "raw": "AP8=",
        "tags": {"a": 0.5}, "kind": "OLD",
    }  # fmt: skip
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Decimal(90071992547409931), 90071992547409931),
        (Decimal("NaN"), "NaN"),
        (float("inf"), "inf"),
        (datetime(2026, 3, 1, 12), "2026-03-01T12:00:00"),  # noqa: DTZ001 - a local time
        ({1: (1, True, None)}, {"1": [1, True, None]}),
    ],
)
def test_a_value_becomes_what_json_has(value: object, plain: object) -> None:
    assert make_plain(value) == plain


def test_a_payload_nested_without_end_is_refused_and_the_process_lives() -> None:
    decode = make_avro_decoder(json.dumps(LINKED), {})
    assert decode(b"\x02\x02\x00") == {"next": {"next": {"next": None}}}
    for levels in (300, 5_000, 900_000):
        with pytest.raises(DecodeError) as refused:
            decode(b"\x02" * levels + b"\x00")
        assert refused.value.reason == "too_deep"


@pytest.mark.parametrize(
    "items",
    [
        "null",
        {"type": "fixed", "name": "F", "size": 0},
        {"type": "record", "name": "E", "fields": []},
        {"type": "record", "name": "E", "fields": [{"name": "n", "type": "null"}]},
    ],
)
def test_a_schema_of_items_without_bytes_is_refused(items: Any) -> None:
    with pytest.raises(DecodeError, match="items without bytes"):
        make_avro_decoder(json.dumps({"type": "array", "items": items}), {})


@pytest.mark.parametrize("content", [b"", b"\x02", avro("string", "a") + b"more", b"\xff" * 30])
def test_bytes_that_are_not_of_their_avro_schema_are_refused(content: bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        make_avro_decoder('"string"', {})(content)
    assert refused.value.reason == "wrong_format"


def test_avro_references_are_resolved() -> None:
    line = {"type": "record", "name": "Line", "namespace": "shop",
            "fields": [{"name": "sku", "type": "string"}]}  # fmt: skip
    own: dict[str, Any] = {
        "type": "record", "name": "O", "namespace": "shop",
        "fields": [{"name": "lines", "type": {"type": "array", "items": "shop.Line"}}],
    }  # fmt: skip
    whole = {**own, "fields": [{"name": "lines", "type": {"type": "array", "items": line}}]}
    decode = make_avro_decoder(json.dumps(own), {"shop.Line": json.dumps(line)})
    assert decode(avro(whole, {"lines": [{"sku": "a"}]})) == {"lines": [{"sku": "a"}]}


def test_a_protobuf_message_has_numbers_where_its_json_has_texts() -> None:
    decode = make_protobuf_decoder(PROTO, {})
    # id, at (1 s), a line (sku, cents), kind OLD, counts, total
    content = bytes.fromhex(
        "0a0161120208011a080a017010e7071a01ff".replace("1a080a", "1a090a") + "2001"
        "2a050a017810ac02".replace("2a05", "2a06") + "3a020807"
    )  # fmt: skip
    assert decode([1], content) == {
        "id": "a", "at": "1970-01-01T00:00:01Z",
        "lines": [{"sku": "p", "cents": 999, "raw": "/w=="}], "kind": "OLD",
        "counts": {"x": 300}, "total": 7,
    }  # fmt: skip


def test_a_protobuf_number_that_is_not_set_is_no_zero() -> None:
    decode = make_protobuf_decoder(PROTO, {})
    assert decode([1], b"") == {"lines": [], "kind": "NEW", "counts": {}}
    assert decode([1, 0], b"\x0a\x01p") == {"sku": "p"}
    assert decode([1], b"\x32\x00")["note"] == ""  # set to what it would be anyhow: it has presence


@pytest.mark.parametrize(
    ("indexes", "content"), [([1], b"\xff"), ([7], b""), ([-1], b""), ([1, 9], b"")]
)
def test_bytes_that_are_not_of_their_protobuf_schema_are_refused(
    indexes: list[int], content: bytes
) -> None:
    with pytest.raises(DecodeError) as refused:
        make_protobuf_decoder(PROTO, {})(indexes, content)
    assert refused.value.reason == "wrong_format"


def test_protobuf_schemas_come_as_descriptors_too_and_import_each_other() -> None:
    line = descriptor_pb2.FileDescriptorProto(name="line.proto", package="shop", syntax="proto3")
    line.message_type.add(name="Line").field.add(name="sku", number=1, type=9, label=1)
    own = descriptor_pb2.FileDescriptorProto(
        name="o.proto", package="shop", syntax="proto3",
        dependency=["line.proto", "google/protobuf/timestamp.proto"],
    )  # fmt: skip
    order = own.message_type.add(name="Order")
    order.field.add(name="line", number=1, type=11, type_name=".shop.Line", label=1)
    order.field.add(name="at", number=2, type=11, type_name=".google.protobuf.Timestamp", label=1)
    pool = DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    for file in (line, own):
        pool.Add(file)
    made: Any = GetMessageClass(pool.FindMessageTypeByName("shop.Order"))(line={"sku": "a"})
    texts = [base64.b64encode(each.SerializeToString()).decode() for each in (own, line)]
    decode = make_protobuf_decoder(texts[0], {"line.proto": texts[1]})
    assert decode([0], made.SerializeToString()) == {"line": {"sku": "a"}}


@pytest.mark.parametrize("schema", ["syntax = nonsense", 'import "/etc/passwd";', "AAAA"])
def test_a_protobuf_schema_that_is_none_is_refused(schema: str) -> None:
    with pytest.raises(DecodeError) as refused:
        make_protobuf_decoder(schema, {"../outside.proto": "syntax = 'proto3';"})
    assert refused.value.reason == "unknown_schema"


def test_json_is_held_against_its_schema_and_no_address_is_asked() -> None:
    with standing_in() as elsewhere:
        schema = {"type": "object", "required": ["id"],
                  "properties": {"other": {"$ref": f"{elsewhere.url}/9"}}}  # fmt: skip
        decode = make_json_decoder(json.dumps(schema), {})
        assert decode(b'{"id": 1}') == {"id": 1}
        with pytest.raises(DecodeError, match="not of its JSON Schema"):
            decode(b'{"no": 1}')
        with pytest.raises(DecodeError) as refused:
            decode(b'{"id": 1, "other": 2}')
        assert refused.value.reason == "unknown_schema"
        assert elsewhere.asked == []
