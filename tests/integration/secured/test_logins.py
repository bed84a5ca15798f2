"""Who is let in by a secured Kafka and a secured Redis, and what the others are told."""

import asyncio
import re

import pytest
from pydantic import SecretStr

from stream_persona.errors import TopologyError, UnavailableError
from stream_persona.kafka.topics import ask
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.support.kafka_node import can_run_kafka
from tests.support.rights import kafka_rights
from tests.support.secured_place import Place, run
from tests.support.servers import create_topics
from tests.support.token_endpoint import Endpoint, unsigned_token

pytestmark = pytest.mark.skipif(not can_run_kafka(), reason="needs a real Kafka")


async def list_topics(settings: Settings) -> set[str]:
    return set(await ask(settings, lambda admin: admin.list_topics()))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
async def test_a_login_by_password_is_let_in_by_each_mechanism(
    place: Place, mechanism: str
) -> None:
    settings = place.as_process("watch").model_copy(update={"kafka_sasl_mechanism": mechanism})
    if mechanism == "PLAIN":
        place.kafka.grant("plain", kafka_rights("watch", settings))
        login = {"kafka_username": "plain", "kafka_password": SecretStr("plain-secret")}
        settings = settings.model_copy(update=login)
    await create_topics(place.kafka.open_brokers, [settings.topic_changes], 1, {})
    assert settings.topic_changes in await list_topics(settings)


async def test_a_login_by_token_is_let_in_and_renewed(place: Place) -> None:
    settings = place.as_process("watch")
    await create_topics(place.kafka.open_brokers, [settings.topic_changes], 1, {})
    endpoint = Endpoint()
    endpoint.answer = {"access_token": unsigned_token(settings.kafka_username), "expires_in": 600}
    try:
        by_token = settings.model_copy(
            update={"kafka_sasl_mechanism": "OAUTHBEARER", "kafka_token_url": endpoint.url}
        )
        assert settings.topic_changes in await list_topics(by_token)
        assert len(endpoint.asked) == 1  # for several connections
        endpoint.answer = {"access_token": unsigned_token("other", -600.0), "expires_in": 600}
        ended = by_token.model_copy(update={"kafka_token_scope": "another"})
        with pytest.raises(TopologyError, match="refuses the login of the client"):
            await list_topics(ended)
        endpoint.status = 401
        refused = by_token.model_copy(update={"kafka_token_scope": "a third"})
        with pytest.raises(TopologyError, match=r"^STREAM_PERSONA_KAFKA_TOKEN_URL .* gives no tok"):
            await list_topics(refused)
        endpoint.status = 503  # which is none of the brokers' doing
        failing = {"kafka_token_scope": "a fourth", "retry_seconds": 1.0}
        with pytest.raises(UnavailableError, match=r"^STREAM_PERSONA_KAFKA_TOKEN_URL .*HTTP 503"):
            await list_topics(by_token.model_copy(update=failing))
    finally:
        endpoint.close()


REFUSALS: dict[str, tuple[dict[str, object], str]] = {
    "a wrong password of Kafka": (
        {"kafka_password": SecretStr("zq#zq")}, "_KAFKA_PASSWORD: the broker .* refuses the login",
    ),
    "an unknown user of Kafka": ({"kafka_username": "ghost"}, "refuses the login of User:ghost"),
    "an authority that is not ours": ({"kafka_ca_file": None}, "_KAFKA_CA_FILE: the certificate"),
    "another name of the broker": ({"brokers": "127.0.0.1:{kafka}"}, "_BROKERS: the certificate"),
    "a wrong password of Redis": (
        {"redis_password": SecretStr("zq#zq")}, "_REDIS_URL: the server refuses the login",
    ),
    "no password of Redis": ({"redis_password": SecretStr("")}, "_REDIS_URL: the server refuses"),
    "another authority of Redis": ({"redis_ca_file": None}, "_REDIS_CA_FILE: the server's cert"),
    "another name of Redis": (
        {"redis_url": "rediss://127.0.0.1:{redis}/0"}, "_REDIS_URL: the server's certificate is",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refusal_is_raised_at_once_with_what_to_correct(place: Place, case: str) -> None:
    change, sentence = REFUSALS[case]
    ports = {"kafka": place.kafka.port, "redis": place.redis.port}
    change = {
        name: value.format(**ports) if isinstance(value, str) else value
        for name, value in change.items()
    }
    settings = place.as_process("worker", redis="worker").model_copy(update=change)
    began = asyncio.get_running_loop().time()
    with pytest.raises(TopologyError, match=sentence) as caught:
        await prepare(settings)
    assert asyncio.get_running_loop().time() - began < settings.retry_seconds / 2
    assert caught.value.exit_code == 2
    assert not re.search("zq|p@ss|p%40ss", str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.faults
@pytest.mark.parametrize("command", ["worker", "api", "assign C-1 student"])
@pytest.mark.parametrize("case", ["a wrong password of Kafka", "an authority that is not ours"])
async def test_a_refused_process_ends_with_2_and_one_sentence(
    place: Place, command: str, case: str
) -> None:
    change, sentence = REFUSALS[case]
    settings = place.as_process("worker", "api", "assign", redis="worker")
    code, printed = await run(settings.model_copy(update=change), *command.split())
    assert (code, printed.count("\n")) == (2, 1), printed
    assert re.search(sentence, printed)
