"""``make fuzz``: mutated bytes through the whole path, guided by coverage (Atheris, libFuzzer).

The first byte of an input chooses the kind, the rest is the message; ``laws.Path`` follows it.
A mutator changes the JSON's structure more often than the bytes. Options of libFuzzer are taken as
they are: ``make fuzz ARGS="-runs=1000000 -seed=7"``. An input that breaks a law, takes longer than
10 seconds or a gigabyte ends the run, and is written to ``build/fuzz/``.
"""

import copy
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

FOLDER = Path("build/fuzz")
CORPUS = FOLDER / "corpus"
NOTES = FOLDER / "notes.json"
REPORT = Path("build/reports/fuzz.json")
DEFAULTS = ("-runs=100000", "-timeout=10", "-rss_limit_mb=1024", "-max_len=4096")
#: Modules of array arithmetic, whose coverage is not traced: Atheris 3.0 never frees the result of
#: a comparison of arrays that it traces, which is a gigabyte in 800,000 inputs.
ARRAYS = [
    "stream_persona.domain.features",
    "stream_persona.domain.record_codec",
    "stream_persona.model.calibration",
    "stream_persona.model.estimator",
    "stream_persona.model.explain",
    "stream_persona.model.statistics",
    "stream_persona.model.weights",
]
#: Inputs between two notes of the outcomes.
STEP = 100

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, 5e-324, 1 << 63, -(1 << 63), 10**40, float("nan"), "", "\0", "\ud800",
    "x" * 257, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 253_402_300_799_999,
    [], {}, [[]], {"": ""}, {"\0": "\0"}, {"a": "b"}, "view", "parent", "a/b/c/d/e/f/g/h",
)  # fmt: skip
NAMES = ("product", "items", "attributes", "expires_at", "quantity", "price", "category", "query")


def containers(value: Any) -> list[Any]:
    """All objects and lists in a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict | list) and value else []
    return own + [found for each in inner for found in containers(each)]


def restructure(message: bytes, rng: random.Random) -> bytes:
    """Drop, copy, rename or replace a few parts of a message's JSON.

    Raises ``ValueError`` where it is no JSON, or nothing is left to change.
    """
    value = json.loads(message)
    for _ in range(rng.randint(1, 3)):
        parts = containers(value)
        if not parts:
            raise ValueError(message)
        target = rng.choice(parts)
        odd = copy.deepcopy(rng.choice((*ODD, rng.choice(parts))))
        change = change_list if isinstance(target, list) else change_object
        change(target, odd, rng)
    return json.dumps(value).encode()


def change_list(target: list[Any], odd: Any, rng: random.Random) -> None:
    at = rng.randrange(len(target))
    match rng.randrange(4):
        case 0:
            del target[at]
        case 1:
            target.extend(target[:16])
        case _:
            target[at] = odd


def change_object(target: dict[str, Any], odd: Any, rng: random.Random) -> None:
    key = rng.choice(list(target))
    match rng.randrange(6):
        case 0:
            del target[key]
        case 1:
            target[key + rng.choice("abc")] = target[key]
        case 2:
            target[rng.choice((*NAMES, str(odd)[:300]))] = target.pop(key)
        case 3:
            target[rng.choice(NAMES)] = odd
        case _:
            target[key] = odd


class Target:
    """The function that libFuzzer calls; it counts the outcomes."""

    def __init__(self) -> None:
        from tests.fuzz.laws import Path as MessagePath

        self._path = MessagePath()
        self._outcomes: Counter[str] = Counter()
        self._inputs = 0

    def __call__(self, data: bytes) -> None:
        self._inputs += 1
        kind = data[0] % 5 if data else 0
        self._outcomes[self._path.follow(kind, data[1:])] += 1
        if self._inputs % STEP == 0:  # libFuzzer ends the process before it could return
            NOTES.write_text(json.dumps({"inputs": self._inputs, "outcomes": self._outcomes}))


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """Change the structure or the bytes."""
    import atheris

    rng = random.Random(seed)
    if data and rng.random() < 0.7:
        try:
            return (data[:1] + restructure(data[1:], rng))[:most]
        except (ValueError, RecursionError):
            pass
    return bytes(atheris.Mutate(data, most))


def fuzz(arguments: list[str]) -> None:
    """Search until libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["stream_persona"], exclude=ARRAYS):
        target = Target()
    atheris.Setup([sys.argv[0], *arguments], target, custom_mutator=mutate)
    atheris.Fuzz()


def seed() -> None:
    """Write the valid events where the search begins."""
    from tests.fuzz.laws import examples

    CORPUS.mkdir(parents=True, exist_ok=True)
    for number, (kind, value) in enumerate(examples()):
        (CORPUS / f"seed-{number}").write_bytes(bytes([kind]) + value)


def search(arguments: list[str]) -> tuple[str, int, float]:
    """Run ``fuzz`` in a process of its own; return its output, exit code and seconds."""
    options = [*DEFAULTS, "-print_final_stats=1", f"-artifact_prefix={FOLDER}/", *arguments]
    command = [sys.executable, "-m", "tests.fuzz.fuzz_events", "--search", *options, str(CORPUS)]
    began, lines = time.perf_counter(), []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if "REDUCE" not in line:
                sys.stderr.write(line)
    return "".join(lines), process.returncode, time.perf_counter() - began


def last(pattern: str, printed: str) -> int:
    found = re.findall(pattern, printed)
    return int(found[-1]) if found else 0


def report_of(printed: str, code: int, seconds: float) -> dict[str, Any]:
    notes: dict[str, Any] = (
        json.loads(NOTES.read_text()) if NOTES.exists() else {"inputs": 0, "outcomes": {}}
    )
    outcomes = Counter[str](notes["outcomes"])
    events = outcomes.pop("event", 0)
    inputs = last(r"number_of_executed_units:\s*(\d+)", printed) or notes["inputs"]
    return {
        "inputs": inputs,
        "seconds": round(seconds, 1),
        "inputs_per_second": round(inputs / seconds),
        "counted": notes["inputs"],
        "events": events,
        "dead_letters": dict(outcomes.most_common()),
        "coverage": last(r"cov: (\d+)", printed),
        "features": last(r"ft: (\d+)", printed),
        "corpus": last(r"corp: (\d+)", printed),
        "peak_rss_mb": last(r"peak_rss_mb:\s*(\d+)", printed),
        "slowest_seconds": last(r"slowest_unit_time_sec:\s*(\d+)", printed),
        "crashes": int(code != 0),
    }


def show(report: dict[str, Any]) -> None:
    table = Table("", "figure", title="Fuzzing the whole path")
    for name, value in report.items():
        if isinstance(value, dict):
            for reason, number in value.items():
                table.add_row(f"dead letters: {reason}", f"{number:,}")
        else:
            table.add_row(name.replace("_", " "), f"{value:,}")
    Console().print(table)


def main() -> None:
    if sys.argv[1:2] == ["--search"]:
        fuzz(sys.argv[2:])
        return
    seed()
    NOTES.unlink(missing_ok=True)
    printed, code, seconds = search(sys.argv[1:])
    report = report_of(printed, code, seconds)
    show(report)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2), encoding="utf-8")
    sys.exit(os.EX_OK if code == 0 else 1)


if __name__ == "__main__":
    main()
