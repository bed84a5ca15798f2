"""A process that was asked to end ends with 0, however long the interpreter takes for it."""

import subprocess
import sys

import pytest

from tests.support.waiting import patience

SLOW = """
import os, signal, time
from stream_persona.cli import services

class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.5)

kept = Slow()
services._GRACE_SECONDS = 0.1
services.end_politely()
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.long
def test_an_exit_that_takes_longer_than_the_grace_is_no_failure() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW], check=False, timeout=patience(60))
    assert done.returncode == 0
