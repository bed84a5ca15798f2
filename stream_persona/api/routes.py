"""Every route; each says what it takes and gives, and leaves the work to the parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Body, Header, Query
from fastapi.responses import Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema
from starlette.exceptions import HTTPException

from stream_persona.api import documents
from stream_persona.api.documents import gives, problems
from stream_persona.api.query import EXAMPLE, PersonaQuery, answer, subject
from stream_persona.api.rank import EXAMPLE as RANK_EXAMPLE
from stream_persona.api.rank import RankRequest
from stream_persona.api.stream import EventStream
from stream_persona.domain.events import check_id, encode

if TYPE_CHECKING:
    from stream_persona.api.parts import Parts

#: Epoch milliseconds up to the year 10000; what else is wrong with a time is the event's to say.
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


#: What paths may end in behind a customer's id, and how that is asked.
_OF_CUSTOMERS: Final = {
    "/persona": "GET", "/activity": "GET", "/flips": "GET", "/assignment": "PUT"
}  # fmt: skip
_ONLY_CUSTOMERS: Final = "only a customer can be deleted: DELETE /v1/customers/{id}"
#: An endless answer; each event's data is a message of the topic of changes.
_STREAM: Final[dict[int | str, Any]] = {
    200: {
        "description": "Events, each with a `change_id` as its id and a change as its data.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
_FIGURES: Final[dict[int | str, Any]] = {
    200: {
        "description": "The figures, in Prometheus' own format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}
#: What every route may answer but those that probes ask.
ANY: Final = problems(401, 413, 429)


def as_json(content: object, status: int = 200) -> Response:
    """An answer that is encoded by hand: several times as quick as FastAPI's own way."""
    return Response(encode(content), status, media_type="application/json")


def queries(parts: Parts) -> APIRouter:
    """What can be asked."""
    router = APIRouter(tags=["queries"], responses=ANY)

    @router.post(
        "/api/v1/_predict", summary="The personas of a shopper, and why",
        responses=gives(documents.Prediction, "The hits.") | problems(400, 503),
    )  # fmt: skip
    async def predict(query: Annotated[PersonaQuery, Body(examples=[EXAMPLE])]) -> Response:
        """Rank all personas for a customer, or for what a hypothetical shopper did."""
        asked = subject(query, parts.taxonomy)
        shopper = await parts.reader.shopper(asked) if isinstance(asked, str) else asked
        return as_json(answer(query, shopper, parts.reader.model.weights))

    @router.post(
        "/v1/rank", summary="Items in the order that suits a shopper",
        responses=gives(documents.RankAnswer, "The items, the best first.") | problems(400, 503),
    )  # fmt: skip
    async def rank(request: Annotated[RankRequest, Body(examples=[RANK_EXAMPLE])]) -> Response:
        """Move the caller's scores by what the shopper's personas like.

        A shopper who is unknown, ambiguous or held out keeps the caller's order, exactly, and
        `fallback` says which it was.
        """
        return Response(await parts.ranker.rank(request), media_type="application/json")

    @router.get(
        "/v1/customers/{customer_id:path}/persona", summary="What is said of a customer",
        responses=gives(documents.PublicRecord, "The public record.") | problems(400, 404, 503),
    )  # fmt: skip
    async def persona(customer_id: str) -> Response:
        """Give the public record; 404 for a customer never heard of."""
        check_id(customer_id)
        record = await parts.tables.public(customer_id)
        if record is None:
            raise HTTPException(404, f"customer {customer_id!r} is not known")
        return Response(record, media_type="application/json")

    @router.get(
        "/v1/personas", summary="The personas, and what the model learned of each",
        responses=gives(documents.Personas, "All personas."),
    )  # fmt: skip
    async def personas() -> Response:
        """Give the taxonomy's personas with the number of labelled customers."""
        model, taxonomy = parts.reader.model, parts.taxonomy
        return as_json({
            "personas": [
                {
                    "name": each.name,
                    "title": each.title or each.name,
                    "description": each.description,
                    "labelled": model.labelled.get(each.name, 0),
                }
                for each in taxonomy.personas
            ],
            "view": taxonomy.view,
            "labelled": model.weights.customers,
            "model_version": model.weights.version,
            "taxonomy_version": taxonomy.version,
        })  # fmt: skip

    @router.get(
        "/v1/changes", summary="Changes as they happen (server-sent events)",
        response_class=StreamingResponse, responses=_STREAM | problems(400, 503),
    )  # fmt: skip
    async def changes(
        last_event_id: Annotated[str | None, Header()] = None,
        recent: Annotated[int, Query(ge=0, le=200)] = 0,
    ) -> EventStream:
        """Stream changes: from behind the one of `Last-Event-ID`, else from now on.

        `recent` asks for that many of the newest ones to begin with.
        """
        parts.feed.admit()
        return EventStream(parts.feed.listen(last_event_id, recent))

    return router


def commands(parts: Parts) -> APIRouter:
    """What can be told; answered once the broker has it, done by a worker soon after."""
    router = APIRouter(tags=["commands"], prefix="/v1/customers", responses=ANY)

    @router.put(
        "/{customer_id:path}/assignment", status_code=202, summary="Assign a persona",
        responses=gives(documents.AssignmentReceipt, "The broker has it.", 202)
        | problems(400, 404, 503),
    )  # fmt: skip
    async def assign(customer_id: str, body: AssignmentRequest) -> Response:
        """Pin a customer's persona and teach it to the model, or withdraw it with null."""
        given = await parts.commands.assign(customer_id, body.persona, body.source, body.expires_at)
        return as_json(given, 202)

    @router.delete(
        "/{customer_id:path}", status_code=202, summary="Forget a customer",
        responses=gives(documents.DeletionReceipt, "The broker has it.", 202)
        | problems(400, 404, 405, 503),
    )  # fmt: skip
    async def delete(customer_id: str) -> Response:
        """Ask for everything about a customer to be forgotten; the answer is the receipt."""
        for end, method in _OF_CUSTOMERS.items():
            if customer_id.endswith(end):
                raise HTTPException(405, _ONLY_CUSTOMERS, {"Allow": method})
        return as_json(await parts.commands.delete(customer_id), 202)

    return router


def operations(parts: Parts) -> APIRouter:
    """What operators and their probes look at."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/healthz", summary="The process runs",
        responses=gives(documents.Status, "It runs.") | problems(413),
    )  # fmt: skip
    async def healthz() -> dict[str, str]:
        """Answer at once, whatever else is there."""
        return {"status": "ok"}

    @router.get(
        "/readyz", summary="Requests can be answered",
        responses=gives(documents.Status, "All is there.")
        | gives(documents.NotReady, "Something is missing.", 503)
        | problems(413),
    )  # fmt: skip
    async def readyz() -> Response:
        """200 when Redis, the model and Kafka are there; 503 with what is missing."""
        missing = await parts.missing()
        if not missing:
            return as_json({"status": "ready"})
        message = f"not ready, missing: {', '.join(missing)}"
        return as_json({"message": message, "missing": missing}, 503)

    @router.get(
        "/metrics", summary="Figures for Prometheus", response_class=Response,
        responses=ANY | _FIGURES,
    )  # fmt: skip
    async def metrics() -> Response:
        """Give the API's own figures; workers have theirs on ports of their own."""
        figures = parts.figures
        figures.listeners.set(parts.feed.listeners)
        figures.changes.set(parts.feed.ring.end)
        figures.labelled.set(parts.reader.model.weights.customers)
        return Response(generate_latest(figures.registry), media_type=CONTENT_TYPE_LATEST)

    return router
