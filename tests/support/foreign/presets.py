"""The journey's documents by preset and way, and what it is as events of ours."""

import base64
import json
from typing import Any, NamedTuple

from stream_persona.domain.events import Event
from stream_persona.domain.mapping.documents import MappedDocument, map_document
from stream_persona.domain.mapping.snowplow_tsv import parse_line
from stream_persona.domain.mapping.sources import Source, Sources
from tests.support.foreign import ga4_events, shopify_webhooks, snowplow_events
from tests.support.foreign.own_events import own_events, own_values
from tests.support.foreign.segment_calls import FOLDER, JOURNEY

_LINE = "{product_id: sku, category: join('/', path), brand: maker, price: paid, quantity: n}"
SHOP_SOURCE = f"""
[[source]]
topic = "t"
when = "shop_event"
kind = "shop_event"
[source.map]
event_id = "nr"
customer_id = "who.id"
occurred_at = "at"
items = "lines[].{_LINE}"
order_id = "order"
action = "did"
product = "lines[0].{_LINE}"
query = "words"
channel = "way"
campaign = "reason"
"""


class Way(NamedTuple):
    """A preset, its documents of the journey, and the events that are equal to them."""

    sources: tuple[Source, ...]
    documents: list[Any]
    expected: list[tuple[int, Event]]
    #: Among the documents there is a list, a refund and an event of a name that no preset knows.
    has_others: bool = True


def preset(name: str) -> tuple[Source, ...]:
    """The only source of a topic."""
    return Sources.parse(f'[[source]]\ntopic = "t"\npreset = "{name}"\n').list_for_topic("t")


def captured(name: str) -> list[Any]:
    """What a vendor's library has sent (``capture.py``, ``capture.mjs``)."""
    found = json.loads((FOLDER / "captured" / f"{name}.json").read_text(encoding="utf-8"))
    return found["bodies"]


def map_all(way: Way) -> list[MappedDocument]:
    return [map_document(way.sources, document) for document in way.documents]


def raw_snowplow() -> list[Any]:
    """Enriched events as loaders write them: what is described stays within its schema."""
    found = []
    for line in captured("snowplow-tsv"):
        event = parse_line(line)
        for field in ("unstruct_event", "contexts"):
            if field in event:
                event[field] = json.loads(event[field])
        found.append(event)
    return found


def envelopes(documents: list[Any], encoded: bool = False) -> list[Any]:
    """CloudEvents with documents in them."""
    found = []
    for number, document in enumerate(documents):
        envelope = {
            "specversion": "1.0", "id": f"n{number}", "source": "/shop", "type": "com.shop.event",
            "datacontenttype": "application/json", "time": "2025-11-24T09:00:00Z",
        }  # fmt: skip
        if encoded:
            envelope["data_base64"] = base64.b64encode(json.dumps(document).encode()).decode()
        else:
            envelope["data"] = document
        found.append(envelope)
    return found


def enveloped_own() -> list[Any]:
    """CloudEvents of ours: the envelope has the id, the time and the customer of each."""
    found = []
    for number, (_, _, fields) in enumerate(own_values()):
        del fields["event_id"]
        (envelope,) = envelopes([fields])
        envelope |= {"id": str(number), "time": fields.pop("occurred_at")}
        found.append({**envelope, "subject": fields.pop("customer_id")})
    return found


def expressed() -> list[Any]:
    """The shape of a shop of its own, that ``SHOP_SOURCE`` reads."""
    kinds = ("purchase", "browse", "engagement")
    found = []
    for _, kind, fields in own_values():
        items = (
            fields.get("items") or [fields["product"]]
            if "product" in fields
            else fields.get("items", [])
        )
        lines = [
            {"sku": i["product_id"], "path": i["category"].split("/"), "maker": i["brand"],
             "paid": f"{i['price']:.2f}", "n": i.get("quantity")}
            for i in items
        ]  # fmt: skip
        document = {
            "shop_event": kinds[kind], "nr": fields["event_id"], "at": fields["occurred_at"],
            "who": {"id": fields["customer_id"]}, "did": fields.get("action"),
            "words": fields.get("query"), "way": fields.get("channel"),
            "reason": fields.get("campaign"), "order": fields.get("order_id"),
        }  # fmt: skip
        found.append(document | ({"lines": lines} if lines else {}))
    return found


def ways() -> dict[str, Way]:
    """Every way on which the journey comes to us."""
    segment = [call for body in captured("segment-python") for call in body["batch"]]
    found = {
        f"segment {name}": Way(preset("segment"), captured(name), own_events())
        for name in ("segment-python", "segment-node")
    }
    rudder = Way(preset("rudderstack"), captured("rudderstack-node"), own_events())
    rows, ga4 = ga4_events.rows(), own_events(ga4_events.WITHOUT)
    lines, snowplow = captured("snowplow-tsv"), own_events(snowplow_events.WITHOUT)
    orders = own_events(shopify_webhooks.WITHOUT, categories=False)
    custom = Sources.parse(SHOP_SOURCE).list_for_topic("t")
    return found | {
        "rudderstack": rudder,
        "segment, a call each": Way(preset("segment"), segment, own_events()),
        "ga4 export": Way(preset("ga4"), rows, ga4),
        "ga4 measurement protocol": Way(preset("ga4"), ga4_events.requests(), ga4),
        "snowplow sdk": Way(preset("snowplow"), captured("snowplow-sdk"), snowplow),
        "snowplow raw": Way(preset("snowplow"), raw_snowplow(), snowplow),
        "snowplow line": Way(preset("snowplow"), lines, snowplow),
        "shopify": Way(preset("shopify"), [shopify_webhooks.order()], orders, False),
        "cloudevents of ours": Way(preset("cloudevents"), enveloped_own(), own_events(), False),
        "cloudevents of segment": Way(preset("cloudevents"), envelopes(segment), own_events()),
        "cloudevents of ga4": Way(preset("cloudevents"), envelopes(rows, encoded=True), ga4),
        "cloudevents, a batch": Way(
            preset("cloudevents"), [envelopes(captured("snowplow-sdk"))], snowplow
        ),
        "cloudevents of shopify": Way(
            preset("cloudevents"), envelopes([shopify_webhooks.order()]), orders, False
        ),
        "expressions": Way(custom, expressed(), own_events(), False),
    }


USER = JOURNEY["user_id"]
