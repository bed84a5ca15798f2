from stream_persona.store import examples
from stream_persona.store.memory import MemoryTables
from tests.support.builders import NOW, assignment, purchase, shop, tastes
from tests.support.labelled import commit, taught_examples

SHOP = shop()


async def test_only_labelled_customers_with_behaviour_are_examples() -> None:
    tables = MemoryTables()
    await commit(
        tables, SHOP, purchase("p1", NOW, "bought"), assignment("a", NOW, "named"),
        assignment("b", NOW, "both", "student"), purchase("p2", NOW, "both"),
    )  # fmt: skip
    (found,) = await examples.read(tables, 1, SHOP)
    assert (found.customer_id, found.persona, found.assigned_at) == ("both", "student", NOW)


async def test_examples_are_read_from_the_records_and_counted_on_the_way() -> None:
    tables, progress = MemoryTables(), list[int]()
    await commit(tables, SHOP, *tastes(SHOP, 6))
    found = await examples.read(tables, 1, SHOP, progress.append)
    expected = taught_examples(SHOP)
    assert sorted(each.customer_id for each in found) == sorted(e.customer_id for e in expected)
    assert progress == [len(expected)]
