"""Numbers come back from their varints, few or many of them, and so does what is no such bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.varints import _join_few, _join_many, decode_varints, encode_varints

NUMBERS = st.lists(st.integers(0, 127) | st.integers(0, 2**63 - 1), max_size=40)


@given(NUMBERS, st.sampled_from([1, 600]))
def test_numbers_come_back(numbers: list[int], times: int) -> None:
    given_ones = np.array(numbers * times, np.int64)
    blob, starts = encode_varints(given_ones)
    assert decode_varints(blob).tolist() == given_ones.tolist()
    assert starts[-1] == len(blob)


@given(st.binary(min_size=1, max_size=60))
def test_any_bytes_are_joined_alike_at_once_and_one_after_another(blob: bytes) -> None:
    raw = np.frombuffer(blob, np.uint8)
    ends = np.flatnonzero(raw < 128)
    starts = np.concatenate(([0], ends[:-1] + 1))[: len(ends)]
    assert _join_few(raw, starts, ends).tolist() == _join_many(raw, starts, ends).tolist()


@pytest.mark.parametrize("blob", [b"", b"\x80", b"\xff" * 5_000])
def test_bytes_that_end_no_number_hold_none(blob: bytes) -> None:
    assert decode_varints(blob).tolist() == []
