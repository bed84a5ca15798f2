"""Routes of logging in to the dashboard by an OpenID provider, where one is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request

from stream_persona import audit_log
from stream_persona.api.problems import make_problem
from stream_persona.api.security.audit import describe_request, note_reason
from stream_persona.api.security.key_file import COOKIE, SESSION_COOKIE
from stream_persona.api.security.logins import LoginError, ProviderAwayError, collect_scopes
from stream_persona.api.security.origins import is_own_origin

if TYPE_CHECKING:
    from stream_persona.api.dependencies import Dependencies
    from stream_persona.api.security.oidc import Provider

#: The cookie between the two halves of a login.
_LOGIN_COOKIE: Final = "stream_persona_login"
_PATH: Final = "/login"


#: Lax: the provider's page leads back here, and links elsewhere to the dashboard.
_COOKIE: Final[dict[str, Any]] = {"httponly": True, "samesite": "lax"}


def build_router(dependencies: Dependencies) -> APIRouter:
    """Build the routes. They answer 404 where no provider is set."""
    routes = APIRouter(include_in_schema=False)
    is_secure = dependencies.settings.oidc_redirect_url.startswith("https://")

    @routes.get(_PATH)
    async def begin() -> Response:
        try:
            address, remembered = await _find_provider(dependencies).begin()
        except LoginError as error:
            return make_problem(503, str(error), {"Retry-After": "5"})
        answer = RedirectResponse(address, 303)
        answer.set_cookie(_LOGIN_COOKIE, remembered, path=_PATH, secure=is_secure, **_COOKIE)
        return answer

    @routes.get(f"{_PATH}/callback")
    async def finish(request: Request) -> Response:
        try:
            session = await _finish(dependencies, request)
        except ProviderAwayError as error:
            return make_problem(503, str(error), {"Retry-After": "5"})
        except LoginError as error:
            note_reason(request.scope, "login")
            return make_problem(403, str(error))
        answer = RedirectResponse("/", 303)
        answer.set_cookie(SESSION_COOKIE, session, secure=is_secure, **_COOKIE)
        answer.delete_cookie(_LOGIN_COOKIE, path=_PATH)
        return answer

    @routes.post("/logout")
    async def logout(request: Request) -> Response:
        if not is_own_origin(request.scope, request.headers, required=True):
            note_reason(request.scope, "another origin")
            return make_problem(403, "a page of another origin may log nobody out")
        answer = Response(status_code=204)
        for name in (SESSION_COOKIE, COOKIE):
            answer.delete_cookie(name)
        return answer

    return routes


async def _finish(dependencies: Dependencies, request: Request) -> str:
    """Finish a login; return the session of somebody who is let in.

    Raises:
        LoginError: nobody has logged in here, or nobody has let them in.
    """
    provider, keys = _find_provider(dependencies), dependencies.keys
    remembered = request.cookies.get(_LOGIN_COOKIE, "")
    session = await provider.finish(request.query_params, remembered)
    person = provider.find_person(session)
    if person is None or not collect_scopes(keys.ring.logins, person):
        raise LoginError("you are known, but nobody has let you in here: ask its operators")
    audit_log.write("login", person.name, "accepted", describe_request(request.scope))
    return session


def _find_provider(dependencies: Dependencies) -> Provider:
    if dependencies.keys.provider is None:
        raise HTTPException(404, "no OpenID provider is set (STREAM_PERSONA_OIDC_ISSUER)")
    return dependencies.keys.provider
