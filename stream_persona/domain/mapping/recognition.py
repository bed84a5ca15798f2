"""The readers of presets, and which of them an object within an envelope is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.mapping.ga4 import read_ga4
from stream_persona.domain.mapping.segment import read_segment
from stream_persona.domain.mapping.shopify import read_shopify
from stream_persona.domain.mapping.snowplow import read_snowplow
from stream_persona.domain.mapping.values import read_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_persona.domain.identity import NobodyIds
    from stream_persona.domain.mapping.drafts import Findings

    Reader = Callable[[object, NobodyIds, int | None], Findings]

#: By preset; RudderStack's calls are Segment's.
READERS: Final[Mapping[str, Reader]] = {
    "segment": read_segment, "rudderstack": read_segment, "ga4": read_ga4,
    "snowplow": read_snowplow, "shopify": read_shopify,
}  # fmt: skip
_CALLS: Final = frozenset({"", "track", "identify", "alias", "page", "screen", "group"})


def recognize(fields: Mapping[str, Any]) -> Reader | None:
    """Return the reader of an object by its fields; None if it is of no preset."""
    if "batch" in fields or ("messageId" in fields and read_name(fields.get("type")) in _CALLS):
        return read_segment
    if "event_timestamp" in fields or ("events" in fields and "customer_id" not in fields):
        return read_ga4
    if "collector_tstamp" in fields or "derived_tstamp" in fields:
        return read_snowplow
    if "line_items" in fields or "refund_line_items" in fields:
        return read_shopify
    return None
