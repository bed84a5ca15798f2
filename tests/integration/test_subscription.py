"""The feed of changes says that it follows once Redis has confirmed it, and not before."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator

import orjson
import pytest
from redis.asyncio import Redis

from stream_persona.api.changes import ChangeFeed
from tests.support.servers import Redis as Server
from tests.support.waiting import eventually, patience

CHANGE = orjson.dumps({"change_id": "a" * 24, "customer_id": "c1"})


@pytest.fixture
async def admin(redis_server: Server) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server.url) as redis:
        yield redis


@pytest.fixture
async def user(admin: Redis) -> AsyncIterator[str]:
    """A user who may subscribe to no channel yet; password ``secret``."""
    name = f"u{uuid.uuid4().hex}"
    await admin.execute_command("ACL", "SETUSER", name, "on", ">secret", "resetchannels", "+@all")
    yield name
    await admin.execute_command("ACL", "DELUSER", name)


async def test_a_feed_whose_channel_is_refused_is_not_ready_logs_it_once_and_follows_once_it_may(
    admin: Redis, user: str, redis_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    logger, refusals = "stream_persona.api.changes", 0
    caplog.set_level(logging.WARNING, logger=logger)

    async def count_refusals() -> int:
        log = await admin.acl_log()
        return sum(entry["count"] for entry in log if entry["username"] == user)

    redis = Redis.from_url(redis_server.url, username=user, password="secret")
    feed = ChangeFeed(redis, f"{user}-changes", lambda _: None)
    following = asyncio.create_task(feed.follow())
    async with asyncio.timeout(patience(30)):
        while refusals < 3:
            refusals = await count_refusals()
            assert not feed.ready
    assert feed.subscriptions == 0
    assert [record.name for record in caplog.records].count(logger) == 1
    await admin.execute_command("ACL", "SETUSER", user, "allchannels")
    await eventually(lambda: feed.ready, 30, "it does not follow")
    await admin.publish(f"{user}-changes", CHANGE)
    await eventually(lambda: feed.ring.end == 1, 10, "no change came")
    following.cancel()
    await redis.aclose()


async def test_a_feed_that_was_cut_off_subscribes_again_and_counts_it(
    admin: Redis, redis_server: Server
) -> None:
    channel = uuid.uuid4().hex
    redis = Redis.from_url(redis_server.url, client_name=channel)
    feed = ChangeFeed(redis, channel, lambda _: None)
    following = asyncio.create_task(feed.follow())
    await eventually(lambda: feed.ready, 10, "it does not follow")
    own = [each["id"] for each in await admin.client_list() if each["name"] == channel]
    await admin.client_kill_filter(_id=own[0])
    await eventually(lambda: feed.subscriptions == 2 and feed.ready, 30, "it was not counted")
    following.cancel()
    await redis.aclose()
