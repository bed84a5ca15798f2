"""Commands of the API: assignments and deletions, on their topics when they are answered."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from stream_persona.domain.events import (
    ASSIGNMENT,
    DELETION,
    Assignment,
    Deletion,
    decode_event,
    encode,
)
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.settings import Settings
from tests.support.shop import Shop


async def test_an_assignment_is_on_its_topic_when_it_is_answered(
    client: httpx.AsyncClient, declared_topics: Settings
) -> None:
    body = {"persona": "student", "source": "crm", "expires_at": "2030-01-01T00:00:00Z"}
    response = await client.put("/v1/customers/c1/assignment", json=body)
    assert response.status_code == 202
    async with Redis.from_url(declared_topics.redis_url) as redis:
        found = await Shop(declared_topics, redis).read(declared_topics.topic_assignments)
    assert [record.key for record in found] == [b"c1"]
    assert found[0].partition == find_home_partition("c1", declared_topics.partitions)
    event = decode_event(ASSIGNMENT, found[0].value)
    assert isinstance(event, Assignment)
    assert encode(event) == response.content
    assert (event.persona, event.source) == ("student", "crm")


async def test_null_withdraws_an_assignment(
    client: httpx.AsyncClient, declared_topics: Settings
) -> None:
    response = await client.put("/v1/customers/c1/assignment", json={"persona": None})
    assert response.status_code == 202
    assert response.json()["persona"] is None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "persona: is required"),
        ({"persona": "astronaut"}, "persona: expected one of small_business_owner, .* 'astronaut'"),
        ({"persona": 3}, "persona: input should be"),
        ({"persona": "student", "expires_at": "tomorrow"}, "expires_at"),
        ({"persona": "student", "expires_at": -5}, "expires_at"),
        ({"persona": "student", "source": "x" * 2_000}, "source"),
        ({"persona": "student", "until": 3}, "until: is not known here"),
    ],
)
async def test_a_wrong_assignment_is_refused_and_not_sent(
    client: httpx.AsyncClient, body: dict[str, Any], sentence: str
) -> None:
    response = await client.put("/v1/customers/c1/assignment", json=body)
    assert response.status_code == 400
    assert re.search(sentence, response.json()["message"])


async def test_a_deletion_is_on_its_topic_when_its_receipt_is_given(
    client: httpx.AsyncClient, declared_topics: Settings
) -> None:
    response = await client.delete("/v1/customers/c1")
    assert response.status_code == 202
    assert set(response.json()) == {"request_id", "customer_id", "requested_at"}
    async with Redis.from_url(declared_topics.redis_url) as redis:
        (found,) = await Shop(declared_topics, redis).read(declared_topics.topic_deletions)
    event = decode_event(DELETION, found.value)
    assert isinstance(event, Deletion)
    assert event.request_id == response.json()["request_id"]


async def test_only_customers_can_be_deleted(client: httpx.AsyncClient) -> None:
    for path in ("/v1/customers/c1/assignment", "/v1/customers/c1/persona", "/v1/personas"):
        response = await client.delete(path)
        assert response.status_code == 405
        assert list(response.json()) == ["message"]
