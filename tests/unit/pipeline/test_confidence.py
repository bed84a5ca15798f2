import pytest

from stream_persona.domain.taxonomy import Policy
from stream_persona.pipeline.decision import find_candidates, is_ambiguous

POLICY = Policy(min_confidence=0.5, switch_margin=0.05, min_evidence=2.0)


@pytest.mark.parametrize(
    ("confidence", "evidence", "named", "expected"),
    [
        (500_000, 2.0, False, False),
        (499_999, 9.0, False, True),
        (900_000, 1.9, False, True),
        (450_000, 2.0, True, False),
        (449_999, 9.0, True, True),
        (900_000, 1.9, True, True),
    ],
)
def test_little_confidence_or_little_evidence_is_ambiguous(
    confidence: int, evidence: float, named: bool, expected: bool
) -> None:
    assert is_ambiguous(confidence, evidence, 0.5, POLICY, named=named) is expected


@pytest.mark.parametrize(
    ("distribution", "floor", "expected"),
    [
        ((600_000, 300_000, 100_000), 200_000, ["a", "b"]),
        ((100_000, 300_000, 600_000), 300_000, ["c", "b"]),
        ((333_334, 333_333, 333_333), 333_333, ["a", "b", "c"]),
        ((600_000, 300_000, 100_000), 700_000, ["a"]),
        ((600_000, 300_000, 100_000), 0, ["a", "b", "c"]),
    ],
)
def test_candidates_are_the_personas_that_remain_possible_the_likeliest_first(
    distribution: tuple[int, ...], floor: int, expected: list[str]
) -> None:
    assert find_candidates("abc", distribution, floor) == expected
