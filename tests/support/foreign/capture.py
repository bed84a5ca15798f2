"""Captures what vendors' Python libraries send of the journey: rewrites ``captured/*.json``.

    pip install segment-analytics-python==2.4.0
    pip install snowplow-tracker==1.1.0 snowplow-analytics-sdk==0.2.3
    python -m tests.support.foreign.capture

No test needs these packages: it reads what was captured. ``capture.mjs`` does the same for Node.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from typing import Any

from tests.support.foreign.segment_calls import FOLDER, JOURNEY, calls
from tests.support.foreign.snowplow_events import enrich, self_describing


@contextmanager
def server() -> Iterator[tuple[int, list[Any]]]:
    """Listen on a free port and keep the JSON body of each request."""
    bodies: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"success": true}')

        def log_message(self, *_: object) -> None:
            pass

    listener = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    try:
        yield listener.server_port, bodies
    finally:
        listener.shutdown()


def moment(at: str) -> datetime:
    return datetime.fromisoformat(at)


def save(name: str, made_by: str, bodies: object) -> None:
    text = json.dumps({"made_by": made_by, "bodies": bodies}, indent=1)
    (FOLDER / "captured" / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def capture_segment() -> None:
    from segment.analytics.client import Client

    with server() as (port, bodies):
        client = Client("write-key", host=f"http://127.0.0.1:{port}")
        user, anonymous = JOURNEY["user_id"], JOURNEY["anonymous_id"]
        first = moment(JOURNEY["steps"][0]["at"])
        client.identify(user, {"plan": "free"}, anonymous_id=anonymous, timestamp=first)
        client.alias(anonymous, user, timestamp=first)
        client.page(user, "Shop", "Home", {}, timestamp=first)
        for name, fields, at in calls():
            client.track(user, name, fields, timestamp=moment(at), anonymous_id=anonymous)
        client.shutdown()
    save(
        "segment-python", f"segment-analytics-python {version('segment-analytics-python')}", bodies
    )


def capture_snowplow() -> None:
    from snowplow_analytics_sdk.event_transformer import transform
    from snowplow_tracker import (
        Emitter,
        SelfDescribing,
        SelfDescribingJson,
        Subject,
        Tracker,
    )

    with server() as (port, bodies):
        emitter = Emitter("127.0.0.1", port=port, protocol="http", batch_size=1, method="post")
        subject = Subject().set_user_id(JOURNEY["user_id"]).set_domain_user_id("duid-1")
        tracker = Tracker("shop", [emitter], subject, app_id="shop")
        for event, contexts, at in self_describing():
            context = [SelfDescribingJson(schema, data) for schema, data in contexts]
            stamp = moment(at).timestamp() * 1_000
            tracker.track(SelfDescribing(SelfDescribingJson(*event), None, context, stamp))
        tracker.flush()
    made_by = f"snowplow-tracker {version('snowplow-tracker')}"
    payloads = [payload for body in bodies for payload in body["data"]]
    save("snowplow-tracker", made_by, payloads)
    lines = [enrich(payload) for payload in payloads]
    save("snowplow-tsv", f"{made_by}, enriched by tests/support/foreign/snowplow_events.py", lines)
    sdk = f"{made_by}, snowplow-analytics-sdk {version('snowplow-analytics-sdk')}"
    save("snowplow-sdk", sdk, [transform(line) for line in lines])


if __name__ == "__main__":
    (FOLDER / "captured").mkdir(exist_ok=True)
    capture_segment()
    capture_snowplow()
