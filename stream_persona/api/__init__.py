"""The HTTP API: queries, lookups, a live stream of changes, and the page that shows them.

``create_api`` builds the application from settings and a taxonomy, ``serve`` runs it. It reads
what the workers write and asks for changes through Kafka alone: it owns no state.
"""

from __future__ import annotations

from stream_persona.api.app import create_api
from stream_persona.api.server import serve

__all__ = ["create_api", "serve"]
