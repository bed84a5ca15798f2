"""The HTTP API: queries, lookups, commands, a live stream of changes, and the dashboard.

``create_api`` builds the application from settings and a taxonomy, ``serve`` runs it. The API owns
no state: it reads what the workers write to Redis, and requests changes through Kafka alone.
"""

from __future__ import annotations

from stream_persona.api.app import create_api
from stream_persona.api.server import serve

__all__ = ["create_api", "serve"]
