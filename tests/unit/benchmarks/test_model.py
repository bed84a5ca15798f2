"""The parts of ``make bench-model``, chosen by name."""

import argparse

import pytest

from tests.benchmarks.model import PARTS, parts


def test_parts_run_in_their_own_order_whatever_was_asked() -> None:
    assert parts("drift,study") == ["study", "drift"]
    assert parts(",".join(reversed(PARTS))) == list(PARTS)


def test_a_part_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no speed: there are study"):
        parts("study,speed")
