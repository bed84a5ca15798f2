"""The command that compares the model with other classifiers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from stream_persona.cli.options import Json, load_configuration
from stream_persona.cli.running import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.comparison import ComparisonRow
    from stream_persona.model.river_adapter import Example
    from stream_persona.settings import Settings

#: Seconds to wait for a Redis that does not answer: a person waits at a terminal.
_PATIENCE: Final = 10.0

group = typer.Typer(help="Compare the model that learns personas with other classifiers.")

_Challengers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE:CLASS",
        help="A River classifier; may be repeated. Default: those of the settings.",
    ),
]


@group.command(
    epilog="Example: stream-persona model compare --challenger river.naive_bayes:ComplementNB\n\n"
    "Example: stream-persona model compare --challenger 'river.forest:ARFClassifier(n_models=5)'"
)
def compare(
    challenger: _Challengers = None,
    in_time: Annotated[
        bool,
        typer.Option("--in-time", help="Evaluate in the order of assignments, not in five folds."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the model with River's classifiers, and with the class prior.

    Each is evaluated on all labelled customers, with the records that are stored now, and never on
    a customer that it has learned from.
    """
    from dataclasses import asdict

    from stream_persona.cli.terminal import print_json, show_progress
    from stream_persona.model import comparison
    from stream_persona.model.river_adapter import parse_specifications
    from stream_persona.store.blas import limit_blas_threads

    settings, taxonomy = load_configuration()
    rivals = (
        challenger or parse_specifications(settings.challengers) or comparison.DEFAULT_CHALLENGERS
    )
    models = comparison.make_contestants([settings.model, *rivals], taxonomy)
    limit_blas_threads()
    known = run(load_examples(settings, taxonomy))
    with show_progress("customers evaluated", len(known) * len(models)) as advance:
        rows = comparison.compare(
            known, models, taxonomy, time.perf_counter, advance, in_time=in_time
        )
    if as_json:
        print_json({"customers": len(known), "models": [asdict(row) for row in rows]})
    else:
        print_table(rows)


async def load_examples(settings: Settings, taxonomy: Taxonomy) -> list[Example]:
    """Load the labelled customers from Redis.

    Raises:
        TopologyError: the workers are set otherwise.
        UnavailableError: Redis does not answer.
    """
    from stream_persona.cli.agreement import check_agreement, open_tables
    from stream_persona.store import examples

    async with open_tables(settings, _PATIENCE) as tables:
        await check_agreement(settings, taxonomy, tables)
        return await examples.read_examples(tables, settings.partitions, taxonomy)


def print_table(rows: Sequence[ComparisonRow]) -> None:
    """Print a table of the models, and below it why any of them failed."""
    from rich.console import Console
    from rich.table import Table

    table = Table("model", box=None)
    for column in ("trials", "log-loss", "accuracy", "ECE", "learn µs", "predict µs"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        figures = (f"{x:.3f}" for x in (row.log_loss, row.accuracy, row.ece))
        times = (f"{x:,.1f}" for x in (row.learn_us, row.predict_us))
        name = row.model.partition(":")[2] or row.model  # without its module
        table.add_row(name, f"{row.trials:,}", *figures, *times)
    console = Console()
    console.print(table)
    for row in rows:
        if row.failure:
            console.print(f"{row.model} failed: {row.failure}", markup=False)
