"""The model as the API reads it: from shards and names, each of which may come before the other."""

from __future__ import annotations

import pytest

from stream_persona.api.model_reader import RENEW_NAMES, ModelReader
from stream_persona.domain.events import Assignment
from stream_persona.domain.slots import slot_of
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import UnavailableError
from stream_persona.store import shards
from stream_persona.store.memory import MemoryTables
from tests.support.events import labelled_shoppers, shop
from tests.support.processing import model_of
from tests.support.workers import worker_settings

SHOP = shop()
GAMER = slot_of("category:gamer", fine=False)
SHARES_ITS_SLOT = next(
    token
    for token in (f"category:x{number}" for number in range(10**6))
    if slot_of(token, fine=False) == GAMER
)


class Tables(MemoryTables):
    """Tables whose Redis is away for names while ``names_away`` is set; reads are counted."""

    names_away = False
    reads_of_names = 0

    async def load_names(self) -> list[tuple[int, str]]:
        self.reads_of_names += 1
        if self.names_away:
            raise UnavailableError("Redis was not usable for 2 s")
        return await super().load_names()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def publish(tables: MemoryTables, customers: int) -> None:
    """Publish a shard of that many labelled customers of each persona."""
    (claim,) = (await tables.claim([0])).values()
    sums = model_of(labelled_shoppers(SHOP, customers=customers), SHOP)
    await shards.publish_shard(tables, claim, sums, [], SHOP)


async def reader_of(tables: MemoryTables, clock: Clock | None = None) -> ModelReader:
    reader = ModelReader(worker_settings(), SHOP, tables, clock or Clock())
    await reader.refresh()
    return reader


async def test_weights_are_derived_from_shards_that_were_read_before_redis_went_away() -> None:
    tables = Tables()
    reader = await reader_of(tables)
    await publish(tables, customers=4)
    tables.names_away = True
    with pytest.raises(UnavailableError):
        await reader.refresh()
    tables.names_away = False
    await reader.refresh()
    assert reader.model.weights.customers == 4 * len(SHOP.names)


async def test_a_second_token_of_a_slot_gets_its_name_although_no_name_is_missing() -> None:
    tables, clock = Tables(), Clock()
    await publish(tables, customers=4)
    reader = await reader_of(tables, clock)
    await name_all_slots(tables, reader)
    await reader.load_names()
    await tables.add_names([(GAMER, SHARES_ITS_SLOT)])
    clock.now += RENEW_NAMES + 1
    await reader.load_names()
    assert reader.names.name(GAMER) == f"category:gamer | {SHARES_ITS_SLOT}"


async def test_a_name_of_another_slot_is_damaged_and_not_shown() -> None:
    tables = Tables()
    reader = await reader_of(tables)
    await tables.add_names([(GAMER + 1, "category:gamer")])
    await reader.load_names()
    assert reader.names.name(GAMER + 1) == f"slot:{GAMER + 1}"


async def test_names_are_not_read_again_while_all_are_known() -> None:
    tables, clock = Tables(), Clock()
    await publish(tables, customers=4)
    reader = await reader_of(tables, clock)
    await name_all_slots(tables, reader)
    clock.now += 1
    await reader.load_names()
    reads = tables.reads_of_names
    for _ in range(10):
        clock.now += RENEW_NAMES / 100
        await reader.load_names()
    assert tables.reads_of_names == reads


async def name_all_slots(tables: MemoryTables, reader: ModelReader) -> None:
    """Name every slot that has weight by the token of the labelled shoppers' events."""
    tokenizer = Tokenizer(SHOP)
    for event in labelled_shoppers(SHOP, customers=1):
        if not isinstance(event, Assignment):
            tokenizer.tokenize(event)
    weighted = set(reader.model.weights.weighted_slots.tolist())
    names = {slot: token for slot, token in tokenizer.names.take_new() if slot in weighted}
    assert names.keys() == weighted
    await tables.add_names(list(names.items()))
