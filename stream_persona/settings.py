"""The settings: one immutable object, from the environment and an optional ``.env`` file.

Every field is the variable ``STREAM_PERSONA_<FIELD>``; ``README.md`` lists them.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stream_persona.errors import SettingsError


class Settings(BaseSettings):
    """Addresses, names and limits of a deployment; the personas are defined by the taxonomy."""

    model_config = SettingsConfigDict(
        env_prefix="STREAM_PERSONA_", env_file=".env", extra="ignore", frozen=True
    )

    brokers: str = Field("localhost:9092", description="Kafka brokers, `host:port,...`")
    redis_url: str = Field("redis://localhost:6379/0", description="Redis, `redis://host:port/db`")
    taxonomy: Path | None = Field(
        None, description="the taxonomy file; the shipped generic shop when unset"
    )
    group: str = Field("stream-persona", description="consumer group of the workers")
    prefix: str = Field("", description="put before every Redis key and channel")
    partitions: Annotated[int, Field(gt=0, le=10_000)] = Field(
        8, description="partitions of every customer-keyed topic"
    )
    replication: Annotated[int, Field(gt=0, le=9)] = Field(
        1, description="replicas of topics that start-up creates"
    )
    declare_topics: bool = Field(
        True, description="create missing topics at start-up (off: only check them)"
    )
    api_host: str = Field("127.0.0.1", description="address the API listens on")
    api_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        8000, description="port of the API; 0 means any free one"
    )
    api_keys: str = Field(
        "",
        repr=False,
        description="keys that let callers of the API in, `key,...`; none: loopback addresses only",
    )
    api_cors_origins: str = Field(
        "", description="origins whose pages may call the API, `https://shop.example,...`"
    )
    api_max_body_bytes: Annotated[int, Field(gt=0, le=100_000_000)] = Field(
        1_000_000, description="most bytes of a request's body"
    )
    api_requests_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0,
        description="requests a second of a key, or of an address without keys; 0: any number",
    )
    rank_holdout: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="share of the customers whose `/v1/rank` keeps the order, for comparison"
    )
    rank_salt: str = Field("", description="salt of the hold-out; another one draws another group")
    metrics_host: str = Field("127.0.0.1", description="address of the worker's metrics")
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        9464, description="port of the worker's metrics; a taken one moves to a free one"
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    topic_purchases: str = Field("purchases", description="topic of purchases")
    topic_browses: str = Field("browses", description="topic of browses")
    topic_engagements: str = Field("engagements", description="topic of engagements")
    topic_assignments: str = Field("persona-assignments", description="topic of assignments")
    topic_deletions: str = Field("customer-deletions", description="topic of deletions")
    topic_changes: str = Field("persona-changes", description="topic of persona changes")
    topic_dead_letters: str = Field("persona-dead-letters", description="topic of dead letters")
    topic_reroutes: str = Field(
        "persona-reroutes",
        description="internal topic: events that arrived off their customer's home partition",
    )

    max_batch_records: Annotated[int, Field(gt=0, le=100_000)] = Field(
        8_000, description="most records that are processed as one batch"
    )
    commit_interval: Annotated[float, Field(gt=0, le=60)] = Field(
        1.0, description="seconds between offset commits"
    )
    model_interval: Annotated[float, Field(gt=0, le=60)] = Field(
        0.5, description="seconds between two refreshes of the model's weights"
    )
    model: str = Field(
        "additive", description="`additive`, or `module:Class` of a River classifier as the model"
    )
    challengers: str = Field(
        "", description="River classifiers evaluated beside the model, `module:Class,...`"
    )
    sweep_rate: Annotated[float, Field(ge=0)] = Field(
        5_000.0,
        description="shoppers a second that a worker scores again when the model moved",
    )
    session_timeout: Annotated[float, Field(ge=1, le=1800)] = Field(
        30.0, description="seconds after which a silent worker loses its partitions"
    )
    cached_customers: Annotated[int, Field(gt=0)] = Field(
        100_000, description="most customer records that a worker keeps in memory"
    )
    deletion_marker_days: Annotated[float, Field(gt=0)] = Field(
        30.0, description="days for which older events of a deleted customer stay dropped"
    )
    retry_seconds: Annotated[float, Field(gt=0)] = Field(
        60.0, description="how long broker or Redis may stay away before a worker exits"
    )

    @cached_property
    def input_topics(self) -> tuple[str, str, str, str, str]:
        """The five consumed topics, in the order of ``events.KINDS``."""
        return (
            self.topic_purchases,
            self.topic_browses,
            self.topic_engagements,
            self.topic_assignments,
            self.topic_deletions,
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the API; empty when callers need none."""
        return _split(self.api_keys)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins whose pages may call the API."""
        return _split(self.api_cors_origins)

    @field_validator("api_cors_origins")
    @classmethod
    def _check_origins(cls, text: str) -> str:
        for origin in _split(text):
            if not re.fullmatch(r"\*|https?://[^/?#\s]+", origin):
                raise ValueError("expected origins such as https://shop.example, without a path")
        return text


def _split(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


def load_settings(**overrides: object) -> Settings:
    """Load the settings from the environment; ``overrides`` win.

    Raises:
        SettingsError: the message names each wrong variable and what was expected.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [
            f"STREAM_PERSONA_{'_'.join(map(str, item['loc'])).upper()}: {item['msg'].lower()}"
            f" (got {item['input']!r})"
            for item in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from None
