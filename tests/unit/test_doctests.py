"""The examples in docstrings hold, and none is left out."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

import stream_persona

PACKAGE = Path(stream_persona.__file__).parent
#: For each module with examples, how many its source shows.
SHOWN = {
    path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", "."): shown
    for path in sorted(PACKAGE.rglob("*.py"))
    if (shown := len(re.findall(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)))
}


@pytest.mark.parametrize(("module", "shown"), SHOWN.items())
def test_every_example_of_a_module_gives_what_it_shows(module: str, shown: int) -> None:
    found = doctest.testmod(import_module(module.removesuffix(".__init__")))
    assert (found.failed, found.attempted) == (0, shown)


def test_examples_are_found_in_dozens_of_modules() -> None:
    assert len(SHOWN) > 30
