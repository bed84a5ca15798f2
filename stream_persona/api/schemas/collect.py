"""Models of the collector's answers, and the schemas of what it takes, for the documentation."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from pydantic import BaseModel, Field

from stream_persona.api.collector.bodies import MAX_EVENT, MAX_EVENTS
from stream_persona.api.collector.own_events import TYPES
from stream_persona.api.problems import Problem
from stream_persona.api.schemas.queries import Number, configure_example
from stream_persona.domain.events import KINDS
from stream_persona.domain.time import END


class Refusal(BaseModel):
    """An event that was not taken."""

    index: Annotated[int, Field(ge=0, description="Its place in the request, from 0.")]
    message: Annotated[str, Field(description="One sentence on what is wrong.")]


class CollectReceipt(BaseModel):
    """What became of a request's events."""

    model_config = configure_example(
        accepted=2, ignored=0, refused=[{"index": 1, "message": "`action` is missing"}]
    )

    accepted: Annotated[Number, Field(description="Events that the broker has.")]
    ignored: Annotated[Number, Field(description="Events of ids that stand for nobody.")]
    refused: list[Refusal]


class CollectProblem(Problem):
    """Nothing could be taken: of the body, or of each event by itself."""

    model_config = configure_example(message="the list has no events")

    refused: Annotated[list[Refusal], Field(default_factory=list)]


class CallReceipt(CollectReceipt):
    """What became of calls of Segment's libraries."""

    model_config = configure_example(
        success=True, accepted=2, ignored=0, links=0, left_out={"not_of_interest": 1}, refused=[]
    )

    success: Annotated[bool, Field(description="False if one was refused.")]
    left_out: Annotated[
        dict[str, Number],
        Field(
            description="Calls that are no event of ours, by reason: `unknown_event`, "
            "`not_of_interest` (a page view), `not_bought` (a refund)."
        ),
    ]
    links: Annotated[
        Number, Field(description="Calls that link two ids of a customer: counted, not yet used.")
    ]


class LibrarySettings(BaseModel):
    """Settings of `@segment/analytics-next`: where it sends to, and that nothing else is on."""

    model_config = configure_example(
        integrations={
            "Segment.io": {"apiKey": "key", "apiHost": "shop.example/v1", "protocol": "https"}
        },
        plan={}, metrics={"sampleRate": 0}, edgeFunction={}, middlewareSettings={},
        enabledMiddleware={}, remotePlugins=[],
    )  # fmt: skip

    integrations: dict[str, dict[str, str]]
    plan: dict[str, Any]
    metrics: dict[str, int]
    edgeFunction: dict[str, Any]  # noqa: N815 - the library's names
    middlewareSettings: dict[str, Any]  # noqa: N815
    enabledMiddleware: dict[str, Any]  # noqa: N815
    remotePlugins: list[Any]  # noqa: N815


#: The forms of a time; a number is less than the nanoseconds of the year 10000.
TIME_FORMS: Final[list[dict[str, Any]]] = [
    {"type": "string", "format": "date-time"},
    {"type": "number", "minimum": 0, "exclusiveMaximum": END * 1_000_000},
]
_TIME: Final[dict[str, Any]] = {
    "anyOf": TIME_FORMS,
    "description": "When it happened; when it came in, if it is missing.",
}
_ID: Final[dict[str, Any]] = {
    "type": "string", "minLength": 1, "maxLength": 256,
    "description": "The same on every retry. Without one a retry counts as another event.",
}  # fmt: skip
#: As ``openapi.CUSTOMER_ID``, which names the format.
_CUSTOMER: Final[dict[str, Any]] = {"type": "string", "format": "customer-id", "maxLength": 256}
EVENT_EXAMPLE: Final[dict[str, Any]] = {
    "event_id": "b-1", "customer_id": "CUST-04812", "action": "view",
    "product": {"product_id": "p-17", "category": "baby/diapers", "price": 9.99},
}  # fmt: skip
_REF: Final = "#/components/schemas/{name}"


def describe_own_events() -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe a body of our events, and the schemas that it refers to."""
    kinds = dict(zip(TYPES, KINDS, strict=False))
    _, schemas = msgspec.json.schema_components(kinds.values(), ref_template=_REF)
    for name, kind in kinds.items():
        schema = schemas[kind.__name__]
        schema["properties"] |= {
            "type": {"enum": [name]}, "event_id": _ID, "customer_id": _CUSTOMER,
            "occurred_at": _TIME,
        }  # fmt: skip
        schema["required"] = [
            field for field in schema["required"] if field not in {"event_id", "occurred_at"}
        ]
    event = {"oneOf": [{"$ref": _REF.format(name=kind.__name__)} for kind in kinds.values()]}
    events = {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}
    body = {
        "description": "One event or a list. `items` make a purchase, `action` a browse, `channel` "
        "an engagement; where an event could be two kinds, `type` says which. An event has at most "
        f"{MAX_EVENT:,} bytes.",
        "anyOf": [event, events],
    }
    return body, schemas


#: A call as Segment's libraries make it; what else it holds is described at Segment.
_CALL: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "userId": _CUSTOMER,
        "anonymousId": _CUSTOMER,
        "messageId": {"type": "string", "minLength": 1, "maxLength": 100},
        "properties": {"type": "object"},
        "context": {"type": "object"},
    },
    "anyOf": [{"required": ["userId"]}, {"required": ["anonymousId"]}],
}
#: The call that names an event.
_NAMED: Final = "track"
CALL_EXAMPLE: Final[dict[str, Any]] = {
    "type": "track", "event": "Product Viewed", "userId": "CUST-04812", "messageId": "m-1",
    "properties": {"product_id": "p-17", "category": "baby/diapers", "price": 9.99},
}  # fmt: skip

BATCH_EXAMPLE: Final[dict[str, Any]] = {"batch": [CALL_EXAMPLE]}


def describe_call(*names: str) -> dict[str, Any]:
    """Describe the body of one call, of one of these names; of an event the shop has named."""
    schema: dict[str, Any] = {
        **_CALL, "properties": {**_CALL["properties"], "type": {"enum": list(names)}}
    }  # fmt: skip
    if names == (_NAMED,):
        schema["properties"]["event"] = {"type": "string"}
        schema["required"] = ["event"]
    return schema


def describe_batch(names: list[str]) -> dict[str, Any]:
    """Describe a body of many calls, each of which says its name."""
    of_events, others = describe_call(_NAMED), describe_call(*sorted({*names} - {_NAMED}))
    of_events["required"], others["required"] = ["type", "event"], ["type"]
    return {
        "type": "object",
        "properties": {
            "batch": {
                "type": "array", "items": {"anyOf": [of_events, others]},
                "minItems": 1, "maxItems": MAX_EVENTS,
            },
            "sentAt": {"type": "string", "format": "date-time"},
        },
        "required": ["batch"],
    }  # fmt: skip
