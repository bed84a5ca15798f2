"""The rows of Parquet files as JSON: its many types as the few that events have."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.events import encode
from stream_persona.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

#: Rows that are read at a time.
_BATCH: Final = 4_000


def read_parquet(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each row.

    Raises:
        InputError: the file is damaged, or has two columns of one name.
        ConfigError: no package to read it is installed.
    """
    file = _open_parquet(path)
    schema = _coarsen_times(file.schema_arrow)
    if len(set(schema.names)) < len(schema.names):
        twice = next(name for name in schema.names if schema.names.count(name) > 1)
        raise InputError(f"{path}: two columns are named {twice!r}")
    number = 0
    try:
        rows: Iterable[Any] = (
            row
            for batch in file.iter_batches(batch_size=_BATCH)
            for row in batch.cast(schema, safe=False).to_pylist(maps_as_pydicts="lossy")
        )
        for number, row in enumerate(rows, 1):
            given = {name: _to_json(v) for name, v in row.items() if _is_given(name, v)}
            yield number, encode(given)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise InputError(f"{path}: cannot be read after row {number}: {error}") from None


def _open_parquet(path: Path) -> ParquetFile:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an extra
    except ImportError:
        message = f"{path}: reading Parquet needs pyarrow: pip install 'stream-persona[demo]'"
        raise ConfigError(message) from None
    try:
        return parquet.ParquetFile(path)
    except (ValueError, OSError) as error:  # Arrow's own errors are one or the other
        raise InputError(f"{path}: cannot be read as Parquet: {error}") from None


def _coarsen_times(schema: pa.Schema) -> pa.Schema:
    """Return a schema whose times are no finer than Python's: Arrow converts no others to them."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    def coarsen(kind: Any) -> Any:  # noqa: ANN401 - Arrow's types
        if pa.types.is_nested(kind):
            return coarsen_inner(kind)
        if getattr(kind, "unit", "") != "ns":
            return kind
        if pa.types.is_timestamp(kind):
            return pa.timestamp("us", kind.tz)
        return pa.time64("us") if pa.types.is_time(kind) else pa.duration("us")

    def coarsen_inner(kind: Any) -> Any:  # noqa: ANN401
        if pa.types.is_map(kind):
            return pa.map_(coarsen(kind.key_type), coarsen(kind.item_type))
        fields = [
            kind.field(at).with_type(coarsen(kind.field(at).type)) for at in range(kind.num_fields)
        ]
        if pa.types.is_struct(kind):
            return pa.struct(fields)
        return pa.large_list(fields[0]) if pa.types.is_large_list(kind) else pa.list_(fields[0])

    return pa.schema([field.with_type(coarsen(field.type)) for field in schema])


def _is_given(name: str, value: object) -> bool:
    """Whether a column has a value: empty ones are fields left out.

    Only an assignment's persona has a meaning when it is empty: a withdrawal.
    """
    return name == "persona" or _is_value(value)


def _is_value(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _to_json(value: object) -> object:
    """Return a cell as JSON has it; a time without a zone is read as UTC, as most write it.

    Many programs write texts as bytes. What is no text, and an infinite number, become what no
    field takes: in JSON they would be another text, and no number.
    """
    if isinstance(value, dict):
        return {name: _to_json(inner) for name, inner in value.items() if _is_value(inner)}
    if isinstance(value, list):
        return [_to_json(inner) for inner in value]
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    if isinstance(value, bytes):
        return _decode(value)
    number = float(value) if isinstance(value, Decimal) else value
    return str(number) if isinstance(number, float) and math.isinf(number) else number


def _decode(value: bytes) -> object:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"bytes": value.hex()}
