"""How many examples a law of random data has.

The steady profile draws the same examples in every run: once they have passed, more of them find
nothing. ``make test-random`` draws others each time, and all of them.
"""

from typing import Final

from hypothesis import settings

#: Of the examples of a law, one in so many is drawn where they are the same each time.
_SHARE: Final = 3
#: The fewest that a law with more examples has there.
_LEAST: Final = 8


def count_examples(most: int) -> int:
    """Return the examples of a law that has ``most`` of them where they are new in each run."""
    if settings.get_current_profile_name() == "random":
        return most
    return min(most, max(most // _SHARE, _LEAST))
