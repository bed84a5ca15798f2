"""The pages: the dashboard, and the documentation of the API; all files come from this process."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

if TYPE_CHECKING:
    import os

    from fastapi import FastAPI
    from starlette.types import Scope

#: Only scripts that this process serves may run, and no page may frame ours.
_POLICY: Final = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"
#: Browsers revalidate what they kept at each visit, so that files of two releases never mix.
_REVALIDATED: Final = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
_HEADERS: Final = {
    **_REVALIDATED, "Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"
}  # fmt: skip
#: Swagger UI's style sheet holds its icons.
_DOCS_HEADERS: Final = {
    **_HEADERS, "Content-Security-Policy": f"{_POLICY}; img-src 'self' data:"
}  # fmt: skip


def build_router() -> APIRouter:
    """Build the routes of the pages."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def page() -> FileResponse:
        return FileResponse(_find_path("index.html"), headers=_HEADERS)

    @routes.get("/docs")
    async def docs() -> FileResponse:
        return FileResponse(_find_path("docs.html"), headers=_DOCS_HEADERS)

    return routes


def mount_files(app: FastAPI) -> None:
    """Serve what the pages use: our files, and Swagger UI's, which ``fastapi_offline`` brings."""
    swagger = resources.files("fastapi_offline").joinpath("static")
    app.mount("/static/swagger", _RevalidatedFiles(directory=str(swagger)), name="swagger")
    app.mount("/static", _RevalidatedFiles(directory=_find_path()), name="static")


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


def _find_path(*name: str) -> str:
    return str(resources.files("stream_persona.api").joinpath("static", *name))
