"""The linear algebra of the discriminants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.model.discriminant import solve


@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_few_members_and_few_tokens_are_solved_alike(members: int, tokens: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, diagonal = rng.normal(size=(members, tokens)), rng.uniform(0.5, 1.0, tokens)
    right = rng.normal(size=(3, tokens))
    whole = np.diag(diagonal) + z.T @ z
    assert solve(diagonal, z, right) @ whole == pytest.approx(right, abs=1e-9)
