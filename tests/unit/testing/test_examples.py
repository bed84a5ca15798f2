"""The kit's own documentation."""

import subprocess
import sys

from tests.support.waiting import patience


def test_the_stub_of_the_client_needs_what_the_client_needs() -> None:
    heavy = {"numpy", "msgspec", "aiokafka", "pydantic", "scipy", "faust"}
    program = f"import sys, stream_persona.testing.client\nprint({heavy} & set(sys.modules))"
    printed = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(60),
    )
    assert printed.stdout.strip() == "set()"
