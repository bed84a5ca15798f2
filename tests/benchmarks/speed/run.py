"""``make bench``: one worker beside a ceiling and beside other frameworks, on one fixed job.

20,000 customers active by Zipf's law, 8 personas, 5 % labelled, 20 % purchases, 60 % browses, 20 %
engagements of about 300 bytes, 8 partitions, a real Kafka and a real Redis on the same machine,
and everything on: learning, prediction, calibration, reasons, public records, changes, commits.
Sections: state (bytes of a shopper and the cost of slots, as ``tests.benchmarks.state`` has them),
systems, memory, latency, growth, workers (two of them beside one), takeover, and lookups (a
client's ``get`` and ``get_many`` beside a bare GET and MGET).
"""

import argparse
import asyncio
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.benchmarks.speed import (
    growth,
    latency,
    lookups,
    memory,
    systems,
    takeover,
    workers,
    written,
)
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.measure import PEERS_PYTHON, SYSTEMS, Servers, servers

SECTIONS = ("state", "systems", "memory", "latency", "growth", "workers", "takeover", "lookups")
SHOWN: dict[str, Callable[[Any, Console], None]] = {
    "systems": systems.show,
    "memory": memory.show,
    "latency_ms": latency.show,
    "growth": growth.show,
    "workers": workers.show,
    "takeover": takeover.show,
    "lookups": lookups.show,
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--events", type=int, default=200_000, help="of the log")
    made.add_argument("--alternations", type=int, default=5, help="turns of all systems")
    made.add_argument("--seconds", type=float, default=20.0, help="most that a run may take")
    made.add_argument("--only", default=",".join(SECTIONS), help="some of the sections")
    made.add_argument("--systems", default=",".join(SYSTEMS), help="some of the systems")
    made.add_argument("--probe-seconds", type=float, default=60.0, help="of each latency load")
    made.add_argument("--most-customers", type=int, default=1_000_000, help="of growth")
    made.add_argument("--peers-python", type=Path, default=PEERS_PYTHON, help="has the peers")
    return made


@dataclass
class Run:
    """The sections that were asked for, each written as soon as it is measured."""

    options: argparse.Namespace
    servers: Servers
    console: Console
    job: Job = field(init=False)

    def __post_init__(self) -> None:
        self.job = Job(events=self.options.events)

    def all(self) -> None:
        """Measure, show and write what was asked for."""
        wanted = self.options.only.split(",")
        self.report("job", self.facts())
        if {"systems", "memory"} & set(wanted):
            self.on_the_log(wanted)
        if "latency" in wanted:
            found = latency.measure(
                self.servers, self.job, self.capacity(), self.options.probe_seconds
            )
            self.report("latency_ms", found)
        if "growth" in wanted:
            most = self.options.most_customers
            self.report(
                "growth", growth.measure(self.servers, self.job, self.options.seconds, most)
            )
        if "workers" in wanted:
            turns = self.options.alternations
            self.report("workers", workers.measure(self.servers, self.job, turns))
        if "takeover" in wanted:
            self.report("takeover", takeover.measure(self.servers, self.job))
        if "lookups" in wanted:
            self.report("lookups", lookups.measure(self.servers, self.job))

    def on_the_log(self, wanted: list[str]) -> None:
        """The sections whose runs read the same log."""
        options = self.options
        with self.servers.bench(self.job) as bench:
            bench.peers_python = options.peers_python
            bench.load()
            if "systems" in wanted:
                names = options.systems.split(",")
                self.report(
                    "systems", systems.measure(bench, names, options.alternations, options.seconds)
                )
            if "memory" in wanted:
                self.report("memory", memory.measure(bench, 10 * options.seconds))

    def capacity(self) -> float:
        """Events a second of one worker, as measured last."""
        known = written.read().get("systems", {}).get("ours")
        if known is None:
            raise SystemExit("latency needs the capacity: measure `--only systems` first")
        return float(known["events_per_second"])

    def report(self, name: str, found: Any) -> None:
        written.merge({name: found})
        if name in SHOWN:
            SHOWN[name](found, self.console)

    def facts(self) -> dict[str, Any]:
        """What the figures belong to."""
        job = self.job
        return {
            "events": job.events, "customers": job.customers, "personas": job.personas,
            "tokens": job.tokens, "python": platform.python_version(), "cores": os.cpu_count(),
            "load_average": os.getloadavg(), **self.servers.description,
        }  # fmt: skip


def measure_state() -> None:
    """The section that needs no Kafka, and no job: real households' year."""
    from tests.benchmarks import ids, state

    memory, slots = asyncio.run(state.bytes_of_state()), state.cost_of_slots()
    known = ids.cost_of_ids()
    written.merge({"memory": memory, "slots": slots, "ids": known})
    state.show(memory, slots)
    ids.show(known)


def main() -> None:
    options = parser().parse_args()
    wanted = set(options.only.split(","))
    if unknown := wanted - set(SECTIONS):
        raise SystemExit(f"no such section: {min(unknown)}; there are {', '.join(SECTIONS)}")
    if "state" in wanted:
        measure_state()
    if wanted - {"state"}:
        with servers() as ready:
            Run(options, ready, Console()).all()
    Console().print(f"Written to {written.REPORT}")


if __name__ == "__main__":
    main()
