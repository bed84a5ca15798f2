"""The commands on what learns personas from behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from stream_persona.model.river_adapter import Example
from stream_persona.store import examples
from stream_persona.store.redis import RedisTables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

    Tell = Callable[[int], None]
    Rows = Sequence[Sequence[float]]
    from stream_persona.model.comparison import Row

#: Seconds that a person at a terminal waits for a Redis that is away.
_PATIENCE: Final = 10.0


async def stored(settings: Settings, taxonomy: Taxonomy) -> list[Example]:
    """The labelled customers in Redis.

    Raises:
        UnavailableError: Redis does not answer.
    """
    patience = min(_PATIENCE, settings.retry_seconds)
    tables = RedisTables.connect(settings.redis_url, settings.prefix, patience)
    try:
        return await examples.read(tables, settings.partitions, taxonomy)
    finally:
        await tables.close()


def show(rows: Sequence[Row]) -> None:
    """A table of the rows, for people; whoever is out is told below it."""
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
