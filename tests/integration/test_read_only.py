"""Worker and API run as in Compose: nothing can be written but in ``/tmp``, not even at home."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from stream_persona.settings import Settings
from tests.support.servers import wait_until
from tests.support.shop import Shop, environment

ROOT = Path(__file__).parents[2]

#: In a file system of its own: everything is read-only, then ``/tmp`` is an empty one in memory. If
#: what is tested lies there, it is seen there still.
CONFINE = r"""
set -e
root=$1
shift
mount --make-rprivate /
mount --bind "$root" /mnt
awk '$5 != "/" && $5 !~ /^\/(proc|sys|dev)/ {print $5}' /proc/self/mountinfo | while read -r at; do
  mount -o remount,bind,ro "$at" 2>/dev/null || true
done
mount -o remount,bind,ro /
mount -t tmpfs -o size=64m,noexec tmpfs /tmp
mkdir -p "$root"
mount --bind /mnt "$root"
cd /usr
for folder in /usr "$root"; do
  if (: > "$folder/written") 2>/dev/null; then echo "$folder is writable"; exit 3; fi
done
"$@"
echo "code $?"
echo "left $(find /tmp -path "$root" -prune -o -type f -print | wc -l)"
"""


def can_confine() -> bool:
    """Whether this machine lets a test have a file system of its own."""
    command = ["unshare", "--mount", "sh", "-c", "mount --make-rprivate / && mount -t tmpfs x /mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not can_confine(), reason="needs the right to mount (unshare)")


class Confined:
    """A process of which all output is in a file that was opened before."""

    def __init__(self, log: Path, popen: subprocess.Popen[bytes]) -> None:
        self._log = log
        self._popen = popen

    @property
    def output(self) -> str:
        return self._log.read_text()

    def address(self, pattern: str) -> str:
        """Wait for the address that it logs."""
        wait_until(lambda: re.search(pattern, self.output) or self.has_ended(), 60)
        found = re.search(pattern, self.output)
        assert found, self.output
        return found[1]

    def has_ended(self) -> bool:
        return self._popen.poll() is not None

    def end(self) -> str:
        """Send SIGTERM to the process within, and return the whole output."""
        children = Path(f"/proc/{self._popen.pid}/task/{self._popen.pid}/children").read_text()
        subprocess.run(["kill", *children.split()], check=True)
        wait_until(self.has_ended, 60)
        return self.output


@contextmanager
def confined(name: str, settings: Settings, log: Path) -> Iterator[Confined]:
    command = ["unshare", "--mount", "sh", "-c", CONFINE, "sh", str(ROOT), sys.executable]
    own = {"PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent"}
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [*command, "-m", "stream_persona", name],
            env=environment(settings) | own, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield Confined(log, popen)
    finally:
        popen.kill()
        popen.wait()


def test_the_worker_writes_nothing_to_files(shop: Shop, tmp_path: Path) -> None:
    with confined("worker", shop.settings, tmp_path / "worker.log") as worker:
        address = worker.address(r"metrics on (http://127\.0\.0\.1:\d+/metrics)")

        def partitions() -> bool:
            found = re.search(
                r"^stream_persona_owned_partitions (\d+)", httpx.get(address).text, re.MULTILINE
            )
            return found is not None and int(found[1]) == shop.settings.partitions

        wait_until(partitions, 60)
        assert worker.end().rstrip().endswith("code 0\nleft 0")


def test_the_api_writes_nothing_to_files(shop: Shop, tmp_path: Path) -> None:
    with confined("api", shop.settings, tmp_path / "api.log") as api:
        address = api.address(r"listening on (http://\S+)")
        wait_until(lambda: httpx.get(f"{address}/readyz").status_code == 200, 60)
        for path in ("/", "/docs", "/static/charts.js", "/v1/personas", "/metrics"):
            assert httpx.get(f"{address}{path}").status_code == 200
        assert httpx.post(f"{address}/v1/rank", json={}).status_code == 400
        assert api.end().rstrip().endswith("code 0\nleft 0")
