"""The servers that tables are in, and how deployments are made there."""

from collections.abc import Callable

import pytest

from stream_persona.store.tables import Tables

#: Makes the tables of a deployment of a name.
Make = Callable[[str], Tables]


def server_of(request: pytest.FixtureRequest, kind: str) -> str:
    server = request.getfixturevalue("redis_server" if kind == "redis" else "redis_cluster")
    if kind == "redis" and server.kind == "cluster":
        pytest.skip("the Redis of this run is a Cluster")
    url: str = server.url
    return url
