"""Routes about one shopper, for the page that explains: what they did, and what would flip it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from stream_persona.api import activity as activities
from stream_persona.api import counterfactuals as flipping
from stream_persona.api.routes.common import ANY, as_json
from stream_persona.api.schemas import customers as documents
from stream_persona.api.schemas.queries import gives, problems
from stream_persona.domain.events import check_id
from stream_persona.store import repository

if TYPE_CHECKING:
    from stream_persona.api.dependencies import Parts
    from stream_persona.domain.record import Record


def router(parts: Parts) -> APIRouter:
    """What the page shows of one shopper, beside the persona and its reasons."""
    routes = APIRouter(tags=["shoppers"], prefix="/v1/customers", responses=ANY)
    folding = asyncio.Semaphore()  # one thread at a time leaves time to all other requests

    @routes.get(
        "/{customer_id:path}/activity", summary="What a customer did, and what was said of them",
        responses=gives(documents.Activity, "The newest of it.") | problems(400, 404, 503),
    )  # fmt: skip
    async def activity(customer_id: str) -> Response:
        """Look up the newest events in Kafka, with what each weighs today, and the posteriors.

        Events that no worker has applied yet, and what a deletion has forgotten, are left out.
        """
        await _known(parts, customer_id)
        found = await parts.tail.find(customer_id)
        record = await _known(parts, customer_id)  # as of after: it may be forgotten by now
        answer = await asyncio.to_thread(
            activities.answer, customer_id, record, found, parts.tail.settings, parts.taxonomy
        )
        return as_json(answer)

    @routes.get(
        "/{customer_id:path}/flips", summary="What would make another persona the likeliest",
        responses=gives(documents.Flips, "By number of events.") | problems(400, 404, 503),
    )  # fmt: skip
    async def flips(customer_id: str) -> Response:
        """Try purchases, looks and searches that are telling of each other persona.

        They happen at the customer's clock and go through the workers' own arithmetic; price and
        attributes are left out.
        """
        record = await _known(parts, customer_id)
        await parts.reader.name_all()
        weights, names = parts.reader.model.weights, parts.reader.names.tokens
        async with folding:
            answer = await asyncio.to_thread(
                flipping.answer, customer_id, record, weights, parts.taxonomy, names
            )
        return as_json(answer)

    return routes


async def _known(parts: Parts, customer_id: str) -> Record:
    """The private record of a customer of whom something is said.

    Raises:
        DecodeError: the id could not be one.
        HTTPException: 404, the customer was never heard of, or is forgotten.
    """
    check_id(customer_id)
    loaded = await repository.load(parts.tables, [customer_id], parts.taxonomy.fingerprint)
    record = loaded.get(customer_id)
    if record is None or record.published is None:
        raise HTTPException(404, f"customer {customer_id!r} is not known")
    return record
