"""Errors of Redis that no waiting will change name the setting, and the others do not."""

import pytest
from redis import exceptions as redis

from stream_persona.errors import TopologyError, UnavailableError
from stream_persona.store.redis_errors import raise_if_permanent, refuse_foreign


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


def test_content_that_is_not_ours_names_the_key() -> None:
    with (
        pytest.raises(TopologyError, match=r"STREAM_PERSONA_PREFIX.*shop:persona-names holds"),
        refuse_foreign("shop:persona-names"),
    ):
        int("theirs")
