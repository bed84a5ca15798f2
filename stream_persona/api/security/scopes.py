"""Scopes: what a key may be good for, and the one that each route needs.

A route without a row here does not start, so that none is open by being forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from starlette.routing import Match, Mount, Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from starlette.routing import BaseRoute
    from starlette.types import Scope as AsgiScope

#: ``read``: personas, what is known of customers, the dashboard. ``rank``: the order of items,
#: the catalogue. ``collect``: events to the topics, and nothing back. ``assign``, ``delete``: these
#: commands.
#: ``operate``: metrics, and what of the deployment itself is wrong in the words of its settings.
Scope = Literal["read", "rank", "collect", "assign", "delete", "operate"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
#: Of probes and of pages' files, which hold nothing of anybody.
OPEN: Final = "open"
#: Of the routes by which people log in: they need no key, and have a rate.
ENTRY: Final = "entry"
#: What a row may say.
Need = Scope | Literal["open", "entry"]

_CUSTOMER: Final = "/v1/customers/{customer_id:path}"
#: Each route, and the scope that it needs.
TABLE: Final[Mapping[str, Need]] = {
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "/static": OPEN,
    "/static/swagger": OPEN,
    "GET /login": ENTRY,
    "GET /login/callback": ENTRY,
    "POST /logout": ENTRY,
    "GET /": "read",
    "GET /docs": "read",
    "GET /openapi.json": "read",
    "POST /api/v1/_predict": "read",
    "GET /v1/personas": "read",
    "GET /v1/changes": "read",
    "GET /v1/overview": "read",
    "GET /v1/history": "read",
    "GET /v1/portraits": "read",
    "GET /v1/model": "read",
    "GET /v1/queue": "read",
    "GET /v1/customers/persona": "read",
    f"GET {_CUSTOMER}/persona": "read",
    "GET /v1/customers/activity": "read",
    f"GET {_CUSTOMER}/activity": "read",
    "GET /v1/customers/flips": "read",
    f"GET {_CUSTOMER}/flips": "read",
    "POST /v1/rank": "rank",
    "GET /v1/catalogue": "rank",
    "GET /v1/catalogue/search": "rank",
    "GET /v1/catalogue/bought-together": "rank",
    "GET /v1/catalogue/products/{product_id:path}": "rank",
    "GET /v1/recommendations": "rank",
    "GET /v1/recommendations/{customer_id:path}": "rank",
    "POST /v1/events": "collect",
    "POST /v1/batch": "collect",
    "POST /v1/track": "collect",
    "POST /v1/identify": "collect",
    "POST /v1/alias": "collect",
    "POST /v1/page": "collect",
    "POST /v1/screen": "collect",
    "POST /v1/group": "collect",
    "POST /v1/import": "collect",
    **dict.fromkeys([f"POST /v1/{short}" for short in "tiapsgb"], "collect"),
    "GET /v1/projects/{write_key}/settings": "collect",
    "PUT /v1/customers/assignment": "assign",
    f"PUT {_CUSTOMER}/assignment": "assign",
    "DELETE /v1/customers": "delete",
    f"DELETE {_CUSTOMER}": "delete",
    "GET /metrics": "operate",
}
#: What the audit log calls requests of a scope, each of which leaves a line.
AUDITED: Final[Mapping[str, str]] = {"assign": "assignment", "delete": "deletion"}


@dataclass(frozen=True, slots=True)
class ScopeRule:
    """A route with the scope that it needs."""

    route: Route | Mount
    scope: Need


class ScopeRules:
    """The rules of all routes, found by the routes' own patterns, in the router's own order."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        """Look the routes up.

        Raises:
            LookupError: one has no row in ``TABLE``.
        """
        self._rules = [_make_rule(route) for route in routes]

    def __iter__(self) -> Iterator[ScopeRule]:
        return iter(self._rules)

    def find(self, asked: AsgiScope) -> ScopeRule | None:
        """Return the rule of the route that will answer; None where none will."""
        for rule in self._rules:
            if rule.route.matches(asked)[0] is Match.FULL:
                return rule
        return None


def list_names(route: BaseRoute) -> list[str]:
    """Return the names of a route in ``TABLE``."""
    if isinstance(route, Mount):
        return [route.path]
    if isinstance(route, Route):
        return [f"{method} {route.path}" for method in sorted((route.methods or set()) - {"HEAD"})]
    return [repr(route)]


def _make_rule(route: BaseRoute) -> ScopeRule:
    scopes = {TABLE.get(name) for name in list_names(route)}
    if len(scopes) != 1 or None in scopes or not isinstance(route, Route | Mount):
        named = ", ".join(list_names(route))
        raise LookupError(f"{named}: give it one scope in stream_persona.api.security.scopes.TABLE")
    return ScopeRule(route, scopes.pop())  # type: ignore[arg-type]
