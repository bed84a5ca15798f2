"""Routes of the collector: events of our own shapes, and the calls of Segment's libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from stream_persona.api.collector.bodies import decompress_body, split_list
from stream_persona.api.collector.write_keys import admit, find_key
from stream_persona.api.routes.common import ANY, encode_answer
from stream_persona.api.schemas import collect as documents
from stream_persona.api.schemas.queries import describe_answer, describe_problems
from stream_persona.api.security.caller import get_caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_persona.api.collector.service import Collector
    from stream_persona.api.dependencies import Dependencies
    from stream_persona.api.security.key_file import ApiKeys

#: Segment's calls, each with the short form of its path.
CALLS: Final = {
    "track": "t", "identify": "i", "alias": "a", "page": "p", "screen": "s", "group": "g",
}  # fmt: skip
_PARTLY: Final = "The broker has them but for those refused."
_ANSWERS: Final = (
    describe_answer(documents.CallReceipt, "The broker has them, and what is left out is counted.")
    | describe_answer(documents.CallReceipt, _PARTLY, 207)
    | describe_answer(documents.CollectProblem, "None could be taken.", 400)
    | describe_problems(415, 503)
)


def build_router(dependencies: Dependencies) -> APIRouter:
    """Build the routes. They answer once the broker has the events; workers apply them later."""
    routes = APIRouter(tags=["collector"], prefix="/v1", responses=ANY)
    read = _Reader(dependencies.keys)
    _add_events(routes, dependencies.collector, read)
    _add_calls(routes, dependencies.collector, read)
    _add_batches(routes, dependencies.collector, read)
    _add_settings(routes, dependencies.keys)
    return routes


class _Reader:
    """Reads bodies of those who may collect."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    async def __call__(self, request: Request) -> bytes:
        """Read a body, unpacked.

        Raises:
            HTTPException: the caller may not collect, or the body is too large.
            DecodeError: it is not packed as it says.
        """
        try:
            body = await request.body()
        except ClientDisconnect:  # nobody reads the answer
            raise HTTPException(400, "the body ended too soon") from None
        encoding = request.headers.get("content-encoding", "")
        if get_caller(request.scope) is None:
            admit(request, self._keys, find_key(body, encoding))
        return decompress_body(body, encoding)


def _add_events(routes: APIRouter, collector: Collector, read: _Reader) -> None:
    @routes.post(
        "/events", summary="Send events", status_code=202,
        responses=describe_answer(documents.CollectReceipt, "The broker has them.", 202)
        | describe_answer(documents.CollectReceipt, _PARTLY, 207)
        | describe_answer(documents.CollectProblem, "None could be taken.", 400)
        | describe_problems(415, 503),
        openapi_extra=_describe_body(documents.describe_own_events()[0], documents.EVENT_EXAMPLE),
    )  # fmt: skip
    async def collect_events(request: Request) -> Response:
        """Take purchases, browses and engagements, one or a list, as on their topics.

        Without `occurred_at` an event happened when it came in; without an `event_id` it gets one,
        so that a second try counts twice. Retry what was answered 429 or 503.
        """
        with collector.count_if_unreadable():
            receipt = await collector.collect_events(split_list(await read(request)))
        return encode_answer(receipt.as_answer(), receipt.status)


def _add_calls(routes: APIRouter, collector: Collector, read: _Reader) -> None:
    """Add a route of each call, under its name and in short."""
    for name, short in CALLS.items():
        example = documents.CALL_EXAMPLE | {"type": name}
        collect = _collect_one(collector, name, read)
        routes.post(
            f"/{name}", summary=f"Segment's `{name}`", name=name, responses=_ANSWERS,
            openapi_extra=_describe_body(documents.describe_call(name), example),
        )(collect)  # fmt: skip
        routes.post(f"/{short}", name=name, include_in_schema=False)(collect)


def _collect_one(
    collector: Collector, name: str, read: _Reader
) -> Callable[[Request], Awaitable[Response]]:
    async def collect_call(request: Request) -> Response:
        """Take a call as Segment's libraries make it, one that it answers at the same path."""
        with collector.count_if_unreadable():
            receipt = await collector.collect_call(await read(request), name)
        return encode_answer(receipt.as_call_answer(), receipt.call_status)

    return collect_call


def _add_batches(routes: APIRouter, collector: Collector, read: _Reader) -> None:
    described: dict[str, Any] = {
        "responses": _ANSWERS,
        "openapi_extra": _describe_body(
            documents.describe_batch(list(CALLS)), documents.BATCH_EXAMPLE
        ),
    }

    @routes.post("/b", include_in_schema=False)
    @routes.post("/batch", summary="Segment's `batch`", **described)
    async def collect_batch(request: Request) -> Response:
        """Take calls as Segment's libraries send them; each is as good as one by itself."""
        with collector.count_if_unreadable():
            receipt = await collector.collect_batch(await read(request))
        return encode_answer(receipt.as_call_answer(), receipt.call_status)

    @routes.post("/import", summary="Segment's `import`", **described)
    async def collect_history(request: Request) -> Response:
        """Take calls of the past: their times are not corrected by the sender's clock."""
        with collector.count_if_unreadable():
            receipt = await collector.collect_batch(await read(request), is_history=True)
        return encode_answer(receipt.as_call_answer(), receipt.call_status)


def _add_settings(routes: APIRouter, keys: ApiKeys) -> None:
    @routes.get(
        "/projects/{write_key}/settings", summary="How Segment's library for browsers is to be set",
        responses=describe_answer(documents.LibrarySettings, "Its settings."),
    )  # fmt: skip
    async def library_settings(request: Request, write_key: str) -> Response:
        """Configure a page's library to send everything to this server, and nothing elsewhere."""
        admit(request, keys, write_key)
        sends_to = {
            "apiKey": write_key, "apiHost": f"{request.url.netloc}/v1",
            "protocol": request.url.scheme,
        }  # fmt: skip
        return encode_answer({
            "integrations": {"Segment.io": sends_to}, "plan": {}, "metrics": {"sampleRate": 0},
            "edgeFunction": {}, "middlewareSettings": {}, "enabledMiddleware": {},
            "remotePlugins": [],
        })  # fmt: skip


def _describe_body(schema: dict[str, Any], example: object) -> dict[str, Any]:
    """Describe a body, which routes read by themselves: libraries call it plain text."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}
