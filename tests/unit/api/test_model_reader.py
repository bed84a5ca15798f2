"""The model as the API reads it: from shards and names, each of which may come before the other."""

from __future__ import annotations

import pytest

from stream_persona.api.model_reader import ModelReader
from stream_persona.domain.slots import hash_to_slot
from stream_persona.domain.token_names import SHOWN_FROM, Listing, ShownName
from stream_persona.errors import UnavailableError
from stream_persona.store import shards
from stream_persona.store.memory import MemoryTables
from stream_persona.store.names import encode_listing
from tests.support.events import labelled_shoppers, shop
from tests.support.faulty_tables import FaultyTables
from tests.support.processing import model_of
from tests.support.workers import worker_settings

SHOP = shop()
GAMER = hash_to_slot("category:gamer", fine=False)
AWAY = UnavailableError("Redis was not usable for 2 s")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def publish(tables: MemoryTables, customers: int) -> None:
    """Publish a shard of that many labelled customers of each persona."""
    (claim,) = (await tables.claim([0])).values()
    sums = model_of(labelled_shoppers(SHOP, customers=customers), SHOP)
    await shards.publish_shard(tables, claim, sums, [], SHOP)


async def list_names(tables: MemoryTables, *tokens: str) -> None:
    names = [ShownName(hash_to_slot(t, fine=False), t, t, SHOWN_FROM) for t in tokens]
    await tables.save_listing(encode_listing(Listing(tuple(names))))


async def reader_of(tables: MemoryTables, clock: Clock | None = None) -> ModelReader:
    reader = ModelReader(worker_settings(), SHOP, tables, clock or Clock())
    await reader.refresh()
    return reader


async def test_weights_are_derived_from_shards_that_were_read_before_redis_went_away() -> None:
    tables = FaultyTables()
    reader = await reader_of(tables)
    await publish(tables, customers=4)
    tables.fail("load_listing_stamp", AWAY, times=1)
    with pytest.raises(UnavailableError):
        await reader.refresh()
    await reader.refresh()
    assert reader.model.weights.customers == 4 * len(SHOP.names)


async def test_a_name_is_shown_as_long_as_it_is_listed() -> None:
    tables, clock = MemoryTables(), Clock()
    reader = await reader_of(tables, clock)
    assert reader.names.name_slot(GAMER) == f"slot:{GAMER}"
    await list_names(tables, "category:gamer")
    await reader.refresh()
    assert reader.names.name_slot(GAMER) == "category:gamer"
    await list_names(tables)
    clock.now += 60
    await reader.load_names()
    assert reader.names.name_slot(GAMER) == f"slot:{GAMER}"


async def test_a_damaged_listing_changes_nothing() -> None:
    tables = MemoryTables()
    await list_names(tables, "category:gamer")
    reader = await reader_of(tables)
    tables.listing = b"12345678" + (tables.listing or b"")[8:]
    await reader.refresh()
    assert reader.names.name_slot(GAMER) == "category:gamer"


async def test_a_listing_that_has_not_changed_is_not_read_again() -> None:
    tables, clock = FaultyTables(), Clock()
    await list_names(tables, "category:gamer")
    tables.watch("load_listing")
    reader = await reader_of(tables, clock)
    for _ in range(10):
        clock.now += 60
        await reader.load_names()
    assert tables.calls["load_listing"] == 1
