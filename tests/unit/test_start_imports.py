"""What a service needs only later is not imported at its start, which would take twice the time."""

import subprocess
import sys

import pytest

from tests.support.waiting import patience

#: All of them together take longer to import than a worker's or an API's own modules.
SLOW = (
    "river.metrics",
    "river.drift",
    "river.naive_bayes",
    "scipy.stats",
    "scipy.optimize",
    "pandas",
    "sklearn",
)


@pytest.mark.long
@pytest.mark.parametrize(
    "modules",
    [
        "stream_persona.worker.app, stream_persona.worker.joining, stream_persona.worker.preflight",
        "stream_persona.api, stream_persona.api.server",
    ],
    ids=["worker", "api"],
)
def test_a_service_starts_without_what_only_labelled_customers_need(modules: str) -> None:
    code = f"import sys, {modules}\nprint([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(60),
    )
    assert done.stdout == "[]\n"
