"""Arguments, settings and output that several commands share."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.errors import FileMistakesError, SettingsError
    from stream_persona.settings import Settings

#: Digits of a date without hyphens.
_DATE_DIGITS: Final = 8
#: Seconds of a unit.
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0}

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything and send nothing; no server needed.")
]
EventKind = Annotated[
    Literal["purchases", "browses", "engagements", "assignments", "deletions"] | None,
    typer.Option(help="The kind of events in the files; without it each line names its 'topic'."),
]
DeadLetters = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the lines that cannot be read to this file."),
]
#: The declaration of arguments that name files of events.
FILES: Final[dict[str, Any]] = {
    "metavar": "FILES",
    "help": "JSON Lines, a JSON array, CSV or Parquet, also gzipped; the oldest first.",
}
Customer = Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's id.")]


def print_mistakes(file: Path, error: FileMistakesError) -> None:
    """Print the mistakes in a file as JSON."""
    from stream_persona.cli.terminal import print_json

    mistakes = [{"line": line, "message": text} for line, text in error.mistakes]
    print_json({"file": str(file), "valid": False, "mistakes": mistakes})


def load_configuration() -> tuple[Settings, Taxonomy]:
    """Load the settings from the environment, and the taxonomy that they name.

    Raises:
        ConfigError: a setting, the taxonomy or the file of sources is wrong; the message names it.
    """
    from stream_persona.domain.taxonomy import load
    from stream_persona.errors import SourcesError, TaxonomyError
    from stream_persona.settings import load_settings

    settings = load_settings()
    try:
        taxonomy = load(settings.taxonomy)
    except TaxonomyError as error:
        raise _explain("TAXONOMY", error, "name a taxonomy file, or unset it") from None
    if settings.sources is not None:
        from stream_persona.domain.mapping.sources import Sources

        try:
            Sources.load(settings.sources)
        except SourcesError as error:
            raise _explain("SOURCES", error, "name a file of sources, or unset it") from None
    return settings, taxonomy


def _explain(setting: str, error: FileMistakesError, remedy: str) -> SettingsError:
    """Return a file's mistakes as those of the setting that names it."""
    from stream_persona.errors import SettingsError

    lines = [f"STREAM_PERSONA_{setting}: {line}" for line in str(error).splitlines()]
    return SettingsError("\n".join(lines) + ("" if error.mistakes[0][0] else f"; {remedy}"))


def parse_duration(text: str) -> float:
    """Parse the seconds of ``250ms``, ``60s``, ``5m``, ``1h`` or of a plain number of seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text.strip())
    if found is None or not float(found[1]):
        raise typer.BadParameter(f"{text!r} is no duration; write 60s, 5m or 1h")
    return float(found[1]) * _SECONDS[found[2] or "s"]


def parse_time(text: str) -> int:
    """Parse an RFC 3339 time or date (UTC where it has no offset), or a number as in events.

    Digits that could be a date, such as 20250301, are refused rather than read as seconds.
    """
    from stream_persona.domain.time import OUT_OF_RANGE, as_field, parse_number, to_milliseconds

    expected = (
        "write 2025-03-01, 2025-03-01T12:00:00Z, or a number of epoch seconds, milliseconds, "
        "microseconds or nanoseconds"
    )
    is_number = re.fullmatch(r"\d{5,}(\.\d*)?", text, re.ASCII)
    try:
        time = None if is_number and len(text) != _DATE_DIGITS else datetime.fromisoformat(text)
    except ValueError:
        time = None
    if is_number is None and time is None:
        raise typer.BadParameter(f"{text!r} is no time; {expected}")
    if is_number and time is not None:
        raise typer.BadParameter(f"{text!r} may be a date or seconds; {expected}")
    try:
        if time is None:
            return parse_number(float(text) if "." in text else int(text))
        return to_milliseconds(as_field(time if time.tzinfo else time.replace(tzinfo=UTC)))
    except ValueError:
        raise typer.BadParameter(f"{text!r}: {OUT_OF_RANGE}; {expected}") from None


def exit_with(message: str, code: int) -> NoReturn:
    """End the process with a message on standard error."""
    print(message, file=sys.stderr)  # noqa: T201 - for the caller
    sys.exit(code)


def print_error(line: str) -> None:
    """Print a line on standard error, and go on."""
    print(line, file=sys.stderr)  # noqa: T201 - for the caller


def print_result(facts: dict[str, Any], *, as_json: bool) -> None:
    """Print the result of a command, as a table or as JSON."""
    from stream_persona.cli.terminal import print_facts, print_json

    (print_json if as_json else print_facts)(facts)
