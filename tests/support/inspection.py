"""Samples of messages, and the reports on them."""

from collections.abc import Sequence
from typing import Any

from stream_persona.domain.events import encode
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.files.row_reader import KIND_NAMES
from stream_persona.inspection.report import make_report
from stream_persona.inspection.sample import InputSample, SampledMessage, TopicSetup
from tests.support.constants import NOW
from tests.support.events import shop

#: The kinds by what a row's ``topic`` may say.
TOPICS = {name: kind for kind, name in enumerate(KIND_NAMES)}


def order(n: int = 1, **fields: Any) -> dict[str, Any]:
    """A purchase as producers send it."""
    item = {"product_id": "P1", "category": "food", "price": 3.0}
    event = {"event_id": f"e{n}", "customer_id": f"C{n}", "occurred_at": NOW + n, "items": [item]}
    return {name: value for name, value in (event | fields).items() if value is not ...}


def sample_of(
    *documents: Any, kind: int | None = 0, topic: TopicSetup | None = None, **message: Any
) -> InputSample:
    """A sample of JSON documents; bytes stay as they are. ``message`` holds for all of them."""
    values = [each if isinstance(each, bytes | None) else encode(each) for each in documents]
    messages = [SampledMessage(v, f"line {n}", **message) for n, v in enumerate(values, 1)]
    return InputSample("orders", messages, kind, topic, held=len(messages))


def report_on(
    *documents: Any, taxonomy: Taxonomy | None = None, partitions: int = 8, **how: Any
) -> dict[str, Any]:
    """The report on documents, as ``sample_of`` takes them."""
    return make_report(sample_of(*documents, **how), taxonomy or shop(), TOPICS, partitions, NOW)


def suggested(report: dict[str, Any], words: str) -> dict[str, Any]:
    """The suggestion that has some words."""
    found: Sequence[dict[str, Any]] = report["suggestions"]
    (only,) = [each for each in found if words in each["suggestion"]]
    return only


def field(report: dict[str, Any], path: str) -> dict[str, Any]:
    """The row of a field."""
    (only,) = [row for row in report["fields"] if row["field"] == path]
    return dict(only)
