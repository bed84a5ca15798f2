"""A deployment has one taxonomy at a time, or a worker ends with 2 and says what to do."""

from pathlib import Path

import pytest

from stream_persona.domain import taxonomy as taxonomies
from stream_persona.domain.events import Assignment
from tests.support.constants import RECENT as NOW
from tests.support.deployed_workers import Start, ends, stopped, stored, work
from tests.support.shop import Shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("real_kafka")

PERSONAS = {"one": ("student", "pet_owner"), "two": ("gamer", "chef")}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The files of two taxonomies without a common persona."""
    found = {}
    for name, personas in PERSONAS.items():
        found[name] = tmp_path / f"{name}.toml"
        found[name].write_text("".join(f'[[persona]]\nname = "{each}"\n' for each in personas))
    return found


def use(shop: Shop, file: Path) -> None:
    shop.settings = shop.settings.model_copy(update={"taxonomy": file})
    shop.taxonomy = taxonomies.load(file)


async def assign(shop: Shop, customer: str) -> None:
    """Assign the first persona of the taxonomy in use, and wait until it is applied."""
    persona = shop.taxonomy.names[0]
    await shop.produce(Assignment(f"a-{customer}", customer, NOW, persona))

    async def applied() -> bool:
        found = await shop.public(customer)
        return bool(found and (found["persona"], found["source"]) == (persona, "assigned"))

    await eventually(applied, 60, f"{customer} is not assigned to {persona}")


@pytest.mark.on_cluster_too
@pytest.mark.faults
async def test_another_taxonomy_holds_after_all_workers_were_stopped(
    shop: Shop, start_worker: Start, files: dict[str, Path]
) -> None:
    use(shop, files["one"])
    first, version = start_worker(), shop.taxonomy.version
    await assign(shop, "c1")

    use(shop, files["two"])
    await ends(start_worker(), f"workers with taxonomy {version} are running", "stop all of them")
    await stopped(first)
    second = start_worker()
    await assign(shop, "c2")
    made = await stored(shop)
    assert made is not None
    assert made.taxonomy.version == shop.taxonomy.version
    assert f"takes the place of {version}" in second.log.read_text()
    assert await shop.size(shop.settings.topic_dead_letters) == 0
    await stopped(second)


async def test_workers_of_two_taxonomies_never_work_together(
    shop: Shop, start_worker: Start, files: dict[str, Path]
) -> None:
    """Each would send the other's assignments to the dead letters."""
    workers = {}
    for name, file in files.items():
        use(shop, file)
        workers[name] = start_worker()

    def running() -> list[str]:
        return [name for name, worker in workers.items() if worker.process.poll() is None]

    await eventually(lambda: len(running()) < 2, 60, "both work")
    for name in workers.keys() - set(running()):
        await ends(workers[name], "STREAM_PERSONA_TAXONOMY")
    found = await stored(shop)
    assert found is not None
    (name,) = [n for n, f in files.items() if taxonomies.load(f).version == found.taxonomy.version]
    use(shop, files[name])
    if name not in running():
        workers[name] = start_worker()
    await assign(shop, "c1")
    assert running() == [name]
    assert await shop.size(shop.settings.topic_dead_letters) == 0


@pytest.mark.faults
async def test_another_half_life_is_refused_also_when_no_worker_runs(
    shop: Shop, start_worker: Start, tmp_path: Path
) -> None:
    await work(shop, start_worker)
    slower = tmp_path / "slower.toml"
    generic = taxonomies.find_shipped_path("generic-shop").read_text()
    assert "[features]" not in generic
    slower.write_text(f"{generic}\n[features]\nhalf_life_days = 300\n")
    use(shop, slower)
    await ends(start_worker(), "another half-life", "take the one before")
