"""What a measured process reports: between its first event and its last, start-up aside."""

import argparse
import json
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any, Self


class Meter:
    """Seconds of the wall and of the CPU (all threads) from the first event to the last.

    It ends after ``total`` events, or with the first batch that ends after ``seconds``.
    """

    def __init__(self, total: int, seconds: float) -> None:
        self._total = total
        self._seconds = seconds
        self.events = 0
        self._began = 0.0
        self._cpu = 0.0
        self._start_rss = 0
        self._stopped = False

    @classmethod
    def of_arguments(cls, options: argparse.Namespace | None = None) -> Self:
        options = options or parser().parse_args()
        return cls(options.events, options.seconds)

    def begin(self) -> None:
        """The first event is at hand; later calls do nothing."""
        if not self._began:
            self._began, self._cpu, self._start_rss = now(), cpu(), resident("VmRSS")

    def add(self, events: int) -> bool:
        """Note that so many are done; whether that is enough."""
        self.events += events
        return self.done

    @property
    def done(self) -> bool:
        return self.events >= self._total or now() - self._began > self._seconds

    def report(self, **more: Any) -> None:
        """Print the figures as the process's last line."""
        figures = {
            "events": self.events,
            "seconds": now() - self._began,
            "cpu_seconds": cpu() - self._cpu,
            "start_rss_mb": self._start_rss,
            "peak_rss_mb": resident("VmHWM"),
            **more,
        }
        print(json.dumps(figures), flush=True)

    def stop(self, **more: Any) -> None:
        """Report once, and ask the own process to end as an operator would."""
        if not self._stopped:
            self._stopped = True
            self.report(**more)
            os.kill(os.getpid(), signal.SIGTERM)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    made.add_argument("--events", type=int, required=True)
    made.add_argument("--seconds", type=float, default=60.0)
    return made


def now() -> float:
    return time.perf_counter()


def cpu() -> float:
    """CPU-seconds of this process, its threads and its ended children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def spent(process: int) -> float:
    """CPU-seconds of another process until now."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(what: str, process: int | str = "self") -> int:
    """Megabytes: ``VmRSS`` is what a process holds now, ``VmHWM`` the most it has held."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) // 1_024
    return 0
