from stream_persona.store import examples
from stream_persona.store.memory import MemoryTables
from tests.support.constants import NOW
from tests.support.events import assignment, labelled_shoppers, purchase, shop
from tests.support.labelled import commit, labelled_examples

SHOP = shop()


async def test_only_labelled_customers_with_behaviour_are_examples() -> None:
    tables = MemoryTables()
    await commit(
        tables, SHOP, purchase("p1", NOW, "bought"), assignment("a", NOW, "named"),
        assignment("b", NOW, "both", "student"), purchase("p2", NOW, "both"),
    )  # fmt: skip
    (found,) = await examples.read_examples(tables, 1, SHOP)
    assert (found.customer_id, found.persona, found.assigned_at) == ("both", "student", NOW)


async def test_examples_are_read_from_the_records_and_counted_on_the_way() -> None:
    tables, progress = MemoryTables(), list[int]()
    await commit(tables, SHOP, *labelled_shoppers(SHOP, 6))
    found = await examples.read_examples(tables, 1, SHOP, progress.append)
    expected = labelled_examples(SHOP)
    assert sorted(each.customer_id for each in found) == sorted(e.customer_id for e in expected)
    assert progress == [len(expected)]
