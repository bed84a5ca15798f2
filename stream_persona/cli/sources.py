"""The command on a file of foreign sources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_persona.cli.options import Json, print_mistakes, print_result
from stream_persona.errors import InputError, SourcesError

if TYPE_CHECKING:
    from stream_persona.domain.mapping.documents import MappedDocument
    from stream_persona.domain.mapping.sources import Source, Sources

group = typer.Typer(help="Check the file that says which topics hold other tools' events.")


@group.command(epilog="Example: stream-persona sources check sources.toml --try event.json")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Sources, in TOML.")],
    document: Annotated[
        Path | None,
        typer.Option("--try", metavar="DOCUMENT", help="A message's value, to be read as events."),
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="The topic of the document, if the file names several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a file of sources: print what they read, or every mistake with its line (exit code 2).

    With --try also what would become of a document; exit code 3 if not all of it can be read.
    """
    from stream_persona.domain.mapping.sources import Sources

    try:
        sources = Sources.load(file)
    except SourcesError as error:
        if as_json:
            print_mistakes(file, error)
        raise
    facts: dict[str, Any] = {
        "file": str(file),
        "valid": True,
        "mistakes": [],
        "sources": [_describe(source) for source in sources.source],
    }
    mapped = None if document is None else _try(sources, topic, document)
    if mapped is not None:
        facts |= _describe_mapped(mapped)
    print_result(facts, as_json=as_json)
    if mapped is not None and mapped.faults:
        raise typer.Exit(3)


def _describe(source: Source) -> str:
    way = source.preset or f"{source.kind.text if source.kind else ''} by expressions"
    condition = f", when {source.when.text}" if source.when else ""
    name = f"{source.name}: " if source.name else ""
    return f"{name}topic {source.topic}, {source.format}, {way}{condition}"


def _try(sources: Sources, topic: str | None, path: Path) -> MappedDocument:
    from stream_persona.domain.mapping.documents import decode_document, map_document

    names = ", ".join(sources.topics)
    if topic is None and len(sources.topics) > 1:
        raise typer.BadParameter(f"name the document's topic by --topic: one of {names}")
    own = sources.list_for_topic(topic or sources.topics[0])
    if not own:
        raise typer.BadParameter(f"no source reads topic {topic!r}; there are {names}")
    try:
        value = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    return map_document(own, decode_document(value.removeprefix(b"\xef\xbb\xbf")))


def _describe_mapped(mapped: MappedDocument) -> dict[str, Any]:
    import msgspec

    from stream_persona.domain.identity import NOBODY_IDS
    from stream_persona.domain.mapping.sources import KIND_NAMES

    return {
        "events": [
            {"kind": KIND_NAMES[kind], **msgspec.to_builtins(event)}
            for kind, event in mapped.events
        ],
        "of_nobody": sum(event.customer_id in NOBODY_IDS for _, event in mapped.events),
        "links": [link._asdict() for link in mapped.links],
        "left_out": {str(reason): number for reason, number in mapped.left_out.items()},
        "faults": [fault.detail for fault in mapped.faults],
    }
