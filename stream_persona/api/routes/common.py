"""What all routes have in common."""

from __future__ import annotations

from typing import Final

from fastapi.responses import Response

from stream_persona.api.schemas.queries import problems
from stream_persona.domain.events import encode

#: What every route may answer but those that probes ask.
ANY: Final = problems(401, 413, 429)


def as_json(content: object, status: int = 200) -> Response:
    """An answer that is encoded by hand: several times as quick as FastAPI's own way."""
    return Response(encode(content), status, media_type="application/json")
