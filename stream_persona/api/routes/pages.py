"""The pages: personas as they move, and the documentation of the API; nothing comes from afar."""

from __future__ import annotations

import gzip
from functools import cache
from importlib import resources, util
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import Request

if TYPE_CHECKING:
    import os

    from fastapi import FastAPI
    from starlette.types import Scope

#: Only what this process serves may run, and nobody may frame it.
_POLICY: Final = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"
#: Modules are asked for anew at each visit, so that those of two releases never run together.
_FRESH: Final = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
_HEADERS: Final = {
    **_FRESH, "Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"
}  # fmt: skip
#: Plotly styles what it draws from its script; scripts stay ours alone.
_PAGE_HEADERS: Final = {
    **_HEADERS,
    "Content-Security-Policy": f"{_POLICY}; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
}
#: Swagger UI's style sheet holds its icons.
_DOCS_HEADERS: Final = {
    **_HEADERS, "Content-Security-Policy": f"{_POLICY}; img-src 'self' data:"
}  # fmt: skip
#: Charts are 4.8 MB, packed 1.5: that costs a browser 30 ms, and it keeps them for a day.
_CHARTS: Final = ("plotly", "package_data/plotly.min.js")
_KEPT: Final = {
    "Cache-Control": "public, max-age=86400", "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}  # fmt: skip


def router() -> APIRouter:
    """What a browser opens, and the library that draws its charts."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def page() -> FileResponse:
        return FileResponse(_ours("index.html"), headers=_PAGE_HEADERS)

    @routes.get("/docs")
    async def docs() -> FileResponse:
        return FileResponse(_ours("docs.html"), headers=_DOCS_HEADERS)

    @routes.get("/static/plotly/plotly.min.js")
    def charts(request: Request) -> Response:  # in a thread: packing takes a while
        path = _plotly()
        if path is None:
            raise HTTPException(404, "charts need plotly: pip install 'stream-persona[api]'")
        packed = "gzip" in request.headers.get("accept-encoding", "")
        return _packed(path) if packed else FileResponse(path, headers=_KEPT)

    return routes


def mount_files(app: FastAPI) -> None:
    """Serve what the pages use: our files, and Swagger UI's, which ``fastapi_offline`` brings."""
    swagger = resources.files("fastapi_offline").joinpath("static")
    app.mount("/static/swagger", StaticFiles(directory=str(swagger)), name="swagger")
    app.mount("/static", _Fresh(directory=_ours()), name="static")


class _Fresh(StaticFiles):
    """Files that a browser asks for again before it uses what it kept."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_FRESH)
        return response


def _ours(*name: str) -> str:
    return str(resources.files("stream_persona.api").joinpath("static", *name))


def _plotly() -> Path | None:
    """The browser's part of plotly, found without importing the rest; None without plotly."""
    package, name = _CHARTS
    found = util.find_spec(package)
    places = (found.submodule_search_locations or ()) if found else ()
    return next((path for place in places if (path := Path(place, name)).is_file()), None)


def _packed(path: Path) -> Response:
    return Response(
        _gzip(path), media_type="text/javascript", headers={**_KEPT, "Content-Encoding": "gzip"}
    )


@cache
def _gzip(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), 6)
