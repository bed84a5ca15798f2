"""The door that tests of it share."""

from __future__ import annotations

import pytest

from tests.support.doors import MASTER, Door


@pytest.fixture
def door() -> Door:
    return Door(api_keys=MASTER)
