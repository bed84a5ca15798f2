"""Protobuf: a schema of a registry as what decodes its payloads, by the protobuf library.

Registries hold a schema as the bytes of its descriptor in Base64, or as the text of a ``.proto``
file; the text is compiled by Google's compiler (grpcio-tools) in a process of its own.
"""

from __future__ import annotations

import base64
import binascii
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka.schema_registry.common.protobuf import _init_pool
from google.protobuf import descriptor_pb2, json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError as ProtobufError

from stream_persona.errors import DecodeError
from stream_persona.kafka.plain_values import convert_decimal, make_plain

if TYPE_CHECKING:
    from google.protobuf.message import Message

#: The name of a payload's message by its indexes in the schema, then its bytes.
Decode = Callable[[Sequence[int], bytes], Any]
_MAIN: Final = "main.proto"
_COMPILER_SECONDS: Final = 20.0
#: Of a decimal: more are no number that anybody means, and take long to be made one.
_DECIMAL_BYTES: Final = 64
_DECIMAL_SCALE: Final = 200
_INTEGERS: Final = frozenset({"google.protobuf.Int64Value", "google.protobuf.UInt64Value"})


def make_protobuf_decoder(schema: str, references: Mapping[str, str]) -> Decode:
    """Make the decoder of payloads of a schema; ``references`` are those that it imports.

    Raises:
        DecodeError: no payload of it can be read.
    """
    pool = DescriptorPool()
    _init_pool(pool)  # what Google and Confluent define is in no registry
    try:
        main, *others = _read_files(schema, references)
        _add_all(pool, [*others, main])
    except DecodeError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a library makes of a wrong schema
        detail = f"the schema cannot be used: {str(error)[:200] or type(error).__name__}"
        raise DecodeError("unknown_schema", detail) from None
    classes: dict[tuple[int, ...], type[Message]] = {}

    def decode(indexes: Sequence[int], payload: bytes) -> Any:  # noqa: ANN401 - JSON
        key = tuple(indexes)
        if key not in classes:  # of the few messages that a schema has
            name = _find_name(main, indexes)
            classes[key] = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        message = classes[key]()
        try:
            message.ParseFromString(payload)
        except ProtobufError as error:
            raise DecodeError("wrong_format", f"not of its Protobuf schema: {error}") from None
        return make_plain(_as_values(message))

    return decode


def _find_name(main: descriptor_pb2.FileDescriptorProto, indexes: Sequence[int]) -> str:
    """Return the full name of the message that the wire format names by indexes."""
    messages, names = main.message_type, [main.package] if main.package else []
    for index in indexes:
        if not 0 <= index < len(messages):
            raise DecodeError("wrong_format", f"its schema has no message {list(indexes)}")
        names.append(messages[index].name)
        messages = messages[index].nested_type
    return ".".join(names)


def _read_files(
    schema: str, references: Mapping[str, str]
) -> list[descriptor_pb2.FileDescriptorProto]:
    """Return the descriptor of the schema, and those of what it imports."""
    texts = {_MAIN: schema, **references}
    if any(_is_text(each) for each in texts.values()):
        return _compile(texts)
    files = []
    for name, text in texts.items():
        file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(text))
        file.name = name
        files.append(file)
    return files


def _is_text(schema: str) -> bool:
    try:
        base64.b64decode(schema, validate=True)
    except (binascii.Error, ValueError):
        return True
    return False


def _compile(texts: Mapping[str, str]) -> list[descriptor_pb2.FileDescriptorProto]:
    """Compile ``.proto`` files; the first of them comes first."""
    with tempfile.TemporaryDirectory(prefix="stream-persona-") as folder:
        root = Path(folder)
        for name, text in texts.items():
            path = (root / name).resolve()
            if not path.is_relative_to(root.resolve()):
                raise DecodeError("unknown_schema", "the schema imports a file outside of it")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        out = root / "descriptors"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root}"]
        # No shell, and the names are files of this folder.
        run = subprocess.run(  # noqa: S603  # nosec B603
            [*command, f"--descriptor_set_out={out}", *texts],
            capture_output=True, text=True, timeout=_COMPILER_SECONDS, check=False,
        )  # fmt: skip
        if run.returncode:
            detail = f"the schema cannot be used: {run.stderr.strip()[:200]}"
            raise DecodeError("unknown_schema", detail)
        found = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    return sorted(found.file, key=lambda file: file.name != _MAIN)


def _add_all(pool: DescriptorPool, files: Sequence[descriptor_pb2.FileDescriptorProto]) -> None:
    """Add files to a pool: each after those that it imports."""
    waiting = {file.name: file for file in files}

    def add(name: str, around: tuple[str, ...]) -> None:
        file = waiting.get(name)
        if file is None or name in around:
            return  # in the pool already, or not there: the pool says so
        for imported in file.dependency:
            add(imported, (*around, name))
        pool.Add(waiting.pop(name))

    for file in files:
        add(file.name, ())


def _as_values(message: Message) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return a message by its fields' names; what is not set is left out.

    A field without presence, as all of proto3 are by default, is not set, or set to its default,
    and the bytes are the same: it is left out, as Protobuf's own JSON does it. As a value it would
    be a quantity of 0, a line that was returned. The first name of an enumeration stays, since it
    may mean something. That JSON has 64-bit numbers as texts.
    """
    kind = message.DESCRIPTOR
    if kind.full_name == "confluent.type.Decimal":
        return _as_decimal(message)
    if kind.full_name.startswith("google.protobuf."):
        found = json_format.MessageToDict(message)
        return int(found) if kind.full_name in _INTEGERS else found  # type: ignore[call-overload]
    return {
        field.name: _as_value(field, getattr(message, field.name))
        for field in kind.fields
        if _is_set(message, field)
    }


def _is_set(message: Message, field: Any) -> bool:  # noqa: ANN401 - one of two classes of fields
    if field.has_presence:
        return message.HasField(field.name)
    is_whole = field.is_repeated or field.enum_type is not None
    return is_whole or getattr(message, field.name) != field.default_value


def _as_value(field: Any, value: Any) -> Any:  # noqa: ANN401 - one of two classes of fields
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        of = inner.fields_by_name["value"]
        return {str(key): _as_single(of, value[key]) for key in value}
    if field.is_repeated:
        return [_as_single(field, each) for each in value]
    return _as_single(field, value)


def _as_single(field: Any, value: Any) -> Any:  # noqa: ANN401 - the same
    if field.message_type is not None:
        return _as_values(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    return value


def _as_decimal(message: Any) -> int | float | str:  # noqa: ANN401 - a generated class
    if len(message.value) > _DECIMAL_BYTES or abs(message.scale) > _DECIMAL_SCALE:
        raise DecodeError("wrong_format", "a decimal is too long to be a number")
    unscaled = int.from_bytes(message.value, "big", signed=True)
    return convert_decimal(Decimal(f"{unscaled}E{-message.scale}"))
