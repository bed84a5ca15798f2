"""The fold of who carries which names: three are enough, and a deletion leaves nothing."""

import random

from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.carried_names import (
    CarriedNames,
    compute_room,
    merge,
    read_deletions_version,
)
from stream_persona.domain.slots import hash_to_slot
from stream_persona.domain.token_names import MAX_NAME, MOST_CARRIERS, SHOWN_FROM, Name, drop_parts
from tests.support.names import slot_mate


def name_of(token: str, display: str | None = None) -> Name:
    return Name(hash_to_slot(token, fine=False), token, display or token)


def carried(*tokens: str) -> list[Name]:
    return [name_of(token) for token in tokens]


class Stored:
    """The names of a partition with what its owner has stored of them."""

    def __init__(self, most: int = 1_000) -> None:
        self.names, self.fields, self.most = CarriedNames(most), dict[str, bytes](), most

    def apply(self, carried: dict[str, list[Name]], *forgotten: str) -> dict[str, int]:
        change = self.names.apply(carried, forgotten)
        for field, value in change.fields.items():
            if value is None:
                self.fields.pop(field, None)
            else:
                self.fields[field] = value
        return change.lost

    def carriers(self) -> dict[str, int]:
        return {name.token: len(name.carriers) for name in self.names}

    def shown(self, public: dict[int, tuple[str, ...]] | None = None) -> set[str]:
        listing = merge([(self.names, self.names.crowded)], public or {})
        return {name.token for name in listing.names}

    def crowded(self, public: dict[int, tuple[str, ...]] | None = None) -> tuple[int, ...]:
        return merge([(self.names, self.names.crowded)], public or {}).crowded


def test_a_name_is_shown_once_three_customers_carry_that_very_token() -> None:
    stored = Stored()
    for number in range(SHOWN_FROM):
        assert stored.shown() == set()
        for _ in range(5):  # however often one of them does
            stored.apply({f"c{number}": carried("query:kibble", f"query:own-{number}")})
    assert stored.shown() == {"query:kibble"}


def test_the_customers_of_all_partitions_are_counted_together() -> None:
    parts = [Stored() for _ in range(3)]
    for number, part in enumerate(parts):
        part.apply({f"c{number}": carried("brand:acme")})
    names = merge(((p.names, ()) for p in parts), {}).names
    assert [(name.token, name.carriers) for name in names] == [("brand:acme", 3)]
    assert merge(((p.names, ()) for p in parts[:2]), {}).names == ()


def test_slots_with_more_than_one_token_are_crowded_whoever_carries_them() -> None:
    one, other = "query:kibble", slot_mate("query:kibble")
    slot = hash_to_slot(one, fine=False)
    stored = Stored()
    stored.apply({f"c{n}": carried(one) for n in range(3)})
    assert stored.crowded() == ()
    assert stored.crowded({slot: ("category:seed",)}) == (slot,)
    assert stored.crowded({slot: (one,)}) == ()
    stored.apply({"d": carried(other)})
    assert (stored.shown(), stored.crowded()) == ({one}, (slot,))
    stored.apply({}, "d")
    assert stored.crowded() == ()


def test_a_deletion_takes_a_customer_out_of_all_names() -> None:
    stored = Stored()
    stored.apply({n: carried("brand:acme", f"query:only-{n}") for n in ("a", "b", "c")})
    assert stored.apply({}, "b", "unknown") == {"brand:acme": 1, "query:only-b": 1}
    assert stored.carriers() == {"brand:acme": 2, "query:only-a": 1, "query:only-c": 1}
    assert stored.shown() == set()
    assert not any(b"only-b" in value for value in stored.fields.values())


def test_what_was_stored_after_a_deletion_is_as_if_the_customer_had_never_been() -> None:
    one, other = Stored(), Stored()
    one.apply({"a": carried("brand:acme", "query:mine")})
    for each in (one, other):
        each.apply({"b": carried("brand:acme")})
    one.apply({}, "a")
    assert {f: v for f, v in one.fields.items() if f != "version"} == {
        f: v for f, v in other.fields.items() if f != "version"
    }


def test_a_customer_who_comes_back_in_the_batch_of_a_deletion_carries_what_is_new() -> None:
    stored = Stored()
    stored.apply({"a": carried("query:old")})
    stored.apply({"a": carried("query:new")}, "a")
    assert stored.carriers() == {"query:new": 1}


def test_the_way_in_which_a_deleted_customer_wrote_a_name_goes_with_them() -> None:
    stored = Stored()
    stored.apply({"a": [name_of("query:kibble", "query:KiBBle")]})
    stored.apply({"b": [name_of("query:kibble", "query:Kibble")]})
    assert [name.display for name in stored.names] == ["query:KiBBle"]
    stored.apply({}, "b")
    assert [name.display for name in stored.names] == ["query:KiBBle"]
    stored.apply({"c": carried("query:kibble")}, "a")
    assert [name.display for name in stored.names] == ["query:kibble"]
    assert not any(b"KiBBle" in value for value in stored.fields.values())


def test_no_more_carriers_are_kept_than_matter() -> None:
    stored = Stored()
    for number in range(50):
        stored.apply({f"c{number}": carried("brand:acme")})
    assert stored.carriers() == {"brand:acme": MOST_CARRIERS}
    change = stored.names.apply({"late": carried("brand:acme")})
    assert change.fields == {}


def test_a_partition_keeps_so_many_names_and_leaves_the_slots_of_others_crowded() -> None:
    stored = Stored(most=10)
    for number in range(3):
        stored.apply({f"c{number}": carried("brand:acme")})
    stored.apply({"a": carried(*(f"query:w{number}" for number in range(30)))})
    kept = {"brand:acme", *(f"query:w{number}" for number in range(21, 30))}
    assert stored.carriers().keys() == kept
    gone = {hash_to_slot(f"query:w{number}", fine=False) for number in range(21)}
    assert set(stored.crowded()) == gone
    assert stored.shown() == {"brand:acme"}


def test_a_new_name_finds_no_room_where_all_are_carried_by_many() -> None:
    stored = Stored(most=2)
    for number in range(3):
        stored.apply({f"c{number}": carried("a:1", "b:2")})
    version = stored.names.version
    mate = slot_mate("a:1")
    stored.apply({"d": [name_of("c:3"), name_of(mate)]})
    assert stored.carriers().keys() == {"a:1", "b:2"}
    assert set(stored.crowded()) == {name_of("c:3").slot, name_of("a:1").slot}
    assert CarriedNames.load(stored.fields, most=2).crowded == stored.names.crowded
    assert stored.names.version != version  # so that whoever names slots learns of it
    assert stored.names.apply({"e": [name_of(mate)]}).fields == {}


def test_a_name_follows_its_token_into_another_slot() -> None:
    stored = Stored()
    stored.apply({n: carried("brand:acme") for n in ("a", "b", "c")})
    fine = Name(hash_to_slot("brand:acme", fine=True), "brand:acme", "brand:acme")
    stored.apply({"a": [fine]})
    (listed,) = merge([(stored.names, ())], {}).names
    assert (listed.slot, listed.carriers) == (fine.slot, 3)


def test_versions_move_with_every_change_and_tell_deletions_apart() -> None:
    names = CarriedNames(10, claim=7)
    first = names.version
    names.apply({"a": carried("a:1")})
    second = names.version
    assert first != second
    assert read_deletions_version(first) == read_deletions_version(second)
    names.apply({"a": carried("a:1")})
    names.apply({}, ["nobody"])
    assert names.version == second
    names.apply({}, ["a"])
    assert read_deletions_version(names.version) != read_deletions_version(second)
    assert read_deletions_version(CarriedNames(10, claim=8).version) != read_deletions_version(
        first
    )
    assert read_deletions_version("") == " "


def test_names_have_room_in_any_number_of_partitions() -> None:
    assert compute_room(8) == 12_500
    assert compute_room(4_096) == 1_000


@given(st.integers(0, 10_000))
def test_what_is_loaded_is_what_was_stored(seed: int) -> None:
    rng, stored = random.Random(seed), Stored(most=12)
    customers, tokens = [f"c{n}" for n in range(8)], [f"query:w{n}" for n in range(20)]
    for _ in range(30):
        gone = rng.sample(customers, rng.choice((0, 0, 1, 2)))
        took = {c: carried(*rng.sample(tokens, 3)) for c in rng.sample(customers, 2)}
        stored.apply(took, *gone)
        loaded = CarriedNames.load(stored.fields, 12)
        assert {n.token: n for n in loaded} == {n.token: n for n in stored.names}
        assert loaded.crowded == stored.names.crowded
        assert len(loaded) <= 12


def test_damaged_fields_are_left_out_and_so_is_a_name_in_anothers_slot() -> None:
    stored = Stored()
    long = drop_parts("query:" + "x" * 1_000)
    stored.apply({"a": [*carried("a:1", "b:2", "c:3"), Name(9, long, long)]})
    stored.apply({"a": [Name(5, "wrong:slot", "wrong:slot")]})
    fields = {f: v for f, v in stored.fields.items() if f != "version"}
    first, second, *others = sorted(f for f, v in fields.items() if b":" in v and b"x" not in v)
    fields[first], fields[second] = fields[second], b"\xc1"
    fields["slot-many"] = b"1"
    loaded = CarriedNames.load(fields, 100)
    expected = {n.token for n in stored.names} - {"wrong:slot"}
    assert {n.token for n in loaded} < expected
    assert long in {n.token for n in loaded}
    assert len(long) == MAX_NAME
    assert loaded.crowded == set()
    assert others
