"""The workers of a trial: started, ordered to die, frozen, woken; whoever ends is replaced."""

import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from stream_persona.settings import Settings
from tests.support.shop import environment

ROOT = Path(__file__).parents[2]


@dataclass
class Member:
    """One worker process, its log and where it takes orders."""

    settings: Settings
    directory: Path
    number: int
    process: subprocess.Popen[bytes] = field(init=False)
    #: What was done to it: ``kill``, ``term`` or nothing; a zombie is one that was stopped.
    fate: str = ""
    zombie: bool = False

    def __post_init__(self) -> None:
        self.order = self.directory / f"worker-{self.number}.order"
        self.done = self.order.with_suffix(".done")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.worker_under_test", str(self.order)],
                env=environment(self.settings),
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> Path:
        return self.directory / f"worker-{self.number}.log"

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether a SIGSTOP has reached it."""
        with suppress(OSError):
            status = Path(f"/proc/{self.process.pid}/stat").read_text()
            return status.rpartition(")")[2].split()[0] == "T"
        return False

    @property
    def struck(self) -> int:
        """The partition whose batch it had when it obeyed an order; -1: none, or not known."""
        with suppress(FileNotFoundError):
            return int(self.done.read_text().split()[1])
        return -1

    def command(self, number: signal.Signals, step: str, nth: int) -> None:
        """Let it send itself a signal the n-th time that it reaches the step."""
        fresh = self.order.with_suffix(".fresh")
        fresh.write_text(f"{number.name} {step} {nth}")
        fresh.rename(self.order)

    def send(self, number: signal.Signals) -> None:
        if self.runs:
            self.process.send_signal(number)


class Crew:
    """Keeps as many workers running as are wanted; counts how those that ended did."""

    def __init__(self, settings: Settings, directory: Path, wanted: int) -> None:
        self._settings = settings
        self._directory = directory
        self._started = 0
        self.wanted = wanted
        self.members: list[Member] = []
        self.ends: Counter[str] = Counter()

    def keep(self) -> None:
        """Note who has ended and start whoever is missing, as a supervisor would."""
        for member in [member for member in self.members if not member.runs]:
            self.members.remove(member)
            self.ends[_end(member)] += 1
        while len(self._staying()) < self.wanted:
            self.members.append(Member(self._settings, self._directory, self._started))
            self._started += 1

    def pick(self, drawn: int) -> Member | None:
        """One of those that nothing has been done to."""
        free = [member for member in self._staying() if not member.fate and member.runs]
        return free[drawn % len(free)] if free else None

    def dismiss(self, drawn: int) -> None:
        """Ask one to leave, with SIGTERM."""
        if member := self.pick(drawn):
            member.fate = "term"
            member.send(signal.SIGTERM)

    def pardon(self) -> None:
        """Take back orders that nobody has come to obey, and wake who sleeps."""
        for member in self.members:
            member.order.unlink(missing_ok=True)
            member.send(signal.SIGCONT)

    def close(self) -> None:
        for member in self.members:
            member.send(signal.SIGKILL)
            member.process.wait()

    def _staying(self) -> list[Member]:
        """All but those who leave; a frozen one counts as gone, as its supervisor sees it."""
        return [member for member in self.members if member.fate != "term"]


def _end(member: Member) -> str:
    """How a member ended: by our signal, politely, or by itself with an exit code."""
    code = member.process.returncode
    if code == -signal.SIGKILL:
        return "killed"
    kind = "zombie" if member.zombie else member.fate or "unasked"
    return f"{kind}, exit code {code}"
