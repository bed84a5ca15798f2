"""Every route; each says what it takes and gives, and leaves the work to the parts."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Body, Header, Query
from fastapi.responses import FileResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import AwareDatetime, BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from stream_persona.api.query import EXAMPLE, PersonaQuery, answer, subject
from stream_persona.events import check_id, encode

if TYPE_CHECKING:
    from stream_persona.api.parts import Parts

#: Only what the page itself brings may run, and nobody may frame it.
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class AssignmentRequest(BaseModel):
    """A persona for a customer; null withdraws the one assigned before."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"persona": "student", "source": "crm"}}
    )

    persona: str | None
    source: str | None = None
    expires_at: int | AwareDatetime | None = None


def _json(content: object, status: int = 200) -> Response:
    return Response(encode(content), status, media_type="application/json")


def queries(parts: Parts) -> APIRouter:
    """What can be asked."""
    router = APIRouter(tags=["queries"])

    @router.post("/api/v1/_predict", summary="The personas of a shopper, and why")
    async def predict(query: Annotated[PersonaQuery, Body(examples=[EXAMPLE])]) -> Response:
        """Rank all personas for a customer, or for what a hypothetical shopper did."""
        asked = subject(query, parts.taxonomy)
        shopper = await parts.reader.shopper(asked) if isinstance(asked, str) else asked
        return _json(answer(query, shopper, parts.reader.model.weights))

    @router.get("/v1/customers/{customer_id:path}/persona", summary="What is said of a customer")
    async def persona(customer_id: str) -> Response:
        """Give the public record; 404 for a customer never heard of."""
        check_id(customer_id)
        record = await parts.tables.public(customer_id)
        if record is None:
            raise HTTPException(404, f"customer {customer_id!r} is not known")
        return Response(record, media_type="application/json")

    @router.get("/v1/personas", summary="The personas, and what the model learned of each")
    async def personas() -> Response:
        """Give the taxonomy's personas with the number of labelled customers."""
        model, taxonomy = parts.reader.model, parts.taxonomy
        return _json({
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

    @router.get("/v1/changes", summary="Changes as they happen (server-sent events)")
    async def changes(
        last_event_id: Annotated[str | None, Header()] = None,
        recent: Annotated[int, Query(ge=0, le=200)] = 0,
    ) -> StreamingResponse:
        """Stream changes: from behind the one of `Last-Event-ID`, else from now on.

        `recent` asks for that many of the newest ones to begin with.
        """
        return StreamingResponse(
            parts.feed.listen(last_event_id, recent),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


def commands(parts: Parts) -> APIRouter:
    """What can be told; answered once the broker has it, done by a worker soon after."""
    router = APIRouter(tags=["commands"], prefix="/v1/customers")

    @router.put("/{customer_id:path}/assignment", status_code=202, summary="Assign a persona")
    async def assign(customer_id: str, body: AssignmentRequest) -> Response:
        """Pin a customer's persona and teach it to the model, or withdraw it with null."""
        given = await parts.commands.assign(customer_id, body.persona, body.source, body.expires_at)
        return _json(given, 202)

    @router.delete("/{customer_id:path}", status_code=202, summary="Forget a customer")
    async def delete(customer_id: str) -> Response:
        """Ask for everything about a customer to be forgotten; the answer is the receipt."""
        if customer_id.endswith(("/persona", "/assignment")):
            raise HTTPException(405, "only a customer can be deleted: DELETE /v1/customers/{id}")
        return _json(await parts.commands.delete(customer_id), 202)

    return router


def operations(parts: Parts) -> APIRouter:
    """What operators and the page look at."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", summary="The process runs")
    async def healthz() -> dict[str, str]:
        """Answer at once, whatever else is there."""
        return {"status": "ok"}

    @router.get("/readyz", summary="Requests can be answered")
    async def readyz() -> Response:
        """200 when Redis, the model and Kafka are there; 503 with what is missing."""
        missing = await parts.missing()
        if not missing:
            return _json({"status": "ready"})
        message = f"not ready, missing: {', '.join(missing)}"
        return _json({"message": message, "missing": missing}, 503)

    @router.get("/metrics", summary="Figures for Prometheus")
    async def metrics() -> Response:
        """Give the API's own figures; workers have theirs on ports of their own."""
        figures = parts.figures
        figures.listeners.set(parts.feed.listeners)
        figures.changes.set(parts.feed.ring.end)
        figures.labelled.set(parts.reader.model.weights.customers)
        return Response(generate_latest(figures.registry), media_type=CONTENT_TYPE_LATEST)

    @router.get("/v1/overview", summary="Key figures")
    async def overview() -> Response:
        """Say what this process has heard since it started, and the model in use."""
        weights = parts.reader.model.weights
        return _json({
            **parts.overview.figures(),
            "labelled": weights.customers,
            "model_version": weights.version,
            "stream": parts.feed.ready and parts.reader.ready,
        })  # fmt: skip

    @router.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        index = resources.files("stream_persona.api").joinpath("static", "index.html")
        return FileResponse(str(index), headers=_HEADERS)

    return router
