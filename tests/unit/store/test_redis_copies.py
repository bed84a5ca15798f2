"""The least of the copies of the offsets is what every master of a Cluster has."""

from hypothesis import given
from hypothesis import strategies as st

from stream_persona.store.redis_copies import find_greatest_offsets, find_least_offsets

OFFSETS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 100))


@given(st.lists(OFFSETS, min_size=1, max_size=4))
def test_no_master_lacks_anything_before_the_least_offsets(copies: list[dict[str, int]]) -> None:
    least = find_least_offsets(copies)
    for topic in "abc":
        assert least.get(topic, 0) <= min(copy.get(topic, 0) for copy in copies)


@given(st.lists(OFFSETS, min_size=1, max_size=4))
def test_a_master_that_lost_its_copy_has_nothing(copies: list[dict[str, int]]) -> None:
    assert find_least_offsets([*copies, {}]) == {}
    assert find_greatest_offsets([*copies, {}]) == find_greatest_offsets(copies)


@given(OFFSETS)
def test_masters_that_agree_have_what_each_of_them_has(copy: dict[str, int]) -> None:
    assert find_least_offsets([copy] * 3) == find_greatest_offsets([copy] * 3) == copy
