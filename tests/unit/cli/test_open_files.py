"""The limit of open files is raised as far as the system lets a process raise it."""

from __future__ import annotations

import subprocess
import sys

import pytest

RAISE = """
import resource
from stream_persona.cli.open_files import raise_open_files
raise_open_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard"), [(100, 200), (200, 200)])
def test_the_soft_limit_becomes_the_hard_one(soft: int, hard: int) -> None:
    limited = f'ulimit -S -n {soft} && ulimit -H -n {hard} && exec "$@"'
    command = ["bash", "-c", limited, "bash", sys.executable, "-c", RAISE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(hard), str(hard)]
