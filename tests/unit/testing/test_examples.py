"""The kit's own documentation."""

import doctest
import subprocess
import sys
from importlib import import_module

import pytest

from tests.support.waiting import patience


@pytest.mark.parametrize("module", ["client", "outbox", "shop"])
def test_the_examples_of_a_module_hold(module: str) -> None:
    found = doctest.testmod(import_module(f"stream_persona.testing.{module}"))
    assert (found.failed, found.attempted > 0) == (0, True)


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
