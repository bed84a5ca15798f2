import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.grouping import merge_by_key, sum_by_key

COLUMNS = st.lists(st.tuples(st.integers(0, 9), st.integers(-(2**40), 2**40)), max_size=20)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    keys, values = np.array(pairs, np.int64).reshape(-1, 2).T
    return keys, values


@given(COLUMNS, COLUMNS)
def test_merging_sums_is_summing_all(
    one: list[tuple[int, int]], two: list[tuple[int, int]]
) -> None:
    merged = merge_by_key(*sum_by_key(*columns(one)), *sum_by_key(*columns(two)))
    together = sum_by_key(*columns(one + two))
    assert [column.tolist() for column in merged] == [column.tolist() for column in together]
