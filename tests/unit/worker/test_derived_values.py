"""Values that follow from records, and are found where what is stored does not."""

from typing import Any

import pytest

from stream_persona.domain.taste_bytes import decode_tastes
from tests.support.deployments import CHANGED
from tests.support.events import deletion, purchase
from tests.support.faulty_tables import FaultyTables
from tests.support.worker_runs import SHOP, FakeClock, clocked
from tests.support.workers import fetch


@pytest.mark.parametrize("before", [{"taxonomy": SHOP, "tastes": True}, {"tastes": False}])
async def test_a_thorough_sweep_gives_idle_customers_the_tastes_of_todays_taxonomy(
    before: dict[str, Any],
) -> None:
    clock, tables = FakeClock(), FaultyTables()
    earlier = clocked(tables, clock, **before)
    await earlier.assign([0])
    await earlier.process(fetch(purchase("p"), purchase("o", customer="other"), deletion("d")))
    states, stale = dict(tables.states), dict(tables.tastes)
    tables.tastes["c"] = b"of before a deletion that a master has lost"
    working = clocked(tables, clock, taxonomy=CHANGED, tastes=True)
    await working.assign([0])
    while await working.sweep() or working.sweeping:
        clock.now += 60.0
    assert tables.tastes.keys() == {"other"}
    assert decode_tastes("other", tables.tastes["other"]).taxonomy == CHANGED.version
    assert tables.tastes != stale
    assert tables.states == states
