"""JSON Schema: a schema of a registry as what validates its payloads, by the jsonschema library.

Only schemas that a registry names are looked up; no address in a schema is ever asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jsonschema.exceptions import ValidationError
from jsonschema.validators import validator_for
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from stream_persona.domain.mapping.documents import decode_document
from stream_persona.errors import DecodeError
from stream_persona.kafka.plain_values import Decode


def make_json_decoder(schema: str, references: Mapping[str, str]) -> Decode:
    """Make the decoder of payloads of a schema; ``references`` are those that it names.

    Raises:
        DecodeError: no payload can be held against it.
    """
    try:
        known: Registry[Any] = Registry().with_resources(
            (name, Resource.from_contents(json.loads(text), default_specification=DRAFT7))
            for name, text in references.items()
        )
        content = json.loads(schema)
        kind = validator_for(content)
        kind.check_schema(content)
        validator = kind(content, registry=known)
    except Exception as error:  # noqa: BLE001 - whatever a library makes of a wrong schema
        detail = f"the schema cannot be used: {str(error)[:200] or type(error).__name__}"
        raise DecodeError("unknown_schema", detail) from None

    def decode(payload: bytes) -> Any:  # noqa: ANN401 - JSON of any shape
        document = decode_document(payload)
        try:
            validator.validate(document)
        except ValidationError as error:
            place = error.json_path
            raise DecodeError("wrong_format", f"not of its JSON Schema - at `{place}`") from None
        except RecursionError:
            raise DecodeError("too_deep", "nested deeper than can be read") from None
        except Exception as error:  # noqa: BLE001 - a reference that leads nowhere, for one
            detail = f"the schema cannot be used: {str(error)[:200]}"
            raise DecodeError("unknown_schema", detail) from None
        return document

    return decode
