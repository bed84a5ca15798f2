"""Docstrings hold examples that specify a function; they are run here."""

import doctest
from types import ModuleType

import pytest

from stream_persona.model import (
    classifier,
    evaluation,
    explain,
    naming,
    river_adapter,
    shard,
)

MODULES = (classifier, evaluation, explain, naming, river_adapter, shard)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_of_a_module_hold(module: ModuleType) -> None:
    failed, attempted = doctest.testmod(module)
    assert (failed, attempted > 0) == (0, True)
