"""The command line, run in this process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from unittest.mock import patch

import pytest
import typer.main

from stream_persona.cli import main

#: To build the tree of commands takes longer than most tests of them.
_get_command = cache(typer.main.get_command)


class Ended:
    """What a command printed, and its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        build = patch("typer.main.get_command", _get_command)
        with logging_as_before(), build, pytest.raises(SystemExit) as end:
            main.main(arguments)
        self.code = end.value.code
        self.out, self.err = capsys.readouterr()


@contextmanager
def logging_as_before() -> Iterator[None]:
    """Take back what a command does to the handlers of this process, which are pytest's own."""
    root = logging.getLogger()
    level, filters = root.level, {handler: handler.filters[:] for handler in root.handlers}
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = list(filters)
        for handler, before in filters.items():
            handler.filters[:] = before
