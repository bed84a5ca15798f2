"""The command line, run in this process."""

import pytest

from stream_persona.cli import main


class Ended:
    """What a command printed, and its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        with pytest.raises(SystemExit) as end:
            main.main(arguments)
        self.code = end.value.code
        self.out, self.err = capsys.readouterr()
