from stream_persona.domain.token_names import MAX_NAME, TokenNames


def test_a_name_is_learned_once_and_two_in_one_slot_are_both_shown() -> None:
    names = TokenNames()
    assert names.learn(5, "b:2")
    assert not names.learn(5, "b:2")
    assert names.learn(5, "a:1")
    assert not names.learn(5, "c:3")
    assert names.name(5) == "a:1 | b:2"
    assert names.name(6) == "slot:6"
    assert (names.learned, names.tokens) == (2, {5: ("a:1", "b:2")})


def test_a_name_that_others_have_learned_is_not_new() -> None:
    names = TokenNames()
    names.learn(5, "a:1")
    names.discover(5, "a:1", "a:1")
    names.discover(6, "b:2", "b:2")
    assert names.take_new() == [(6, "b:2")]
    assert names.take_new() == []


def test_a_long_name_is_cut() -> None:
    names = TokenNames()
    names.discover(5, "x" * 1_000, "x" * 1_000)
    ((_, name),) = names.take_new()
    assert len(name) == MAX_NAME
    assert name.endswith("…")


def test_a_token_is_shown_as_it_came_first() -> None:
    names = TokenNames()
    names.discover(5, "brand:acme", "brand:ACME")
    names.discover(5, "brand:acme", "brand:Acme")
    assert names.name(5) == "brand:ACME"
    assert names.take_new() == [(5, "brand:ACME")]
