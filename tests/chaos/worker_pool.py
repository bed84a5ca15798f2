"""The workers of a trial: started, ordered to die, frozen, resumed, and replaced when they end."""

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
class PooledWorker:
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
    def works(self) -> bool:
        """Whether it has come as far as writing a batch: only then will it come to a step soon."""
        return self.order.with_suffix(".works").exists()

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


class WorkerPool:
    """Keeps as many workers running as are wanted; counts the ways in which workers ended."""

    def __init__(self, settings: Settings, directory: Path, wanted: int) -> None:
        self._settings = settings
        self._directory = directory
        self._started = 0
        self.wanted = wanted
        #: While it rests, no worker is started.
        self.rests = False
        self.workers: list[PooledWorker] = []
        self.ends: Counter[str] = Counter()

    def replace_ended(self) -> None:
        """Count the workers that have ended and start the missing ones, as a supervisor would."""
        for worker in [worker for worker in self.workers if not worker.runs]:
            self.workers.remove(worker)
            self.ends[_end(worker)] += 1
        while not self.rests and len(self._staying()) < self.wanted:
            self.workers.append(PooledWorker(self._settings, self._directory, self._started))
            self._started += 1

    def pick(self, drawn: int) -> PooledWorker | None:
        """Return one of the workers that nothing has been done to."""
        free = [worker for worker in self._staying() if not worker.fate and worker.runs]
        return free[drawn % len(free)] if free else None

    def dismiss(self, drawn: int) -> None:
        """Ask one to leave, with SIGTERM."""
        if worker := self.pick(drawn):
            worker.fate = "term"
            worker.send(signal.SIGTERM)

    def dismiss_all(self) -> None:
        """Ask all to leave, and start none until ``rests`` is taken back."""
        self.rests = True
        for worker in self._staying():
            worker.fate = "term"
            worker.send(signal.SIGCONT)
            worker.send(signal.SIGTERM)

    def pick_working(self, drawn: int) -> PooledWorker | None:
        """Return one of these that has written a batch; none while all are still starting."""
        free = [each for each in self._staying() if not each.fate and each.runs and each.works]
        return free[drawn % len(free)] if free else None

    def withdraw_orders(self) -> None:
        """Withdraw orders that no worker has obeyed, and resume frozen workers."""
        for worker in self.workers:
            worker.order.unlink(missing_ok=True)
            worker.send(signal.SIGCONT)

    def close(self) -> None:
        for worker in self.workers:
            worker.send(signal.SIGKILL)
            worker.process.wait()

    def _staying(self) -> list[PooledWorker]:
        """Return all but those that were asked to leave."""
        return [worker for worker in self.workers if worker.fate != "term"]


def _end(worker: PooledWorker) -> str:
    """Describe how a worker ended: by our signal, asked to, or by itself with an exit code."""
    code = worker.process.returncode
    if code == -signal.SIGKILL:
        return "killed"
    kind = "zombie" if worker.zombie else worker.fate or "unasked"
    return f"{kind}, exit code {code}"
