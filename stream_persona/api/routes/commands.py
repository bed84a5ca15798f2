"""Routes of commands: assignments and deletions."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from stream_persona.api.customer_ids import refuse_two_ids
from stream_persona.api.routes.common import ANY, encode_answer
from stream_persona.api.schemas import queries as documents
from stream_persona.api.schemas.collect import TIME_FORMS
from stream_persona.api.schemas.queries import describe_answer, describe_problems
from stream_persona.api.security.audit import note_command
from stream_persona.domain.events import Time
from stream_persona.domain.time import FORMS, as_field

if TYPE_CHECKING:
    from stream_persona.api.dependencies import Dependencies

#: As in events.
_TIME: Final[dict[str, Any]] = {"anyOf": [*TIME_FORMS, {"type": "null"}]}


def _parse_expiry(value: object) -> datetime | int | None:
    """Parse a time as events may have it; None where there is none."""
    try:
        return None if value is None else as_field(msgspec.convert(value, Time))
    except ValueError as error:  # msgspec's own are such
        raise PydanticCustomError(
            "time", "{why}: {forms}", {"why": error, "forms": FORMS}
        ) from None


class AssignmentRequest(BaseModel):
    """A persona for a customer; null withdraws the one assigned before."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"persona": "student", "source": "crm"}}
    )

    persona: Annotated[str | None, Field(description="One of the taxonomy's, or null.")]
    source: Annotated[str | None, Field(max_length=1_024, description="Who says so.")] = None
    expires_at: Annotated[
        datetime | int | None,
        PlainValidator(_parse_expiry),
        WithJsonSchema(_TIME),
        Field(
            description="When it ends, from 1970 to 9999: RFC 3339, or a number of epoch seconds "
            "(below 1e11), milliseconds (below 1e14), microseconds (below 1e17) or nanoseconds."
        ),
    ] = None


#: The ends of paths after a customer's id, each with its method.
_OF_CUSTOMERS: Final = {
    "/persona": "GET", "/activity": "GET", "/flips": "GET", "/assignment": "PUT"
}  # fmt: skip
_ONLY_CUSTOMERS: Final = (
    "only a customer can be deleted: DELETE /v1/customers/{id}, or for any id "
    "DELETE /v1/customers?customer_id={id}"
)


def build_router(dependencies: Dependencies) -> APIRouter:
    """Build the routes. They answer once the broker has an event; a worker applies it later."""
    routes = APIRouter(
        tags=["commands"], prefix="/v1/customers", responses=ANY,
        dependencies=[Depends(refuse_two_ids)],
    )  # fmt: skip
    _add_assignments(routes, dependencies)
    _add_deletions(routes, dependencies)
    return routes


def _add_assignments(routes: APIRouter, dependencies: Dependencies) -> None:
    described: dict[str, Any] = {
        "status_code": 202,
        "summary": "Assign a persona",
        "responses": describe_answer(documents.AssignmentReceipt, "The broker has it.", 202)
        | describe_problems(400, 404, 503),
    }

    @routes.put("/assignment", **described)
    @routes.put("/{customer_id:path}/assignment", **described)
    async def assign(request: Request, customer_id: str, body: AssignmentRequest) -> Response:
        """Pin a customer's persona and teach it to the model, or withdraw it with null."""
        receipt = await dependencies.commands.assign(
            customer_id, body.persona, body.source, body.expires_at
        )
        note_command(request.scope, receipt.assignment_id, customer_id)
        return encode_answer(receipt, 202)


def _add_deletions(routes: APIRouter, dependencies: Dependencies) -> None:
    described: dict[str, Any] = {
        "status_code": 202,
        "summary": "Forget a customer",
        "responses": describe_answer(documents.DeletionReceipt, "The broker has it.", 202)
        | describe_problems(400, 404, 405, 503),
    }

    @routes.delete("", **described)
    @routes.delete("/{customer_id:path}", **described)
    async def delete(request: Request, customer_id: str) -> Response:
        """Ask for everything about a customer to be forgotten; the answer is the receipt."""
        for end, method in _OF_CUSTOMERS.items():
            if request.path_params and customer_id.endswith(end):
                raise HTTPException(405, _ONLY_CUSTOMERS, {"Allow": method})
        receipt = await dependencies.commands.delete(customer_id)
        note_command(request.scope, receipt.request_id, customer_id)
        return encode_answer(receipt, 202)
