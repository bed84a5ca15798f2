"""The shop in memory: events take a worker's way, and a test sees what came of them."""

from pathlib import Path

import pytest

from stream_persona.client import Change
from stream_persona.domain.events import Browse, Item, Purchase, encode
from stream_persona.domain.taxonomy import find_shipped_path
from stream_persona.testing.outbox import Outbox
from stream_persona.testing.shop import START, MemoryShop
from tests.support.events import shop as taxonomy_of

ITEMS = [
    {"product_id": "P-1", "category": "office/paper", "score": 1.0},
    {"product_id": "P-2", "category": "baby/diapers", "score": 0.9},
]


@pytest.fixture
def shop() -> MemoryShop:
    return MemoryShop()


def test_a_shopper_becomes_known_by_what_they_buy(shop: MemoryShop) -> None:
    for _ in range(3):
        shop.buy("c", "baby/diapers", Item("P-7", "baby/food", price=3.0))
    assert shop.client().get("c").persona == "parent_of_young_kids"
    assert shop.client().rank(ITEMS, "c").order == ITEMS[::-1]
    assert shop.outbox.changes[-1].why[0].value.startswith("baby")


async def test_an_asynchronous_client_sees_the_same(shop: MemoryShop) -> None:
    shop.assign("c", "student")
    async with shop.async_client() as client:
        assert (await client.get("c")).source == "assigned"
        assert [change.persona async for change in client.watch()] == ["student"]


def test_a_client_of_the_shop_sees_what_happens_later(shop: MemoryShop) -> None:
    client = shop.client()
    shop.assign("c", "student")
    assert client.get("c").persona == "student"
    shop.assign("c", None)
    assert client.get("c").persona != "student"


def test_a_model_learns_of_labels_and_scores_everybody_again() -> None:
    shop = MemoryShop(taxonomy_of())
    for persona, category in {"parent": "toys", "student": "books", "gamer": "games"}.items():
        for number in range(4):
            customer = f"{persona}-{number}"
            shop.buy(customer, category)
            shop.assign(customer, persona)
    shop.buy("c", "toys")
    before = shop.client().get("c").distribution["parent"]
    for number in range(4, 20):
        shop.buy(f"parent-{number}", "toys")
        shop.assign(f"parent-{number}", "parent")
    assert shop.client().get("c").distribution["parent"] > before
    assert "model" in {change.cause for change in shop.outbox.changes}


def test_affinities_and_common_tastes_follow_labels_that_end_by_time(shop: MemoryShop) -> None:
    teach_pets_and_books(shop)
    for number in range(6):
        shop.buy(f"c{number}", "gardens")
        shop.assign(f"c{number}", "pet_owner", seconds=60)
    assert shop.tables.affinities["pet_owner"]["category:gardens"] > 1.1
    assert "category:gardens" in shop.tables.common_tastes
    shop.advance(seconds=61)
    assert shop.tables.affinities["pet_owner"].get("category:gardens", 1.0) == 1.0
    assert "category:gardens" not in shop.tables.common_tastes


def test_a_deletion_leaves_nothing_of_a_customer(shop: MemoryShop) -> None:
    shop.buy("c", "baby/diapers")
    shop.assign("c", "student")
    shop.delete("c")
    assert shop.client().get("c").fallback == "unknown"
    assert shop.outbox.tombstones == ["c"]
    assert (shop.tables.states, list(shop.tables.markers)) == ({}, ["c"])


def teach_pets_and_books(shop: MemoryShop, item: Item | None = None) -> None:
    """Label a few pet owners and students, so that common shares are known."""
    for persona, category in {"pet_owner": "pets/cat", "student": "books"}.items():
        for number in range(4):
            customer = f"{persona}-{number}"
            shop.buy(customer, category, *([item] if item and persona == "student" else []))
            shop.assign(customer, persona)


def test_a_shopper_is_ranked_by_what_they_buy_more_than_others() -> None:
    shop = MemoryShop()
    teach_pets_and_books(shop)
    for _ in range(4):
        shop.buy("c", "books")
    items = [{"category": "pets/cat", "score": 1.0}, {"category": "books", "score": 0.9}]
    found = shop.client().rank(items, "c", strength=0.0, own=1.0)
    assert found.order == items[::-1]
    assert (found.own_fallback, found.items[0].why_own[0].value) == (None, "books")
    assert found.items[0].why_own[0].lift > 1.1
    assert found.items[1].why_own[0].lift < 0.9
    shop.delete("c")
    gone = shop.client().rank(items, "c", own=1.0)
    assert (gone.order, gone.own_fallback) == (items, "unknown")
    assert "c" not in shop.tables.tastes


def test_a_taste_that_few_shoppers_have_is_no_reason_until_enough_do() -> None:
    shop = MemoryShop()
    rare = Item("p", attributes={"product_type": "rare word"})
    teach_pets_and_books(shop)
    for number in range(2):
        shop.buy(f"student-{number}", "books", rare)
    shop.buy("c", "books")
    items = [{"attributes": {"product_type": "Rare  Word"}, "score": 1.0}]
    assert not any("rare" in token for token in shop.tables.common_tastes)
    assert shop.client().rank(items, "c", own=1.0).items[0].why_own == ()
    for number in range(4):
        shop.buy(f"student-{number}", "books", rare)
    (reason,) = shop.client().rank(items, "student-1", own=1.0).items[0].why_own
    assert (reason.feature, reason.value) == ("attributes.product_type", "rare word")
    for number in range(2):
        shop.delete(f"student-{number}")
    assert not any("rare" in token for token in shop.tables.common_tastes)


def test_a_deletion_forgets_what_a_fast_clock_has_dated_later(shop: MemoryShop) -> None:
    shop.apply(Purchase("e1", "c", START + 7_200_000, (Item("p", "pets/dog"),)))
    shop.delete("c")
    assert shop.client().get("c").fallback == "unknown"


def test_a_shopper_who_comes_back_after_a_deletion_is_known_anew(shop: MemoryShop) -> None:
    shop.buy("c", "pets/dog")
    shop.delete("c")
    shop.advance(seconds=1)
    shop.buy("c", "pets/cat")
    assert shop.client().get("c").evidence == 1.0


def test_a_message_that_is_no_event_is_a_dead_letter(shop: MemoryShop) -> None:
    good = encode(Browse("e1", "c", START, "search", query="diapers"))
    shop.send("browses", b"{", good, None)
    shop.send("persona-assignments", b'{"assignment_id":"a","customer_id":"c","occurred_at":0,'
              b'"persona":"astronaut"}')  # fmt: skip
    assert [(each.topic, each.reason) for each in shop.outbox.dead_letters] == [
        ("browses", "not_json"), ("browses", "empty"), ("persona-assignments", "unknown_persona"),
    ]  # fmt: skip
    assert shop.client().get("c").fallback != "unknown"


def test_time_passes_when_the_test_says_so() -> None:
    shop = MemoryShop(find_shipped_path("complete-journey"), now=START)
    shop.buy("c", "grocery/cat-food")
    shop.advance(days=400, seconds=1.5)
    assert shop.now == START + 400 * 86_400_000 + 1_500
    shop.buy("c", "grocery/cat-food")
    assert shop.client().get("c").evidence < 2.0


def test_a_taxonomy_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "five.toml"
    path.write_text("".join(f'[[persona]]\nname = "p{number}"\n' for number in range(5)))
    assert MemoryShop(path).taxonomy.names == ("p0", "p1", "p2", "p3", "p4")


def test_an_outbox_feeds_each_change_to_a_consumer_once(shop: MemoryShop) -> None:
    received: list[Change] = []
    shop.assign("c", "student")
    shop.outbox.feed(received.append)
    shop.outbox.feed(received.append)
    assert [change.persona for change in received] == ["student"]
    shop.delete("c")
    shop.outbox.feed(received.append)
    assert [change.deleted for change in received] == [False, True]


async def test_an_outbox_keeps_what_a_worker_publishes() -> None:
    async def still_owns() -> bool:
        return True

    outbox = Outbox()
    await outbox.take_over(3, [("c", None)], still_owns)
    await outbox.release([3])
    (message,) = outbox.messages
    assert (message.topic, message.key, message.value, message.partition) == (
        "persona-changes", b"c", None, 3,
    )  # fmt: skip
    assert outbox.change_messages == [(b"c", None)]


def test_an_assignment_for_a_while_ends_when_time_has_passed(shop: MemoryShop) -> None:
    for _ in range(3):
        shop.buy("c", "baby/diapers")
    shop.assign("c", "pet_owner", seconds=30)
    shop.advance(seconds=29)
    assert shop.client().get("c").persona == "pet_owner"
    shop.advance(seconds=1)
    assert shop.client().get("c").persona == "parent_of_young_kids"
    causes = [change.cause for change in shop.outbox.changes]
    assert causes.count("expiry") == 1
    shop.advance(seconds=60)
    assert [change.cause for change in shop.outbox.changes] == causes


def test_a_name_is_taken_back_once_its_evidence_has_faded(shop: MemoryShop) -> None:
    for _ in range(3):
        shop.buy("c", "baby/diapers")
    shop.advance(days=1_000)
    assert shop.client().get("c").persona is None
    assert [change.cause for change in shop.outbox.changes][-1] == "decay"
