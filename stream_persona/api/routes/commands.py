"""Routes of commands: assignments and deletions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema
from starlette.exceptions import HTTPException

from stream_persona.api.routes.common import ANY, as_json
from stream_persona.api.schemas import queries as documents
from stream_persona.api.schemas.queries import gives, problems

if TYPE_CHECKING:
    from stream_persona.api.dependencies import Dependencies

#: Epoch milliseconds up to the year 10000; decoding the event checks the rest.
_EPOCH: Final[dict[str, Any]] = {
    "type": "integer", "minimum": 0, "exclusiveMaximum": 253_402_300_800_000
}  # fmt: skip


class AssignmentRequest(BaseModel):
    """A persona for a customer; null withdraws the one assigned before."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"persona": "student", "source": "crm"}}
    )

    persona: Annotated[str | None, Field(description="One of the taxonomy's, or null.")]
    source: Annotated[str | None, Field(max_length=1_024, description="Who says so.")] = None
    expires_at: Annotated[
        Annotated[int, WithJsonSchema(_EPOCH)] | AwareDatetime | None,
        Field(description="When it ends: RFC 3339, from 1970 to 9999, or epoch milliseconds."),
    ] = None


#: The ends of paths after a customer's id, each with its method.
_OF_CUSTOMERS: Final = {
    "/persona": "GET", "/activity": "GET", "/flips": "GET", "/assignment": "PUT"
}  # fmt: skip
_ONLY_CUSTOMERS: Final = "only a customer can be deleted: DELETE /v1/customers/{id}"


def router(dependencies: Dependencies) -> APIRouter:
    """Build the routes. They answer once the broker has an event; a worker applies it later."""
    routes = APIRouter(tags=["commands"], prefix="/v1/customers", responses=ANY)

    @routes.put(
        "/{customer_id:path}/assignment", status_code=202, summary="Assign a persona",
        responses=gives(documents.AssignmentReceipt, "The broker has it.", 202)
        | problems(400, 404, 503),
    )  # fmt: skip
    async def assign(customer_id: str, body: AssignmentRequest) -> Response:
        """Pin a customer's persona and teach it to the model, or withdraw it with null."""
        receipt = await dependencies.commands.assign(
            customer_id, body.persona, body.source, body.expires_at
        )
        return as_json(receipt, 202)

    @routes.delete(
        "/{customer_id:path}", status_code=202, summary="Forget a customer",
        responses=gives(documents.DeletionReceipt, "The broker has it.", 202)
        | problems(400, 404, 405, 503),
    )  # fmt: skip
    async def delete(customer_id: str) -> Response:
        """Ask for everything about a customer to be forgotten; the answer is the receipt."""
        for end, method in _OF_CUSTOMERS.items():
            if customer_id.endswith(end):
                raise HTTPException(405, _ONLY_CUSTOMERS, {"Allow": method})
        return as_json(await dependencies.commands.delete(customer_id), 202)

    return routes
