"""The OpenAPI description: what FastAPI finds in the routes, and what only this process knows.

That is which personas there are, which features are read, and whether a key is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from stream_persona.api.predict import CUSTOMER, MAX_TEXT, MAX_VALUES, NUMBERS
from stream_persona.domain.events import MAX_ID_BYTES

if TYPE_CHECKING:
    from fastapi import FastAPI

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

#: What nobody needs a key for.
_OPEN: Final = {"/healthz", "/readyz"}
_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The key of a caller."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
}
#: What an id is like; what is printable, and its length in bytes, no schema can say.
CUSTOMER_ID: Final = {
    "type": "string",
    "format": "customer-id",
    "minLength": 1,
    "maxLength": MAX_ID_BYTES,
    "description": f"1 to {MAX_ID_BYTES} bytes in UTF-8, all printable.",
    "example": "CUST-04812",
}


def describe(app: FastAPI, settings: Settings, taxonomy: Taxonomy) -> None:
    """Let the application describe itself with what it was built from."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app, settings, taxonomy)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _described(app: FastAPI, settings: Settings, taxonomy: Taxonomy) -> dict[str, Any]:
    found = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    for path, operations in found["paths"].items():
        for operation in operations.values():
            _refine(operation)
            if settings.keys:
                operation["security"] = [] if path in _OPEN else [{name: []} for name in _SCHEMES]
    found["components"]["securitySchemes"] = _SCHEMES
    schemas = found["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    query = schemas["PersonaQuery"]["properties"]
    query["from"] = _with(query["from"], {"enum": [taxonomy.view, None]})
    query["predict"]["enum"] = [query["predict"]["default"]]
    query["where"] = {"description": query["where"]["description"], "anyOf": _where(taxonomy)}
    assignment = schemas["AssignmentRequest"]["properties"]
    assignment["persona"] = _with(assignment["persona"], {"enum": [*taxonomy.names, None]})
    schemas["RankRequest"]["properties"][CUSTOMER] = CUSTOMER_ID
    return found


def _refine(operation: dict[str, Any]) -> None:
    """What FastAPI can't know: mistakes are 400 here, and what ids are like."""
    operation["responses"].pop("422", None)
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == CUSTOMER:
            parameter["schema"] = CUSTOMER_ID


def _with(schema: dict[str, Any], closed: dict[str, Any]) -> dict[str, Any]:
    """A schema that a closed list of values takes the place of."""
    kept = {key: value for key, value in schema.items() if key not in {"anyOf", "type"}}
    return {**kept, **closed}


def _where(taxonomy: Taxonomy) -> list[dict[str, Any]]:
    """A customer, or features of a hypothetical shopper."""
    fields = taxonomy.features.fields
    values = {field: _values(field) for field in fields if field != "attributes"}
    attributes = {r"^attributes\.[a-z0-9_]+$": _values("")} if "attributes" in fields else {}
    return [
        {
            "type": "object",
            "properties": {CUSTOMER: CUSTOMER_ID},
            "required": [CUSTOMER],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": values,
            "patternProperties": attributes,
            "minProperties": 1,
            "additionalProperties": False,
        },
    ]


def _values(field: str) -> dict[str, Any]:
    one: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
    if field in NUMBERS:
        one = {"anyOf": [one, {"type": "number", "minimum": 0}]}
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_VALUES}]}
