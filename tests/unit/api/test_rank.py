"""The affinities that the API ranks by: of one model and its names, derived beside the requests."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from stream_persona.api import rank
from stream_persona.api.dashboard import personas
from stream_persona.api.dashboard.personas import PersonaProfiles
from stream_persona.api.model_reader import ModelReader
from stream_persona.api.rank import Ranker
from stream_persona.domain.slots import hash_to_slot
from stream_persona.domain.token_names import SHOWN_FROM, Listing, ShownName
from stream_persona.store import shards
from stream_persona.store.memory import MemoryTables
from stream_persona.store.names import encode_listing
from tests.support.events import labelled_shoppers, shop
from tests.support.processing import model_of
from tests.support.workers import worker_settings

SHOP = shop()
TOKENS = ("category:gamer", "category:parent")


async def reader_of_a_shop() -> ModelReader:
    """A reader of a model whose names are shown."""
    tables = MemoryTables()
    (claim,) = (await tables.claim([0])).values()
    sums = model_of(labelled_shoppers(SHOP, customers=6), SHOP)
    await shards.publish_shard(tables, claim, sums, [], SHOP)
    names = [ShownName(hash_to_slot(t, fine=False), t, t, SHOWN_FROM) for t in TOKENS]
    await tables.save_listing(encode_listing(Listing(tuple(names))))
    reader = ModelReader(worker_settings(), SHOP, tables)
    await reader.refresh()
    return reader


def ranker_of(reader: ModelReader) -> Ranker:
    return Ranker(worker_settings(), SHOP, MemoryTables(), reader)


def showing_nothing(reader: ModelReader, derive: Callable[..., Any]) -> Callable[..., Any]:
    """Derive while another listing comes, of no names, as it may beside the thread."""

    def derive_meanwhile(*given: Any) -> Any:
        reader.names.show(Listing())
        return derive(*given)

    return derive_meanwhile


async def test_affinities_have_the_names_of_when_their_derivation_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = await reader_of_a_shop()
    learned = reader.names.learned
    monkeypatch.setattr(
        rank, "compute_affinities", showing_nothing(reader, rank.compute_affinities)
    )
    derived_from, found = await ranker_of(reader).find_affinities()
    assert derived_from == (reader.model.weights.version, learned)
    assert found.find([["category:gamer"]])


async def test_defining_features_have_the_names_of_when_their_derivation_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = await reader_of_a_shop()
    derive = showing_nothing(reader, personas.find_defining_features)
    monkeypatch.setattr(personas, "find_defining_features", derive)
    found = await PersonaProfiles(SHOP, reader).derive_if_stale()
    assert ("category", "gamer") in [each[:2] for each in found["gamer"]]


def fail(*_: object) -> Mapping[str, Any]:
    raise ArithmeticError("the affinities")


async def test_a_derivation_that_fails_is_logged_and_the_affinities_of_before_stay(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reader = await reader_of_a_shop()
    ranker = ranker_of(reader)
    before = await ranker.find_affinities()
    monkeypatch.setattr(rank, "compute_affinities", fail)
    reader.names.show(Listing())
    assert await ranker.find_affinities() == before
    assert [each for each in caplog.messages if "can't be derived: the affinities" in each]


async def test_a_first_derivation_that_fails_fails_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rank, "compute_affinities", fail)
    with pytest.raises(ArithmeticError):
        await ranker_of(await reader_of_a_shop()).find_affinities()
