"""``make bench-sources``: what a mapped event costs beside one in our own shape.

The journey of ``tests/support/foreign`` as each preset's documents, most of them as vendors'
libraries sent them. Both ends are those of a worker: from a message's bytes to a checked event. A
batch or a request holds several events; what is left out of a document costs time as well, and is
in the figures of its events.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from stream_persona.domain.events import decode_event, encode
from stream_persona.domain.mapping.documents import decode_document, map_document
from tests.support.foreign.presets import Way, ways

REPORT = Path("build/reports/bench-sources.json")


def messages_of(way: Way) -> list[bytes]:
    return [
        document.encode() if isinstance(document, str) else msgspec.json.encode(document)
        for document in way.documents
    ]


def fastest(run: Callable[[], None], seconds: float) -> float:
    """Seconds of the fastest of the runs within some time: the others were disturbed."""
    best, ends = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ends:
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return best


def cost_of(way: Way, seconds: float) -> dict[str, float]:
    """Microseconds and bytes of an event, mapped and in our own shape."""
    messages = messages_of(way)
    own = [(kind, encode(event)) for kind, event in way.expected]

    def mapped() -> None:
        for value in messages:
            map_document(way.sources, decode_document(value))

    def plain() -> None:
        for kind, value in own:
            decode_event(kind, value)

    events = len(own)
    found = {
        "mapped_us": fastest(mapped, seconds) / events * 1e6,
        "own_us": fastest(plain, seconds) / events * 1e6,
        "mapped_bytes": sum(map(len, messages)) / events,
        "own_bytes": sum(len(value) for _, value in own) / events,
    }
    return found | {"times": found["mapped_us"] / found["own_us"]}


def show(report: dict[str, dict[str, float]]) -> None:
    table = Table(title="From bytes to an event", box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("way", "mapped, µs", "own, µs", "times", "mapped, bytes", "own, bytes"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for name, row in report.items():
        table.add_row(
            name, f"{row['mapped_us']:.1f}", f"{row['own_us']:.1f}", f"{row['times']:.1f}",
            f"{row['mapped_bytes']:,.0f}", f"{row['own_bytes']:,.0f}",
        )  # fmt: skip
    Console().print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each figure")
    options = parser.parse_args(arguments)
    report = {name: cost_of(way, options.seconds) for name, way in ways().items()}
    show(report)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
