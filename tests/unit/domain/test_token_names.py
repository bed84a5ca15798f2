from stream_persona.domain.token_names import (
    MAX_NAME,
    MOST_CARRIERS,
    SHOWN_FROM,
    Listing,
    ShownName,
    TokenNames,
    make_name,
)

PUBLIC = {1: {"category:seed": "category:seed"}}


def listing(*names: tuple[int, str, int], crowded: tuple[int, ...] = ()) -> Listing:
    return Listing(tuple(ShownName(slot, t, t.upper(), n) for slot, t, n in names), crowded)


def test_a_listed_name_is_shown_as_it_came_and_compared_by_its_token() -> None:
    names = TokenNames(PUBLIC)
    names.show(listing((5, "brand:acme", SHOWN_FROM)))
    assert (names.name_slot(5), names.find_sole_name(5), names.join_names(5)) == (
        "BRAND:ACME",
        "BRAND:ACME",
        "brand:acme",
    )
    assert names.tokens == {1: ("category:seed",), 5: ("BRAND:ACME",)}


def test_what_is_not_listed_has_no_name_however_often_it_was_found() -> None:
    names = TokenNames()
    for _ in range(9):
        names.note(make_name(5, "query:secret", "query:Secret"))
    assert (names.name_slot(5), names.find_sole_name(5), names.join_names(5)) == (
        "slot:5",
        None,
        "slot:5",
    )
    assert names.tokens == {}


def test_a_slot_of_two_names_gives_none_of_them_as_a_shoppers() -> None:
    names = TokenNames(PUBLIC)
    names.show(listing((5, "a:1", 3), (5, "b:2", 9), (1, "c:3", 3), crowded=(1, 5)))
    assert (names.name_slot(5), names.name_slot(1)) == ("slot:5", "slot:1")
    assert (names.join_names(5), names.join_names(1)) == ("a:1 | b:2", "c:3 | category:seed")


def test_a_slot_that_holds_a_name_that_is_not_shown_gives_none_either() -> None:
    names = TokenNames(PUBLIC)
    names.show(listing((5, "a:1", 3), crowded=(1, 5)))
    assert (names.name_slot(5), names.name_slot(1)) == ("slot:5", "slot:1")
    assert (names.join_names(5), names.join_names(1)) == ("a:1", "category:seed")


def test_a_slot_mate_that_was_just_found_takes_the_name_away_before_any_listing() -> None:
    names = TokenNames(PUBLIC)
    names.show(listing((5, "a:1", MOST_CARRIERS)))
    assert names.note(make_name(5, "a:1", "a:1"))
    assert names.name_slot(5) == "A:1"
    names.note(make_name(5, "secret:2", "secret:2"))
    names.note(make_name(1, "secret:3", "secret:3"))
    assert (names.name_slot(5), names.name_slot(1)) == ("slot:5", "slot:1")
    names.unsee([5, 1])  # nobody carries them any more
    assert (names.name_slot(5), names.name_slot(1)) == ("A:1", "category:seed")


def test_a_slot_mate_that_another_worker_has_found_takes_the_name_away() -> None:
    names = TokenNames()
    names.show(listing((5, "a:1", 3)))
    names.see([(5, "secret:2")])
    assert names.name_slot(5) == "slot:5"


def test_a_slot_mate_that_two_listings_do_not_know_takes_the_name_away_no_more() -> None:
    names = TokenNames()
    names.show(listing((5, "a:1", 3)))
    names.see([(5, "secret:2"), (5, "secret:3")])
    names.show(listing((5, "a:1", 4)))  # it may have been written before
    assert names.name_slot(5) == "slot:5"
    names.take_renamed()
    learned = names.learned
    names.show(listing((5, "a:1", 5)))
    assert (names.name_slot(5), names.take_renamed()) == ("A:1", {5})
    assert names.learned > learned


def test_a_slot_mate_that_is_found_again_and_again_takes_the_name_away_for_as_long() -> None:
    names = TokenNames()
    for carriers in range(3, 6):
        names.show(listing((5, "a:1", carriers)))
        names.note(make_name(5, "secret:2", "secret:2"))
        assert names.name_slot(5) == "slot:5"


def test_a_slot_whose_name_is_a_shoppers_no_more_or_again_is_noted() -> None:
    names = TokenNames(PUBLIC)
    names.show(listing((5, "a:1", 3)))
    names.take_renamed()
    names.note(make_name(5, "a:1", "a:1"))
    assert names.take_renamed() == set()
    names.note(make_name(5, "secret:2", "secret:2"))
    names.see([(1, "secret:3"), (9, "a:9")])
    assert names.take_renamed() == {1, 5}
    names.note(make_name(5, "secret:2", "secret:2"))
    assert names.take_renamed() == set()
    names.unsee([5, 9])
    assert names.take_renamed() == {5}


def test_a_name_that_loses_carriers_is_shown_until_they_are_too_few() -> None:
    names = TokenNames()
    names.show(listing((5, "a:1", 5), (6, "b:2", 3)))
    learned = names.learned
    names.take_renamed()
    names.lose({"a:1": 2, "unknown:3": 1})
    assert (names.name_slot(5), names.learned, names.take_renamed()) == ("A:1", learned, set())
    names.lose({"a:1": 1})
    assert (names.name_slot(5), names.name_slot(6), names.take_renamed()) == ("slot:5", "B:2", {5})
    assert names.tokens == {6: ("B:2",)}
    assert names.learned > learned


def test_names_that_come_change_or_go_are_noted_with_their_slots() -> None:
    names = TokenNames()
    names.show(listing((5, "a:1", 3), (6, "b:2", 3), (7, "c:3", 3)))
    assert names.take_renamed() == {5, 6, 7}
    learned = names.learned
    names.show(listing((5, "a:1", 4), (6, "b:2", 3), (7, "c:3", 3)))
    assert (names.take_renamed(), names.learned) == (set(), learned)
    names.show(listing((6, "b:2", 3), (7, "c:3", 3), crowded=(7,)))
    assert names.take_renamed() == {5, 7}
    assert names.learned > learned


def test_a_name_needs_carriers_until_it_is_settled_and_again_when_some_have_gone() -> None:
    names = TokenNames()
    assert not names.note(make_name(5, "a:1", "A:1"))
    assert [tuple(name) for name in names.take_found()] == [(5, "a:1", "A:1")]
    names.show(listing((5, "a:1", MOST_CARRIERS - 1)))
    assert not names.note(make_name(5, "a:1", "A:1"))
    names.show(listing((5, "a:1", MOST_CARRIERS)))
    assert names.note(make_name(5, "a:1", "A:1"))
    names.lose({"a:1": 1})
    assert not names.note(make_name(5, "a:1", "A:1"))
    names.show(Listing())
    assert not names.note(make_name(5, "a:1", "A:1"))


def test_long_names_are_cut_and_stay_apart() -> None:
    names = TokenNames()
    for end in "ab":
        names.note(make_name(5, "x" * 1_000 + end, "x" * 1_000 + end))
    first, second = names.take_found()
    assert len(first.token) == len(second.display) == MAX_NAME
    assert first.token != second.token
