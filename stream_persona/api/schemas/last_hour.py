"""Models of what dashboards show of the last hour, for the documentation."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from stream_persona.api.schemas.queries import Number, Probability


class Odd(BaseModel):
    """Events, lines or labels that were left out or count for less, of one reason."""

    reason: Annotated[str, Field(description="As in `stream_persona_anomalies_total`.")]
    count: Number
    share: Annotated[Probability, Field(description="Of the events.")]
    text: Annotated[str, Field(description="The number in words.")]
    about: Annotated[str, Field(description="What it means, and where to look.")]


class Rollback(BaseModel):
    """Redis came back older, and what it lacked was read again."""

    at: int
    events: Number


class HeavyCustomer(BaseModel):
    """A customer with far more events than most: often a bot, or an id of many shoppers."""

    customer_id: str
    events: Number
    share: Annotated[Probability, Field(description="Of all events.")]


class LastHour(BaseModel):
    """The last hour of the workers that are alive."""

    events: Annotated[Number, Field(description="Events read, the unreadable ones included.")]
    odd: list[Odd]
    dead_letters: Annotated[dict[str, Number], Field(description="Dead letters by reason.")]
    rollbacks: Annotated[list[Rollback], Field(description="As each worker noted them.")]
    heaviest: Annotated[list[HeavyCustomer], Field(description="The heaviest first, at most 10.")]
