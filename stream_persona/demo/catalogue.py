"""The demo's catalogue: what the Complete Journey's shoppers bought in the first half-year.

Popularity is in how many baskets a product was; ``bought_with`` are products by the cosine of their
baskets. It is made once and kept beside other programs' caches, since that takes some seconds.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stream_persona.demo import journey_tables
from stream_persona.demo.study import select_before
from stream_persona.domain.events import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A new number where what is written changes: a cached file of another one is not used.
_VERSION: Final = 2
_SOLD_COLUMNS: Final = [
    "product_id", "basket_id", "quantity", "sales_value", "transaction_timestamp",
]  # fmt: skip
_PRODUCT_COLUMNS: Final = [
    "product_id", "department", "brand", "product_category", "product_type", "package_size",
]  # fmt: skip


def prepare_catalogue() -> Path:
    """Return the catalogue's file; make it where it is not there yet.

    Raises:
        ConfigError: the packages of the ``demo`` extra are not installed.
    """
    source = journey_tables.find_folder() / "transactions.parquet"
    name = f"complete-journey-{_VERSION}-{source.stat().st_size}.jsonl"
    path = _find_folder() / name
    if not path.exists():
        _write(path, _make_rows(source))
    return path


def _make_rows(source: Path) -> Iterator[dict[str, Any]]:
    # What it imports takes a second, for which the API would wait at every start.
    from stream_persona.demo.catalogue_rows import make_rows  # noqa: PLC0415

    pandas, folder = journey_tables.find_data()
    lines = pandas.read_parquet(source, columns=_SOLD_COLUMNS)
    products = pandas.read_parquet(folder / "products.parquet", columns=_PRODUCT_COLUMNS)
    return make_rows(lines[select_before(lines)], products)


def _find_folder() -> Path:
    """Return the folder of this user's caches, or one for this run where that can't be written."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    with suppress(OSError, RuntimeError):
        folder = (Path(given) if given else Path.home() / ".cache") / "stream-persona"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="stream-persona-"))


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Write a file whole, or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            for row in rows:
                file.write(encode(row) + b"\n")
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
