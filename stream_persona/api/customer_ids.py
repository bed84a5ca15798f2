"""Which customer a request names: in its path, or as ``?customer_id=``, which takes any id.

A path can't hold every id: clients resolve ``.`` and ``..`` before they send one, and ``x/persona``
is read as a lookup of ``x``. One id in two places, or two, is refused rather than chosen from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from stream_persona.domain.events import check_id
from stream_persona.errors import QueryError

if TYPE_CHECKING:
    from stream_persona.domain.identity import NobodyIds

_NAME: Final = "customer_id"


async def refuse_two_ids(request: Request) -> None:
    """Refuse a request that names its customer more than once.

    Raises:
        QueryError: it does.
    """
    if not request.scope["query_string"]:
        return
    most = 0 if _NAME in request.path_params else 1
    if len(request.query_params.getlist(_NAME)) > most:
        raise QueryError(f"{_NAME}: name one customer, in the path or as ?{_NAME}=, not both")


def check_known(customer_id: str, nobody: NobodyIds) -> None:
    """Refuse an id of which nothing can be known.

    Raises:
        HTTPException: 404, it stands for nobody.
        DecodeError: no customer can have it.
    """
    if customer_id in nobody:
        raise make_unknown_error(customer_id)
    check_id(customer_id)


def make_unknown_error(customer_id: str) -> HTTPException:
    """Make the answer for a customer that is not known."""
    return HTTPException(404, f"customer {customer_id!r} is not known")
