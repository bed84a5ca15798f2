"""The pages: changes as they happen, and the documentation of the API; nothing comes from afar."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

if TYPE_CHECKING:
    from fastapi import FastAPI

#: Only what this process serves may run, and nobody may frame it.
_POLICY: Final = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
#: Swagger UI's style sheet holds its icons.
_DOCS_HEADERS: Final = {
    **_HEADERS, "Content-Security-Policy": f"{_POLICY}; img-src 'self' data:"
}  # fmt: skip


def pages() -> APIRouter:
    """What a browser opens."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> FileResponse:
        return FileResponse(_ours("index.html"), headers=_HEADERS)

    @router.get("/docs")
    async def docs() -> FileResponse:
        return FileResponse(_ours("docs.html"), headers=_DOCS_HEADERS)

    return router


def mount_files(app: FastAPI) -> None:
    """Serve what the pages use: our files, and Swagger UI's, which ``fastapi_offline`` brings."""
    swagger = resources.files("fastapi_offline").joinpath("static")
    app.mount("/static/swagger", StaticFiles(directory=str(swagger)), name="swagger")
    app.mount("/static", StaticFiles(directory=_ours()), name="static")


def _ours(*name: str) -> str:
    return str(resources.files("stream_persona.api").joinpath("static", *name))
