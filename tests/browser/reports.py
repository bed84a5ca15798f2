"""What tests of the browser leave for people to look at, in ``build/reports``."""

from collections.abc import Callable

from tests.support.measurements import REPORTS

SCREENSHOTS = REPORTS / "screenshots"
#: Notes a figure, its value, and the bound that is claimed of it.
Measured = Callable[[str, float, float], None]
