"""What several commands share: arguments, settings, how results and mistakes are shown."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Customer = Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's id.")]


def configured() -> tuple[Settings, Taxonomy]:
    """Settings from the environment, and the taxonomy that they name.

    Raises:
        ConfigError: says what is wrong with which.
    """
    from stream_persona.domain.taxonomy import load
    from stream_persona.settings import load_settings

    settings = load_settings()
    return settings, load(settings.taxonomy)


def duration(text: str) -> float:
    """The seconds that an option's value names."""
    from stream_persona.cli import terminal

    return terminal.duration(text)


def moment(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 time or date (UTC where it has no offset)."""
    if re.fullmatch(r"\d{5,}", text):
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        expected = "write 2025-03-01, 2025-03-01T12:00:00Z or epoch milliseconds"
        raise typer.BadParameter(f"{text!r} is no time; {expected}") from None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1_000)


def end(message: str, code: int) -> NoReturn:
    """Leave with one line on standard error."""
    print(message, file=sys.stderr)  # noqa: T201 - the one line that a caller reads
    sys.exit(code)


def show_facts(facts: dict[str, Any], *, as_json: bool) -> None:
    """The result of a command, for people or for programs."""
    from stream_persona.cli.terminal import print_facts, print_json

    (print_json if as_json else print_facts)(facts)
