"""The demo's own processes: started, read from, and ended whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from stream_persona.connection_settings import ConnectionSettings
from stream_persona.errors import UnavailableError
from stream_persona.setting_forms import name_variable
from stream_persona.settings import Settings

#: Last lines of a process's output that are kept, and those that are shown when it dies.
_KEPT: Final = 200
_SHOWN: Final = 15
_LONGEST_LINE: Final = 1 << 20


def make_environment(settings: Settings) -> dict[str, str]:
    """Return this process's environment, with every setting overridden by ``settings``."""
    own = {name: value for name, value in settings.list_variables().items() if value}
    # An empty file of a connection is one that is unset: the child must not take it from a `.env`.
    names = ConnectionSettings.model_fields
    unset = {name_variable(name): "" for name in names if name.endswith("_file")}
    others = {k: v for k, v in os.environ.items() if not k.startswith("STREAM_PERSONA_")}
    return {**others, **unset, **own, "PYTHONUNBUFFERED": "1"}


class ChildProcess:
    """A running ``stream-persona`` command; made by ``run_child``."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.lines: deque[str] = deque(maxlen=_KEPT)
        self._process = process
        self._has_line = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Wait for a line of output with ``pattern``, a regular expression."""
        async with self._has_line:
            while True:
                for line in self.lines:
                    if found := re.search(pattern, line):
                        return found
                await self._has_line.wait()

    async def fail_on_exit(self) -> None:
        """Wait until the process ends by itself.

        Raises:
            UnavailableError: always, with the last lines of its output.
        """
        code = await self._process.wait()
        await asyncio.wait([self._reader], timeout=1.0)
        last = "\n".join(list(self.lines)[-_SHOWN:])
        raise UnavailableError(
            f"the {self.name} ended with exit code {code}; its last lines:\n{last}"
        )

    async def stop(self, seconds: float) -> int:
        """End it with SIGTERM, and with SIGKILL after ``seconds``; return its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        code = await self._process.wait()
        self._reader.cancel()
        return code

    async def _read(self) -> None:
        stream = self._process.stdout
        while stream is not None and (line := await _read_line(stream)) is not None:
            async with self._has_line:
                self.lines.append(line)
                self._has_line.notify_all()


@contextlib.asynccontextmanager
async def run_child(
    name: str, settings: Settings, *, seconds: float
) -> AsyncIterator[ChildProcess]:
    """Run ``python -m stream_persona NAME`` within the block; it has ``seconds`` to end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream_persona", name,
        env=make_environment(settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=_LONGEST_LINE,
        start_new_session=True,  # Ctrl-C in a terminal is for the demo, which ends it in order
    )  # fmt: skip
    running = ChildProcess(name, process)
    try:
        yield running
    finally:
        await running.stop(seconds)


async def _read_line(stream: asyncio.StreamReader) -> str | None:
    try:
        line = await stream.readline()
    except ValueError:
        return "(a line of more than a megabyte)"
    return line.decode(errors="replace").rstrip() if line else None
