"""Routes of one customer, for the page that explains: recent activity, and counterfactuals."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from stream_persona.api import activity as activities
from stream_persona.api import counterfactuals
from stream_persona.api.customer_ids import check_known, make_unknown_error, refuse_two_ids
from stream_persona.api.routes.common import ANY, encode_answer
from stream_persona.api.schemas import customers as documents
from stream_persona.api.schemas.queries import describe_answer, describe_problems
from stream_persona.errors import KafkaUnavailableError, UnavailableError
from stream_persona.store import repository

if TYPE_CHECKING:
    from stream_persona.api.customer_log import CustomerMessages
    from stream_persona.api.dependencies import Dependencies
    from stream_persona.domain.record import Record


def build_router(dependencies: Dependencies) -> APIRouter:
    """Build the routes of what the page shows beside the persona and its reasons."""
    routes = APIRouter(
        tags=["shoppers"], prefix="/v1/customers", responses=ANY,
        dependencies=[Depends(refuse_two_ids)],
    )  # fmt: skip
    _add_activity(routes, dependencies)
    _add_counterfactuals(routes, dependencies)
    return routes


def _add_activity(routes: APIRouter, dependencies: Dependencies) -> None:
    described: dict[str, Any] = {
        "summary": "What a customer did, and the changes published of them",
        "responses": describe_answer(documents.Activity, "The newest of it.")
        | describe_problems(400, 404, 503),
    }

    @routes.get("/activity", **described)
    @routes.get("/{customer_id:path}/activity", **described)
    async def activity(customer_id: str) -> Response:
        """Look up the newest events in Kafka, with what each weighs today, and the posteriors.

        Events that no worker has applied yet, and what a deletion has forgotten, are left out.
        """
        await _load_published(dependencies, customer_id)
        found = await _find_logged(dependencies, customer_id)
        # Read again, after the log: the customer may have been deleted meanwhile.
        record = await _load_published(dependencies, customer_id)
        answer = await asyncio.to_thread(
            activities.answer_activity, customer_id, record, found,
            dependencies.customer_log.settings, dependencies.taxonomy,
        )  # fmt: skip
        return encode_answer(answer)


def _add_counterfactuals(routes: APIRouter, dependencies: Dependencies) -> None:
    one_at_a_time = asyncio.Semaphore()  # one thread leaves time to all other requests

    described: dict[str, Any] = {
        "summary": "What would make another persona the likeliest",
        "responses": describe_answer(documents.Flips, "By number of events.")
        | describe_problems(400, 404, 503),
    }

    @routes.get("/flips", **described)
    @routes.get("/{customer_id:path}/flips", **described)
    async def flips(customer_id: str) -> Response:
        """Find the purchases, looks and searches that would make another persona the likeliest.

        They happen at the customer's clock and go through the workers' own arithmetic; price and
        attributes are left out.
        """
        record = await _load_published(dependencies, customer_id)
        await dependencies.reader.load_names()
        weights, names = dependencies.reader.model.weights, dependencies.reader.names.tokens
        async with one_at_a_time:
            answer = await asyncio.to_thread(
                counterfactuals.answer_counterfactuals,
                customer_id,
                record,
                weights,
                dependencies.taxonomy,
                names,
            )
        return encode_answer(answer)


async def _find_logged(dependencies: Dependencies, customer_id: str) -> CustomerMessages:
    """Find the newest events of a customer.

    Raises:
        KafkaUnavailableError: Kafka did not give them in time, or too many are waiting.
    """
    try:
        return await dependencies.customer_log.find(customer_id)
    except UnavailableError as error:
        raise KafkaUnavailableError(str(error)) from error


async def _load_published(dependencies: Dependencies, customer_id: str) -> Record:
    """Load the private record of a customer with a published persona.

    Raises:
        DecodeError: the id could not be one.
        HTTPException: 404, the customer is unknown, or was deleted.
    """
    check_known(customer_id, dependencies.nobody)
    loaded = await repository.load(
        dependencies.tables, [customer_id], dependencies.taxonomy.fingerprint
    )
    record = loaded.get(customer_id)
    if record is None or record.published is None:
        raise make_unknown_error(customer_id)
    return record
