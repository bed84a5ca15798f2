"""The OpenAPI description: what FastAPI derives from the routes, and what only settings know.

These are the personas, the features that are read, and whether a key is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from stream_persona.api.evidence import CUSTOMER, MAX_TEXT, MAX_VALUES, NUMBERS
from stream_persona.api.problems import Problem
from stream_persona.api.schemas.collect import describe_own_events
from stream_persona.api.security.scopes import OPEN, TABLE
from stream_persona.domain.events import MAX_ID_BYTES

if TYPE_CHECKING:
    from fastapi import FastAPI

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The key of a caller."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
    "basic": {
        "type": "http", "scheme": "basic",
        "description": "The same as the user, with an empty password.",
    },
}  # fmt: skip
#: The schema of an id; that it is printable, and its length in bytes, no schema can express.
CUSTOMER_ID: Final = {
    "type": "string",
    "format": "customer-id",
    "minLength": 1,
    "maxLength": MAX_ID_BYTES,
    "description": f"1 to {MAX_ID_BYTES} bytes in UTF-8, all printable, no blanks at an end; none "
    "of the ids that stand for nobody. As a query parameter it may be any of these; a path can't "
    "hold `.`, `..` and what ends like another path.",
    "example": "CUST-04812",
}


def install_description(app: FastAPI, settings: Settings, taxonomy: Taxonomy) -> None:
    """Replace the application's description by one of its settings and taxonomy."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app, settings, taxonomy)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _describe(app: FastAPI, settings: Settings, taxonomy: Taxonomy) -> dict[str, Any]:
    description = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    scopes = {name.replace(":path}", "}"): scope for name, scope in TABLE.items()}
    for path, operations in description["paths"].items():
        for operation in operations.values():
            _refine_operation(operation)
        if settings.needs_key:
            for method, operation in operations.items():
                _name_scope(operation, scopes[f"{method.upper()} {path}"])
    description["components"]["securitySchemes"] = _SCHEMES
    schemas = description["components"]["schemas"]
    schemas |= {Problem.__name__: Problem.model_json_schema(), **describe_own_events()[1]}
    _refine_schemas(schemas, taxonomy)
    return description


def _name_scope(operation: dict[str, Any], scope: str) -> None:
    """Describe which key is needed: by the scope, as the role that OpenAPI 3.1 lets it have."""
    if scope == OPEN:
        operation["security"] = []
        return
    operation["security"] = [{name: [scope]} for name in _SCHEMES]
    operation["description"] += f"\n\nIt takes a key with the scope `{scope}`."


def _refine_schemas(schemas: dict[str, Any], taxonomy: Taxonomy) -> None:
    """Close the lists of views and personas, and describe what ``where`` may hold."""
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    query = schemas["PersonaQuery"]["properties"]
    query["from"] = _restrict(query["from"], {"enum": [taxonomy.view, None]})
    query["predict"]["enum"] = [query["predict"]["default"]]
    query["where"] = {
        "description": query["where"]["description"], "anyOf": _describe_where(taxonomy)
    }  # fmt: skip
    assignment = schemas["AssignmentRequest"]["properties"]
    assignment["persona"] = _restrict(assignment["persona"], {"enum": [*taxonomy.names, None]})
    schemas["RankRequest"]["properties"][CUSTOMER] = CUSTOMER_ID


def _refine_operation(operation: dict[str, Any]) -> None:
    """Correct what FastAPI can't know: mistakes are 400 here, and ids have a schema."""
    operation["responses"].pop("422", None)
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == CUSTOMER:
            parameter["schema"] = CUSTOMER_ID


def _restrict(schema: dict[str, Any], closed: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose type is replaced by a closed list of values."""
    kept = {key: value for key, value in schema.items() if key not in {"anyOf", "type"}}
    return {**kept, **closed}


def _describe_where(taxonomy: Taxonomy) -> list[dict[str, Any]]:
    """Describe ``where``: a customer, with features or without; or features alone."""
    fields = taxonomy.features.fields
    values = {field: _describe_values(field) for field in fields if field != "attributes"}
    attributes = {}
    if "attributes" in fields:
        attributes[r"^attributes\.[a-z0-9_]+$"] = _describe_values("")
    return [
        {
            "type": "object",
            "properties": {CUSTOMER: CUSTOMER_ID, **values},
            "patternProperties": attributes,
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


def _describe_values(field: str) -> dict[str, Any]:
    one: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
    if field in NUMBERS:
        one = {"anyOf": [one, {"type": "number", "minimum": 0}]}
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_VALUES}]}
