"""The team study: the households that are active, their personas, and those held back."""

from collections import Counter
from collections.abc import Iterable
from statistics import mean, stdev

import pytest

from stream_persona.demo.study import MIDYEAR, THEMES, Study, draw_groups, make_study
from stream_persona.domain.events import decode_event, encode, get_event_time, to_milliseconds
from tests.support.journeys import (
    AUTUMN,
    LINES_AFTER,
    LINES_BEFORE,
    PRODUCTS,
    SPRING,
    bought_by,
    everybody,
    half,
    pd,
    products,
    year,
)


def strongest_themes(households: Iterable[int]) -> dict[str, str]:
    """The study once more, without a library."""
    roots = {}
    for household in households:
        bought = bought_by(household)
        for name, theme in THEMES.items():
            hits = 0
            for number in bought:
                department, category, _ = PRODUCTS.get(number, ("", "", ""))
                hits += any(word in (category or "") for word in theme.categories) or any(
                    word in department for word in theme.departments
                )
            roots[household, name] = (hits / len(bought)) ** 0.5
    scores = {}
    for name in THEMES:
        column = [roots[household, name] for household in households]
        for household in households:
            scores[household, name] = (roots[household, name] - mean(column)) / stdev(column)
    return {
        f"HH-{household}": max(THEMES, key=lambda name: scores[household, name])
        for household in households
    }


def test_the_study_finds_the_personas_that_a_plain_computation_finds() -> None:
    study = make_study(year(), products(), seed=1, assigned_share=0.7)
    expected = strongest_themes(range(1, 22))
    assert everybody(study) == expected
    assert len(set(expected.values())) == len(THEMES)


def test_a_study_uses_nothing_of_the_second_half() -> None:
    lines = year()
    other = lines.copy()
    other.loc[other["transaction_timestamp"] >= AUTUMN, "product_id"] = 1
    assert everybody(make_study(lines, products(), 1, 0.7)) == everybody(
        make_study(other, products(), 1, 0.7)
    )


@pytest.mark.parametrize(
    ("before", "after", "studied"),
    [
        (LINES_BEFORE, LINES_AFTER, True),
        (LINES_BEFORE - 1, LINES_AFTER, False),
        (LINES_BEFORE, LINES_AFTER - 1, False),
    ],
)
def test_a_household_is_studied_if_it_is_active_in_both_halves(
    before: int, after: int, studied: bool
) -> None:
    rows = half(99, [2] * before, SPRING) + half(99, [2] * after, AUTUMN)
    lines = pd.concat([year(), pd.DataFrame(rows)])
    assert ("HH-99" in everybody(make_study(lines, products(), 1, 0.7))) is studied


def test_the_split_assigns_the_same_share_of_every_persona() -> None:
    personas = {f"HH-{i}": "many" if i < 70 else "few" for i in range(100)}
    study = draw_groups(personas, seed=3, assigned_share=0.7)
    assert Counter(study.assigned.values()) == {"many": 49, "few": 21}
    assert everybody(study) == personas
    assert not study.assigned.keys() & study.held_back.keys()


def test_the_seed_alone_decides_who_is_held_back() -> None:
    personas = {f"HH-{i}": "one" for i in range(100)}
    backwards = dict(reversed(personas.items()))
    assert draw_groups(personas, 3, 0.7) == draw_groups(backwards, 3, 0.7)
    assert draw_groups(personas, 3, 0.7) != draw_groups(personas, 4, 0.7)


def test_the_majority_is_the_most_common_persona_among_the_assigned() -> None:
    assert Study({"A": "x", "B": "y", "C": "y"}, {"D": "x", "E": "x"}).majority == "y"
    assert Study({"A": "y", "B": "x"}, {}).majority == "x"


def test_assignments_are_the_studys_as_of_midyear_and_one_in_five_may_come_later() -> None:
    study = draw_groups({f"HH-{i}": "abc"[i % 3] for i in range(90)}, 1, 0.7)
    at, end = to_milliseconds(MIDYEAR), to_milliseconds(MIDYEAR) + 13_000
    midyear, later = study.list_first(), study.list_later(end)
    assignments = [*midyear, *later]
    for each_way in (assignments, study.make_assignments()):
        assert {each.customer_id: each.persona for each in each_way} == study.assigned
    assert (len(midyear), len(later)) == (51, 12)
    assert {get_event_time(each) for each in midyear} == {at}
    assert [get_event_time(each) for each in later] == [at + i * 1_000 for i in range(1, 13)]
    assert {each.source for each in assignments} == {"study"}
    assert all(decode_event(3, encode(each)) == each for each in assignments)
