"""How many examples a law of random data has.

The steady profile draws the same examples in every run: once they have passed, more of them find
nothing. ``make test-random`` draws others each time, and all of them; ``make test-quick`` draws the
first few.
"""

from typing import Final

from hypothesis import settings

#: Of the examples of a law, one in so many is drawn, by the profile.
_SHARES: Final = {"random": 1, "steady": 3, "quick": 20}
#: The fewest that a law with more examples has.
_LEAST: Final = 8


def count_examples(most: int) -> int:
    """Return the examples of a law that has ``most`` of them where they are new in each run."""
    share = _SHARES[settings.get_current_profile_name()]
    return min(most, max(most // share, _LEAST))
