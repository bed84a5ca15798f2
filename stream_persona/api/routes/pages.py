"""The pages: the dashboard, and the documentation of the API; all files come from this process."""

from __future__ import annotations

import gzip
from functools import lru_cache
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
    from starlette.datastructures import Headers
    from starlette.types import Scope

#: Only scripts that this process serves may run, and no page may frame ours.
_POLICY: Final = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"
#: Browsers revalidate what they kept at each visit, so that files of two releases never mix.
_REVALIDATED: Final = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
_HEADERS: Final = {
    **_REVALIDATED, "Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"
}  # fmt: skip
#: Plotly styles from its script what it draws; scripts stay ours alone.
_PAGE_HEADERS: Final = {
    **_HEADERS,
    "Content-Security-Policy": f"{_POLICY}; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
}
#: Swagger UI's style sheet holds its icons.
_DOCS_HEADERS: Final = {
    **_HEADERS, "Content-Security-Policy": f"{_POLICY}; img-src 'self' data:"
}  # fmt: skip
#: The library that draws charts: 4.8 MB, packed 1.5, which costs a browser 30 ms.
_CHARTS: Final = ("plotly", "package_data/plotly.min.js")


def router() -> APIRouter:
    """Build the routes of the pages, and of the library that draws their charts."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def page() -> FileResponse:
        return FileResponse(_path_of("index.html"), headers=_PAGE_HEADERS)

    @routes.get("/docs")
    async def docs() -> FileResponse:
        return FileResponse(_path_of("docs.html"), headers=_DOCS_HEADERS)

    @routes.get("/static/plotly/plotly.min.js")
    def charts(request: Request) -> Response:  # in a thread: packing takes a while
        path = _find_plotly()
        if path is None:
            raise HTTPException(404, "charts need plotly: pip install 'stream-persona[api]'")
        return _serve_charts(path, request.headers)

    return routes


def mount_files(app: FastAPI) -> None:
    """Serve what the pages use: our files, and Swagger UI's, which ``fastapi_offline`` brings."""
    swagger = resources.files("fastapi_offline").joinpath("static")
    app.mount("/static/swagger", _RevalidatedFiles(directory=str(swagger)), name="swagger")
    app.mount("/static", _RevalidatedFiles(directory=_path_of()), name="static")


class _RevalidatedFiles(StaticFiles):
    """Files that a browser revalidates before it uses what it kept."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_REVALIDATED)
        return response


def _path_of(*name: str) -> str:
    return str(resources.files("stream_persona.api").joinpath("static", *name))


def _find_plotly() -> Path | None:
    """Find the browser's part of plotly without importing the rest; None without plotly."""
    package, name = _CHARTS
    found = util.find_spec(package)
    places = (found.submodule_search_locations or ()) if found else ()
    return next((path for place in places if (path := Path(place, name)).is_file()), None)


def _serve_charts(path: Path, request: Headers) -> Response:
    """Answer with the library, packed where the browser can, or 304 if the browser has it."""
    changed = path.stat().st_mtime_ns
    packed = "gzip" in request.get("accept-encoding", "")
    etag = f'"{changed:x}{"-gzip" if packed else ""}"'
    headers = {**_REVALIDATED, "Vary": "Accept-Encoding", "ETag": etag}
    if etag in request.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if not packed:
        return FileResponse(path, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(_gzip(path, changed), media_type="text/javascript", headers=headers)


@lru_cache(maxsize=1)
def _gzip(path: Path, changed: int) -> bytes:  # noqa: ARG001 - another time is another content
    return gzip.compress(path.read_bytes(), 6)
