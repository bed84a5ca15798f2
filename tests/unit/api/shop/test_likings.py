"""When the likings of a catalogue's products are computed, and what is used meanwhile."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_persona.api.model_reader import ModelReader
from stream_persona.api.rank import Ranker
from stream_persona.api.shop.likings import LikingsReader
from stream_persona.client.ranking import Affinities
from stream_persona.errors import UnavailableError
from tests.support.catalogues import build, likings_of_personas, row, shop_rows

CATALOGUE = build(shop_rows(20))


class Model:
    """A model in use that changes by hand, as reader and as ranker; ``now`` is the clock."""

    def __init__(self) -> None:
        self.names = SimpleNamespace(learned=0)
        self.model = SimpleNamespace(weights=SimpleNamespace(version="one"))
        self.derived: list[str] = []
        self.away = False
        self.now = 0.0
        self.likings = LikingsReader(
            cast("Ranker", self), cast("ModelReader", self), lambda: self.now
        )

    async def load_names(self) -> None:
        pass

    async def find_affinities(self) -> tuple[tuple[str, int], Affinities]:
        if self.away:
            raise UnavailableError("Redis was not usable for 2 s")
        version = self.model.weights.version
        self.derived.append(version)
        self.now += 1.0
        return (version, self.names.learned), likings_of_personas(len(version))

    async def find(self, catalogue: Any = CATALOGUE) -> Any:
        return await self.likings.find(catalogue)

    async def settle(self) -> None:
        """Wait for what is being computed."""
        while (task := self.likings._computation) is not None:
            await asyncio.wait([task])


async def test_likings_are_computed_once_for_a_model_and_a_catalogue() -> None:
    model = Model()
    first, second = await asyncio.gather(model.find(), model.find())
    assert first is second is await model.find()
    assert first.catalogue is CATALOGUE
    assert first.matrix.shape == (20, 3)
    assert model.derived == ["one"]


async def test_another_model_is_used_later_and_the_last_one_at_once() -> None:
    model = Model()
    first = await model.find()
    model.model.weights.version = "another"
    assert await model.find() is first  # which took a second: the next is due after nine more
    await model.settle()
    assert model.derived == ["one"]
    model.now += 9.0
    assert await model.find() is first
    await model.settle()
    assert (await model.find()).source == ("another", 0)
    assert model.derived == ["one", "another"]


async def test_another_catalogue_is_computed_at_once() -> None:
    model = Model()
    first = await model.find()
    other = build([row(1)])
    assert await model.find(other) is first
    await model.settle()
    found = await model.find(other)
    assert found.catalogue is other
    assert found.matrix.shape == (1, 3)


async def test_the_first_request_fails_with_redis_and_later_ones_keep_the_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = Model()
    model.away = True
    with pytest.raises(UnavailableError):
        await model.find()
    model.away = False
    first = await model.find()
    model.away, model.now = True, 100.0
    model.model.weights.version = "another"
    assert await model.find() is first
    await model.settle()
    await asyncio.sleep(0)  # the log's line is written by a callback
    assert "can't be computed: Redis was not usable" in caplog.text
    assert await model.find() is first
