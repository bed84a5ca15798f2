"""Errors of Redis that no waiting will change name the setting, and the others do not."""

import asyncio

import pytest
from redis import exceptions as redis

from stream_persona.errors import TopologyError, UnavailableError
from stream_persona.store.redis import RedisTables
from stream_persona.store.redis_errors import raise_if_permanent


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (redis.AuthenticationError("WRONGPASS"), "STREAM_PERSONA_REDIS_URL: the server refuses"),
        (redis.NoPermissionError("NOPERM"), "STREAM_PERSONA_REDIS_URL: the server refuses"),
        (redis.InvalidResponse("Protocol error"), "STREAM_PERSONA_REDIS_URL: what answers there"),
        (redis.ResponseError("DB index is out of range"), "STREAM_PERSONA_REDIS_URL: the server"),
        (redis.ResponseError("WRONGTYPE Operation"), "another program uses keys of this"),
    ],
)
def test_an_error_that_lasts_says_what_to_set(error: Exception, sentence: str) -> None:
    with pytest.raises(TopologyError) as caught:
        raise_if_permanent(error)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_right_that_the_client_of_a_cluster_hides_is_named() -> None:
    with pytest.raises(
        TopologyError, match=r"no rights .* 'cluster\|slots'.*; add it to the user's"
    ):
        raise_if_permanent(_as_the_client_hides(redis.NoPermissionError(_LACKING)))


def test_a_cluster_that_cannot_be_connected_may_be_so_later() -> None:
    raise_if_permanent(_as_the_client_hides(redis.ResponseError("LOADING")))


_LACKING = "User u has no rights to run the 'cluster|slots' command"


def _as_the_client_hides(refusal: redis.ResponseError) -> redis.RedisClusterException:
    """What the client raises that may not ask for the slots."""
    hidden, raised = redis.RedisClusterException("no Cluster"), redis.RedisClusterException("away")
    hidden.__context__, raised.__cause__ = refusal, hidden
    return raised


@pytest.mark.parametrize(
    "error",
    [redis.ConnectionError("away"), redis.ReadOnlyError("READONLY"), redis.OutOfMemoryError("OOM"),
     redis.ResponseError("MISCONF Redis is configured to save")],
)  # fmt: skip
def test_an_error_that_may_pass_is_left_to_another_try(error: Exception) -> None:
    raise_if_permanent(error)


def test_any_other_refusal_is_no_fault_of_the_settings() -> None:
    with pytest.raises(UnavailableError, match="Redis refused a command: ERR strange"):
        raise_if_permanent(redis.ResponseError("ERR strange"))


async def test_a_server_that_hangs_up_may_be_one_that_takes_tls() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tables = RedisTables.connect(f"redis://127.0.0.1:{port}/0", "", 0.2)
    try:
        with pytest.raises(UnavailableError, match="see STREAM_PERSONA_REDIS_URL, rediss:// if"):
            await tables.load_deployment()
    finally:
        await tables.close()
        server.close()
