"""The tasks of ``make bench-model``: what becomes of a household's events."""

from stream_persona.domain import taxonomy
from stream_persona.domain.events import Item, Purchase
from stream_persona.pipeline.process import apply_events
from tests.benchmarks.tasks import PartTokenizer, rounds
from tests.support.constants import NOW


def test_all_parts_of_an_order_that_is_cut_at_checkpoints_count() -> None:
    items = tuple(Item(f"p{number}", f"aisle-{number}") for number in range(40))
    order = Purchase("b", "c", NOW, items, order_id="o")
    parts = [part for each in rounds({"c": [order]}) for part in each]
    shop = taxonomy.load(None)
    outcome = apply_events(parts, {}, shop, PartTokenizer(shop, {"o": 40}))
    assert (len(parts), outcome.duplicates) == (6, 0)
    assert len(outcome.records["c"].counts) > 40
