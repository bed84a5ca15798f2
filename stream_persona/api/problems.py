"""How every error becomes an HTTP answer: a status and one sentence, never a stack trace."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from stream_persona.api.security.headers import HEADERS
from stream_persona.api.security.request_ids import choose_request_id
from stream_persona.errors import (
    ConfigError,
    DamagedRecordError,
    DecodeError,
    InputError,
    KafkaUnavailableError,
    RedisUnavailableError,
    UnavailableError,
)

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import Scope

logger = logging.getLogger(__name__)


class Problem(BaseModel):
    """The body of every answer that is not a success."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"message": "customer 'CUST-04812' is not known"}}
    )

    message: Annotated[str, Field(description="One sentence on what is wrong.")]


def install_handlers(app: FastAPI) -> None:
    """Register handlers that turn every error into a ``Problem``."""

    @app.exception_handler(InputError)
    async def answer_input_error(_: Request, error: InputError) -> JSONResponse:
        return make_problem(400, error.detail if isinstance(error, DecodeError) else str(error))

    @app.exception_handler(RequestValidationError)
    async def answer_invalid_request(_: Request, error: RequestValidationError) -> JSONResponse:
        return make_problem(400, _describe(error))

    @app.exception_handler(HTTPException)
    async def answer_http_error(request: Request, error: HTTPException) -> JSONResponse:
        asked = f"{request.method} {request.url.path}"
        sentences = {404: f"there is no {asked}", 405: f"{asked} is not allowed"}
        message = error.detail
        if message in _PHRASES:
            message = sentences[error.status_code]
        return make_problem(error.status_code, message, error.headers)

    @app.exception_handler(DamagedRecordError)
    async def answer_damaged(request: Request, error: DamagedRecordError) -> JSONResponse:
        with suppress(UnavailableError, ConfigError):
            await request.app.state.dependencies.tables.report_suspects(error.customers)
        return make_problem(503, str(error), {"Retry-After": "5"})

    @app.exception_handler(UnavailableError)
    @app.exception_handler(ConfigError)
    async def answer_away(request: Request, error: Exception) -> JSONResponse:
        return answer_unavailable(request.scope, error)

    @app.exception_handler(Exception)
    async def answer_mistake(_: Request, __: Exception) -> JSONResponse:
        return make_problem(500, "the server made a mistake; its log says which")


def answer_unavailable(scope: Scope, error: Exception) -> JSONResponse:
    """Build a 503 that names the server, and log the error, which may hold addresses."""
    sentence = next((text for kind, text in _AWAY.items() if isinstance(error, kind)), _NOT_THERE)
    logger.warning("request %s is answered 503: %s", choose_request_id(scope), error)
    return make_problem(503, sentence, {"Retry-After": "1"})


def make_problem(status: int, message: str, headers: object = None) -> JSONResponse:
    """Build an answer of this status whose body is the sentence."""
    text = message.encode(errors="replace").decode()
    own = headers if isinstance(headers, dict) else {}
    return JSONResponse({"message": text}, status, {**HEADERS, **own})


_NOT_THERE: Final = "what the answer needs is not there now: try again later"
_AWAY: Final[dict[type[Exception], str]] = {
    RedisUnavailableError: "Redis is not usable now: try again later",
    KafkaUnavailableError: "Kafka did not answer in time, or too many ask at once: try again later",
    ConfigError: "this API is not set as its servers are: its log says how",
}


#: Details that Starlette gives of itself: phrases, no sentences.
_PHRASES: Final = {"Not Found", "Method Not Allowed"}


def _describe(error: RequestValidationError) -> str:
    """Describe the first mistake, after the field that it was made in."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"the body is not valid JSON: {first.get('ctx', {}).get('error', first['msg'])}"
    where = ".".join(str(step) for step in first["loc"][1:]) or str(first["loc"][0])
    what = {"missing": "is required", "extra_forbidden": "is not known here"}.get(
        first["type"], first["msg"][:1].lower() + first["msg"][1:]
    )
    return f"{where}: {what}"
