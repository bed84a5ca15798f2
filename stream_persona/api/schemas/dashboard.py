"""Models of answers for dashboards, for the documentation; times are in epoch ms."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from stream_persona.api.dashboard.health import Component
from stream_persona.api.dashboard.persona_counts import BINS, EDGES
from stream_persona.api.schemas.last_hour import LastHour
from stream_persona.api.schemas.queries import Number, Probability, Why, configure_example

Measured = Annotated[float | None, Field(ge=0)]
Counts = Annotated[list[Number], Field(min_length=BINS, max_length=BINS)]
Series = list[float | None]
Numbers = list[Number | None]
_NOBODY: Final[list[JsonValue]] = [0] * BINS


class Trouble(BaseModel):
    """Something that is wrong, and where."""

    part: Component
    message: Annotated[str, Field(description="One sentence, or two.")]


class Overview(BaseModel):
    """The key figures of now."""

    model_config = configure_example(
        at=1_764_000_000_000, counted=True, changes_per_minute=240, shoppers=1_200, ambiguous=300,
        ambiguous_share=0.25, assigned=95, mix={"student": 500, "pet_owner": 400}, labelled=950,
        model_version="0123456789ab", stream=True, events_per_second=850.5, lag_events=120,
        lag_seconds=0.4, change_p99_ms=92.0, workers=2,
        last_hour={
            "events": 12_345,
            "odd": [{
                "reason": "retry", "count": 12, "share": 0.001, "text": "12 retries",
                "about": "They are retries and do not count: one event_id on many events: a "
                "session's id? `stream-persona inspect TOPIC` shows it.",
            }],
            "dead_letters": {}, "rollbacks": [],
            "heaviest": [{"customer_id": "CUST-00042", "events": 2_400, "share": 0.194}],
        },
        unknown_labels={}, products=92_353, troubles=[],
    )  # fmt: skip

    at: int
    counted: Annotated[
        bool, Field(description="Whether all shoppers were counted; before that, some of them.")
    ]
    changes_per_minute: Number
    shoppers: Annotated[Number, Field(description="Shoppers known.")]
    ambiguous: Number
    ambiguous_share: Probability | None
    assigned: Annotated[Number, Field(description="Shoppers whose persona was assigned.")]
    mix: Annotated[dict[str, Number], Field(description="Shoppers of each persona.")]
    labelled: Annotated[Number, Field(description="Customers that the model has learned.")]
    model_version: str
    stream: Annotated[bool, Field(description="Whether changes are being received.")]
    events_per_second: Annotated[Measured, Field(description="Of the last ten seconds.")]
    lag_events: Annotated[Number | None, Field(description="Events that wait for a worker.")]
    lag_seconds: Annotated[
        Measured, Field(description="How long the oldest of them has waited, at least.")
    ]
    change_p99_ms: Annotated[
        Measured,
        Field(
            description="From an event's arrival to its change's publication, 99 % of the last "
            "minute's; interpolated within the buckets of a histogram."
        ),
    ]
    workers: Annotated[Number, Field(description="Workers that reported in the last 15 s.")]
    last_hour: LastHour
    unknown_labels: Annotated[
        dict[str, Number],
        Field(description="Labels of personas that the taxonomy does not know, by persona."),
    ]
    products: Annotated[
        Number | None, Field(description="Products of the catalogue; null without one.")
    ]
    troubles: list[Trouble]


class Flow(BaseModel):
    """How many shoppers went from one persona to another; null is ambiguous."""

    model_config = ConfigDict(populate_by_name=True)

    was: Annotated[str | None, Field(alias="from")]
    to: str | None
    count: Number


class History(BaseModel):
    """Series over time, one entry for each of ``at``; null where nothing is known."""

    model_config = configure_example(
        step_seconds=10, at=[1_764_000_000_000, 1_764_000_010_000],
        mix={"student": [500, 503], "pet_owner": [400, None]}, ambiguous=[300, 296],
        shoppers=[1_200, 1_204], changes=[38, 12], events_per_second=[850.5, 862.0],
        lag_events=[120, 0], change_p99_ms=[92.0, None], log_loss=[1.1, 1.1],
        prior_log_loss=[1.9, 1.9], accuracy=[0.62, 0.62], challengers={"naive_bayes": [1.5, 1.5]},
        flows=[{"from": None, "to": "student", "count": 7}],
    )  # fmt: skip

    step_seconds: int
    at: Annotated[list[int], Field(description="Where each ten seconds begin; the last still run.")]
    mix: dict[str, Numbers]
    ambiguous: Numbers
    shoppers: Numbers
    changes: Numbers
    events_per_second: Series
    lag_events: Numbers
    change_p99_ms: Series
    log_loss: Annotated[Series, Field(description="Of the model in use, over recent trials.")]
    prior_log_loss: Annotated[Series, Field(description="Of the class shares, over all trials.")]
    accuracy: Annotated[Series, Field(description="Of the model in use, over recent trials.")]
    challengers: Annotated[dict[str, Series], Field(description="The log-loss of each.")]
    flows: Annotated[list[Flow], Field(description="All of these changes summed.")]


class Bin(BaseModel):
    """Trials of like confidence: how sure it was, and how often right."""

    confidence: Probability
    accuracy: Probability
    trials: Number


class Portrait(BaseModel):
    """A persona as its shoppers show it."""

    name: str
    title: str
    description: str
    shoppers: Number
    assigned: Annotated[Number, Field(description="Those of them whose persona was assigned.")]
    labelled: Annotated[Number, Field(description="Labelled customers that it was learned from.")]
    threshold: Annotated[
        Probability, Field(description="The confidence from which it is named; 1: never.")
    ]
    mean_confidence: Annotated[Probability | None, Field(description="Of the predicted ones.")]
    confidence: Annotated[Counts, Field(description="The predicted ones, between the `edges`.")]
    trials: Annotated[Number, Field(description="Times it was named to who was then assigned one.")]
    reliability: list[Bin]
    lifts: Annotated[list[Why], Field(description="What sets its shoppers apart most, first.")]


class Undecided(BaseModel):
    """The ambiguous shoppers, by the confidence in their likeliest persona."""

    shoppers: Number
    confidence: Counts


class Portraits(BaseModel):
    """All personas."""

    model_config = configure_example(
        counted=True, threshold=0.62, candidate_floor=0.03, edges=list(EDGES),
        personas=[{
            "name": "student", "title": "Student", "description": "", "shoppers": 500,
            "assigned": 40, "labelled": 120, "threshold": 0.64, "mean_confidence": 0.81,
            "confidence": [*_NOBODY[:14], 100, 110, 90, 80, 50, 30], "trials": 98,
            "reliability": [{"confidence": 0.84, "accuracy": 0.81, "trials": 53}],
            "lifts": [{"feature": "category", "value": "books", "lift": 3.1}],
        }],
        ambiguous={"shoppers": 300, "confidence": [*_NOBODY[:6], 300, *_NOBODY[:13]]},
    )  # fmt: skip

    counted: bool
    threshold: Annotated[
        Probability, Field(description="The confidence from which a persona is named; 1: never.")
    ]
    candidate_floor: Annotated[
        Probability, Field(description="The probability from which on one is a candidate.")
    ]
    edges: list[float]
    personas: list[Portrait]
    ambiguous: Undecided


class LivingWorker(BaseModel):
    """A worker that has reported lately; times are of its own clock."""

    worker: str
    at: int
    started_at: int
    partitions: Annotated[Number, Field(description="How many it owns.")]
    events_per_second: Measured


class JudgedModel(BaseModel):
    """How good a model's predictions were, each made before the assignment was learned.

    Over the workers that are alive, since they started; losses in nats; null without a trial.
    """

    name: Annotated[str, Field(description="`current`, or the name of a challenger.")]
    trials: Number
    log_loss: Measured
    prior_log_loss: Annotated[Measured, Field(description="Of the class shares.")]
    accuracy: Probability | None
    macro_f1: Probability | None
    ece: Annotated[Probability | None, Field(description="The expected calibration error.")]
    recent_log_loss: Measured
    recent_accuracy: Probability | None
    alarms: Annotated[Number, Field(description="Of drift, the last 20 at most.")]
    failure: Annotated[str, Field(description="Why a challenger is out; empty while it is not.")]


class Alarm(BaseModel):
    """A model's loss has risen for good."""

    model: str
    at: int
    trial: Number


class Confusion(BaseModel):
    """Trials of the model in use: a row for each persona named, a column for each assigned."""

    personas: list[str]
    counts: Annotated[list[list[Number]], Field(description="Empty without a worker.")]


class ModelInUse(BaseModel):
    """The model in use, beside its challengers."""

    model_config = configure_example(
        model_version="0123456789ab", taxonomy_version="ba9876543210", labelled=950,
        labels={"student": 500, "pet_owner": 450}, threshold=0.62,
        thresholds={"student": 0.62, "pet_owner": 0.71}, candidate_floor=0.03,
        target_precision=0.8, oldest_record_seconds=1.5, sweeping=False,
        workers=[{
            "worker": "host-1", "at": 1_764_000_000_000, "started_at": 1_763_990_000_000,
            "partitions": 8, "events_per_second": 850.5,
        }],
        models=[{
            "name": "current", "trials": 920, "log_loss": 1.12, "prior_log_loss": 1.93,
            "accuracy": 0.61, "macro_f1": 0.58, "ece": 0.03, "recent_log_loss": 1.08,
            "recent_accuracy": 0.63, "alarms": 1, "failure": "",
        }],
        alarms=[{"model": "current", "at": 1_763_995_000_000, "trial": 512}],
        confusion={"personas": ["student", "pet_owner"], "counts": [[300, 60], [80, 260]]},
    )  # fmt: skip

    model_version: str
    taxonomy_version: str
    labelled: Number
    labels: dict[str, Number]
    threshold: Probability
    thresholds: Annotated[
        dict[str, Probability],
        Field(description="The confidence from which each persona is named; 1: never."),
    ]
    candidate_floor: Probability
    target_precision: Probability
    oldest_record_seconds: Annotated[
        Measured, Field(description="How far the oldest record is behind the model.")
    ]
    sweeping: bool
    workers: list[LivingWorker]
    models: list[JudgedModel]
    alarms: Annotated[list[Alarm], Field(description="The newest first, at most 20.")]
    confusion: Confusion


class Queued(BaseModel):
    """An ambiguous shopper, and how far a label would move the model."""

    customer_id: str
    information: Annotated[float, Field(ge=0, description="The expected length of a step.")]
    evidence: Measured
    distribution: dict[str, Probability]
    candidates: list[str]
    updated_at: int


class LabelQueue(BaseModel):
    """The shoppers to label next."""

    model_config = configure_example(
        counted=True,
        shoppers=[{
            "customer_id": "CUST-04812", "information": 1.61, "evidence": 12.5,
            "distribution": {"student": 0.48, "pet_owner": 0.52},
            "candidates": ["pet_owner", "student"], "updated_at": 1_764_000_000_000,
        }],
    )  # fmt: skip

    counted: bool
    shoppers: list[Queued]
