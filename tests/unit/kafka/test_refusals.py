"""What the broker refuses because of a setting names the setting."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import errors as kafka
from aiokafka.admin import AIOKafkaAdminClient

from stream_persona.errors import SettingsError, TopologyError, UnavailableError
from stream_persona.kafka.refusals import check_session, explain_missing_right, explain_refusal
from stream_persona.settings import Settings


@pytest.mark.parametrize(
    ("error", "name"),
    [(kafka.InvalidSessionTimeoutError, "SESSION_TIMEOUT"), (kafka.InvalidGroupIdError, "GROUP"),
     (kafka.InconsistentGroupProtocolError, "GROUP")],
)  # fmt: skip
def test_a_refusal_that_lasts_is_of_a_setting(error: type[kafka.KafkaError], name: str) -> None:
    explained = explain_refusal(error("group"), Settings(_env_file=None))
    assert isinstance(explained, SettingsError)
    assert str(explained).startswith(f"STREAM_PERSONA_{name}: ")
    assert "\n" not in str(explained)


@pytest.mark.parametrize(
    ("error", "right"),
    [(kafka.TopicAuthorizationFailedError("purchases"), "Read on topic purchases"),
     (kafka.TopicAuthorizationFailedError({"b", "a"}), "Read on topic a; Read on topic b"),
     (kafka.TopicAuthorizationFailedError(), "Read on topic"),
     (kafka.GroupAuthorizationFailedError("g"), "Read on group stream-persona"),
     (kafka.TransactionalIdAuthorizationFailed(), "id stream-persona-changes-*"),
     (kafka.ClusterAuthorizationFailedError(), "on the cluster")],
)  # fmt: skip
def test_a_right_that_lacks_is_named(error: kafka.KafkaError, right: str) -> None:
    explained = explain_refusal(error, Settings(_env_file=None))
    assert isinstance(explained, TopologyError)
    assert right in str(explained)
    assert "\n" not in str(explained)
    with pytest.raises(TopologyError), explain_missing_right(Settings(_env_file=None), "Write"):
        raise error


def test_any_other_refusal_may_pass() -> None:
    explained = explain_refusal(kafka.NotCoordinatorForGroupError(), Settings(_env_file=None))
    assert isinstance(explained, UnavailableError)
    assert "NotCoordinatorForGroupError" in str(explained)


class Broker:
    """Takes sessions of 6 to 300 seconds, if it says so."""

    def __init__(self, *, describes: bool) -> None:
        self._describes = describes

    async def describe_configs(self, _: object) -> list[Any]:
        if not self._describes:
            raise kafka.ClusterAuthorizationFailedError
        limits = [("group.min.session.timeout.ms", "6000"), ("group.max.session.timeout.ms", "3e5")]
        return [SimpleNamespace(resources=[(0, "", 4, "1", limits)])]


async def check(seconds: float, *, describes: bool = True) -> None:
    admin = cast("AIOKafkaAdminClient", Broker(describes=describes))
    await check_session(admin, Settings(_env_file=None, session_timeout=seconds), 1)


@pytest.mark.parametrize("seconds", [5.9, 301.0])
async def test_a_session_outside_the_limits_of_the_broker_is_refused(seconds: float) -> None:
    with pytest.raises(SettingsError, match="_SESSION_TIMEOUT: the broker takes 6 to 300 seconds"):
        await check(seconds)
    await check(seconds, describes=False)


async def test_a_session_within_the_limits_is_taken() -> None:
    await check(6.0)
    await check(300.0)
