import itertools
from collections import Counter
from collections.abc import Mapping

import pytest

from stream_persona.demo.simulator import Simulator
from stream_persona.domain.events import (
    BROWSE,
    ENGAGEMENT,
    PURCHASE,
    Behaviour,
    Purchase,
    decode_event,
    encode,
)
from stream_persona.domain.taxonomy import Taxonomy, find_shipped_path, load, parse

NAMES = ("student", "parent", "pet_owner", "gadget_lover", "deal_hunter")
MINUTE = 60_000
NOON = 1_700_049_600_000  # a Wednesday


def taxonomy(seeds: Mapping[str, str] = {}) -> Taxonomy:
    tables = [
        f'[[persona]]\nname = "{name}"\n' + (f"seeds = {seeds[name]}\n" if name in seeds else "")
        for name in NAMES
    ]
    return parse("\n".join(tables))


def simulate(
    count: int, of: Taxonomy | None = None, start: int = NOON, **options: object
) -> list[tuple[int, Behaviour]]:
    times = range(start, start + count * MINUTE, MINUTE)
    return list(Simulator(of or taxonomy(), **options).generate_events(times))  # type: ignore[arg-type]


def categories(events: list[tuple[int, Behaviour]]) -> Counter[str]:
    return Counter(
        item.category or ""
        for _, event in events
        if isinstance(event, Purchase)
        for item in event.items
    )


def by_customer(events: list[tuple[int, Behaviour]], customer: str) -> list[tuple[int, Behaviour]]:
    return [(kind, event) for kind, event in events if event.customer_id == customer]


def test_the_same_seed_and_times_give_the_same_events() -> None:
    assert simulate(500, seed=3, drift_after=5) == simulate(500, seed=3, drift_after=5)
    assert simulate(500, seed=3) != simulate(500, seed=4)


@pytest.mark.parametrize("name", ["generic-shop", "complete-journey"])
def test_every_event_can_be_read_again(name: str) -> None:
    events = simulate(2_000, load(find_shipped_path(name)))
    assert all(decode_event(kind, encode(event)) == event for kind, event in events)


def test_events_happen_when_asked_to() -> None:
    events = simulate(50, start=NOON)
    assert [event.occurred_at for _, event in events] == list(
        range(NOON, NOON + 50 * MINUTE, MINUTE)
    )


def test_shoppers_are_synthetic_by_name_and_at_most_as_many_as_asked_for() -> None:
    customers = {event.customer_id for _, event in simulate(2_000, shoppers=7)}
    assert customers == {f"SIM-{number:05d}" for number in range(1, 8)}


def test_every_event_has_an_id_of_its_own_also_in_another_run() -> None:
    events = simulate(1_000, seed=3) + simulate(1_000, seed=3, start=NOON + 1)
    assert len({event.event_id for _, event in events}) == len(events)


def test_six_of_ten_events_are_browses_and_two_each_purchases_and_engagements() -> None:
    counts = Counter(kind for kind, _ in simulate(10_000))
    assert counts[BROWSE] == pytest.approx(6_000, rel=0.05)
    assert counts[PURCHASE] == pytest.approx(2_000, rel=0.1)
    assert counts[ENGAGEMENT] == pytest.approx(2_000, rel=0.1)


def test_personas_take_turns_among_the_shoppers() -> None:
    personas = Simulator(taxonomy(), shoppers=10).personas
    assert Counter(personas.values()) == dict.fromkeys(NAMES, 2)


def test_a_persona_without_seeds_prefers_categories_made_of_its_name() -> None:
    events = simulate(4_000, shoppers=5)
    personas = Simulator(taxonomy(), shoppers=5).personas
    for customer, persona in personas.items():
        own = Counter(
            category.partition("/")[0]
            for category in categories(by_customer(events, customer)).elements()
        )
        assert own.most_common(1)[0][0] == persona.replace("_", "-")


def test_shoppers_follow_the_seeds_of_their_persona() -> None:
    seeds = {"student": '{ category = ["books"], price = ["2..4"], quantity = ["5+"] }'}
    events = simulate(4_000, taxonomy(seeds), shoppers=5)
    bought = [
        item
        for _, event in by_customer(events, "SIM-00001")
        if isinstance(event, Purchase)
        for item in event.items
    ]
    for share in (
        sum(item.category == "books" for item in bought) / len(bought),
        sum(2 <= (item.price or 0) < 4 for item in bought) / len(bought),
        sum(item.quantity == 5 for item in bought) / len(bought),
    ):
        assert share > 0.5
    assert set(categories(by_customer(events, "SIM-00002"))) > {"parent/aisle-1"}


def test_given_tastes_win_over_seeds_and_names() -> None:
    tastes = {name: {"category": (f"grocery/{name}",)} for name in NAMES}
    events = simulate(2_000, taxonomy({"student": '{ category = ["books"] }'}), tastes=tastes)
    assert set(categories(events)) == {f"grocery/{name}" for name in NAMES}


def test_a_persona_of_the_weekend_shops_less_in_the_week() -> None:
    of = taxonomy({"student": '{ weekday = ["weekend"] }', "parent": '{ hour = ["7-10"] }'})
    shares = [
        Counter(event.customer_id for _, event in simulate(2_000, of, start, shoppers=5))
        for start in (NOON, NOON + 3 * 24 * 60 * MINUTE)
    ]
    assert shares[0]["SIM-00001"] < 0.7 * shares[1]["SIM-00001"]


def test_a_shopper_drifts_to_the_next_persona_at_its_nth_event() -> None:
    simulator = Simulator(taxonomy(), shoppers=5, drift_after=10)
    before = simulator.personas
    counts = Counter[str]()
    for _, event in simulator.generate_events(range(NOON, NOON + 300 * MINUTE, MINUTE)):
        counts[event.customer_id] += 1
        drifted = counts[event.customer_id] >= 10
        now = simulator.personas[event.customer_id]
        assert (now != before[event.customer_id]) is drifted
    following = dict(zip(NAMES, (*NAMES[1:], NAMES[0]), strict=True))
    assert simulator.personas == {
        customer: following[persona] for customer, persona in before.items()
    }


def test_a_session_has_several_events_of_one_shopper() -> None:
    customers = [event.customer_id for _, event in simulate(1_000, shoppers=20)]
    repeats = sum(a == b for a, b in itertools.pairwise(customers))
    assert repeats > 0.6 * len(customers)
