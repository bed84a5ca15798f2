"""Redis and the consumer group belong together, or a worker ends with 2 and says what to do."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from stream_persona.errors import TopologyError
from stream_persona.kafka.topics import ask
from stream_persona.store.deployment import Deployment
from stream_persona.worker.joining import join
from tests.support.deployed_workers import KEY, Start, ends, purchases, stopped, stored, work
from tests.support.deployments import THEIRS
from tests.support.groups import commit_with, group_of
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("real_kafka")


async def clear(shop: Shop) -> None:
    """Delete all that Redis holds of the deployment."""
    for key in await shop.keys("*"):
        await shop.redis.delete(key)


@pytest.mark.on_cluster_too
@pytest.mark.faults
async def test_the_first_worker_makes_the_descriptor_and_all_commit_under_its_id(
    shop: Shop, start_worker: Start
) -> None:
    made = await work(shop, start_worker)
    assert made == Deployment.of(shop.settings, shop.taxonomy, made.id)
    found = await group_of(shop.settings)
    assert (found.has_commits, found.ids, found.members) == (True, {made.id}, 0)

    worker = start_worker()
    await shop.produce(*purchases(20, start=20))
    await shop.at_rest()
    assert await stored(shop) == made
    found = await group_of(shop.settings)
    assert (found.ids, found.members) == ({made.id}, 1)
    await stopped(worker)
    assert len(await shop.keys("persona-state:*")) == 40


@pytest.mark.faults
async def test_workers_that_start_at_once_make_one_deployment(
    shop: Shop, start_worker: Start
) -> None:
    workers = [start_worker() for _ in range(3)]
    await shop.produce(*purchases(40))
    await shop.at_rest()
    made = await stored(shop)
    assert made is not None
    assert (await group_of(shop.settings)).ids == {made.id}
    for worker in workers:
        await stopped(worker)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"partitions": 4}, "STREAM_PERSONA_PARTITIONS is 4 here and 8"),
        ({"group": "other"}, "STREAM_PERSONA_GROUP is 'other' here"),
        ({"topic_purchases": "other"}, "STREAM_PERSONA_TOPIC_PURCHASES is 'other' here"),
        ({"topic_changes": "other"}, "STREAM_PERSONA_TOPIC_CHANGES is 'other' here"),
    ],
)
async def test_a_setting_that_differs_is_refused_before_anything_is_made_of_it(
    shop: Shop, changed: dict[str, Any], name: str
) -> None:
    made = (await join(shop.settings, shop.taxonomy)).deployment
    other = shop.settings.model_copy(update=changed)
    with pytest.raises(TopologyError, match=name):
        await join(other, shop.taxonomy)
    assert await stored(shop) == made
    topics = await ask(shop.settings, lambda admin: admin.list_topics())
    assert "other" not in topics, "it was declared"


@pytest.mark.faults
async def test_a_worker_whose_settings_differ_ends_with_2(shop: Shop, start_worker: Start) -> None:
    await work(shop, start_worker)
    shop.settings = shop.settings.model_copy(update={"topic_browses": "looks"})
    await ends(start_worker(), "STREAM_PERSONA_TOPIC_BROWSES is 'looks' here and")


@pytest.mark.on_cluster_too
@pytest.mark.faults
async def test_data_of_an_older_version_is_adopted(shop: Shop, start_worker: Start) -> None:
    made = await work(shop, start_worker)
    await shop.redis.delete(f"{shop.settings.prefix}{KEY}")
    await commit_with(shop.settings, "")

    worker = start_worker()
    await shop.produce(*purchases(20, start=20))
    await shop.at_rest()
    adopted = await stored(shop)
    assert adopted is not None
    assert adopted.id != made.id
    assert (await group_of(shop.settings)).ids == {adopted.id}
    assert len(await shop.keys("persona-state:*")) == 40
    await stopped(worker)


@pytest.mark.on_cluster_too
@pytest.mark.faults
async def test_a_redis_that_has_lost_everything_is_refused(shop: Shop, start_worker: Start) -> None:
    await work(shop, start_worker)
    await clear(shop)
    await ends(start_worker(), shop.settings.group, "stream-persona rebuild")
    await commit_with(shop.settings, "")  # as of an older version
    # What a refused start leaves behind is not taken for older data.
    await ends(start_worker(), shop.settings.group, "stream-persona rebuild")
    assert await stored(shop) is None
    assert await shop.keys("persona-state:*") == []


@pytest.mark.faults
async def test_another_prefix_under_a_group_is_refused(shop: Shop, start_worker: Start) -> None:
    await work(shop, start_worker)
    shop.settings = shop.settings.model_copy(update={"prefix": f"other-{shop.settings.prefix}"})
    await ends(start_worker(), "STREAM_PERSONA_PREFIX", "stream-persona rebuild")
    assert await shop.keys("persona-state:*") == []

    fresh = {"group": f"other-{shop.settings.group}"}  # as the sentence says
    shop.settings = shop.settings.model_copy(update=fresh)
    worker = start_worker()
    await shop.at_rest()
    assert len(await shop.keys("persona-state:*")) == 20
    await stopped(worker)


@pytest.mark.faults
async def test_commits_of_another_deployment_are_refused_with_its_id(
    shop: Shop, start_worker: Start
) -> None:
    await work(shop, start_worker)
    await commit_with(shop.settings, THEIRS)
    await ends(start_worker(), THEIRS, "STREAM_PERSONA_GROUP", "stream-persona rebuild")


@pytest.mark.faults
async def test_offsets_that_an_operator_has_reset_are_fine(shop: Shop, start_worker: Start) -> None:
    made = await work(shop, start_worker)
    await commit_with(shop.settings, "")
    worker = start_worker()
    await shop.produce(*purchases(20, start=20))
    await shop.at_rest()
    assert await stored(shop) == made
    await stopped(worker)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda _: None, "stream-persona rebuild"),
        (lambda found: found | {"id": THEIRS}, THEIRS),
    ],
    ids=["gone", "another"],
)
@pytest.mark.faults
async def test_a_descriptor_that_changes_under_a_worker_ends_it(
    shop: Shop,
    start_worker: Start,
    change: Callable[[dict[str, Any]], dict[str, Any] | None],
    word: str,
) -> None:
    worker, key = start_worker(), f"{shop.settings.prefix}{KEY}"
    await shop.produce(*purchases(20))
    await shop.at_rest()
    changed = change(orjson.loads(await shop.redis.get(key)))
    if changed is None:
        await shop.redis.delete(key)
    else:
        await shop.redis.set(key, orjson.dumps(changed))
    await ends(worker, word)


@pytest.mark.faults
async def test_two_prefixes_that_start_at_once_in_one_group_divide_no_customers(
    shop: Shop, start_worker: Start
) -> None:
    await shop.produce(*purchases(100))
    one = shop.settings
    two = one.model_copy(update={"prefix": f"other-{one.prefix}"})
    # Neither has seen anything of the other.
    ids = [(await join(each, shop.taxonomy)).deployment.id for each in (one, two)]
    workers = []
    for shop.settings in (one, two):
        workers.append(start_worker())

    def ended() -> list[WorkerProcess]:
        return [worker for worker in workers if worker.process.poll() is not None]

    async def find_customers(number: int) -> list[str]:
        shop.settings = (one, two)[number]
        return await shop.keys("persona-state:*")

    async def is_decided() -> bool:
        """Whether both have ended, or one of them has all customers."""
        going = [n for n, worker in enumerate(workers) if worker.process.poll() is None]
        return not going or [len(await find_customers(n)) for n in going] == [100]

    await eventually(ended, 60, "both work under one group")
    await eventually(is_decided, 60, "one works, and lacks customers that the other has read")
    for worker in ended():
        await ends(worker, "another deployment", "STREAM_PERSONA_GROUP")
        assert any(each in worker.log.read_text() for each in ids)
    if len(ended()) == 1:  # it was refused before it read anything: the other one has it all
        (refused,) = (n for n, worker in enumerate(workers) if worker in ended())
        assert await find_customers(refused) == []
