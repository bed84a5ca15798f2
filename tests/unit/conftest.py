"""Unit tests leave garbage by the million among much that stays: it is looked for less often."""

import gc
import os
from pathlib import Path

import pytest

#: Objects that are made before garbage is looked for; Python's own number is 700.
OBJECTS = 50_000

gc.set_threshold(OBJECTS, 10, 10)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Let what was imported and collected, which stays, be looked through no more."""
    gc.freeze()


@pytest.fixture
def empty_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without ``.env`` and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STREAM_PERSONA_")]:
        monkeypatch.delenv(name)
