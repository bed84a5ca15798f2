"""The demo's own processes: started, listened to, and ended whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from stream_persona.errors import UnavailableError
from stream_persona.settings import Settings

#: Last lines that are kept of what a process says, and those shown when it dies.
_KEPT: Final = 200
_SHOWN: Final = 15
_LONGEST_LINE: Final = 1 << 20


def environment(settings: Settings) -> dict[str, str]:
    """This process's environment, with every setting as given, whatever else would set it."""
    given = settings.model_dump(exclude_none=True)
    stated = {f"STREAM_PERSONA_{name.upper()}": str(value) for name, value in given.items()}
    return {**os.environ, **stated, "PYTHONUNBUFFERED": "1"}


class Child:
    """A running ``stream-persona`` command; made by ``child``."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.lines: deque[str] = deque(maxlen=_KEPT)
        self._process = process
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def said(self, pattern: str) -> re.Match[str]:
        """Wait for a line with ``pattern`` (a regular expression)."""
        async with self._news:
            while True:
                for line in self.lines:
                    if found := re.search(pattern, line):
                        return found
                await self._news.wait()

    async def death(self) -> None:
        """Wait until the process ends of itself.

        Raises:
            UnavailableError: always then, with its last lines.
        """
        code = await self._process.wait()
        await asyncio.wait([self._reader], timeout=1.0)
        last = "\n".join(list(self.lines)[-_SHOWN:])
        raise UnavailableError(
            f"the {self.name} ended with exit code {code}; it said last:\n{last}"
        )

    async def stop(self, seconds: float) -> int:
        """End it: politely, and by force after ``seconds``. Returns its exit code."""
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
        while stream is not None and (line := await _line(stream)) is not None:
            async with self._news:
                self.lines.append(line)
                self._news.notify_all()


@contextlib.asynccontextmanager
async def child(name: str, settings: Settings, *, seconds: float) -> AsyncIterator[Child]:
    """Run ``python -m stream_persona NAME`` within the block; ``seconds`` are its time to end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream_persona", name,
        env=environment(settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=_LONGEST_LINE,
        start_new_session=True,  # Ctrl-C in a terminal is for the demo, which ends it in order
    )  # fmt: skip
    running = Child(name, process)
    try:
        yield running
    finally:
        await running.stop(seconds)


async def _line(stream: asyncio.StreamReader) -> str | None:
    try:
        line = await stream.readline()
    except ValueError:
        return "(a line of more than a megabyte)"
    return line.decode(errors="replace").rstrip() if line else None
