"""The tables of rights in ``deploy/README.md``, read as an operator reads them."""

import re
from pathlib import Path

from stream_persona.settings import Settings
from tests.support.secured_servers import Right

_TEXT = (Path(__file__).parents[2] / "deploy" / "README.md").read_text()


def _rows(name: str) -> list[list[str]]:
    table = _TEXT.partition(f"<!-- {name}: begin -->")[2].partition(f"<!-- {name}: end -->")[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.strip().splitlines()[2:]]
    assert rows
    return [[cell.strip() for cell in row] for row in rows]


def kafka_rights(process: str, settings: Settings) -> list[Right]:
    """Return the rights of a process, on the topics and the group of these settings."""
    own = {
        field.default: getattr(settings, name)
        for name, field in type(settings).model_fields.items()
        if name.startswith("topic_") or name == "group"
    }
    changes = "stream-persona-changes-*"
    own[changes] = changes.replace("stream-persona", settings.group)
    return [
        Right(resource, own.get(name, name), operation)
        for processes, resource, names, operations in _rows("kafka rights")
        if process in processes.split(", ")
        for name in re.findall(r"`([^`]+)`", names)
        for operation in operations.split(", ")
    ]


def redis_rules(process: str, settings: Settings) -> list[str]:
    """Return the rules of a process's user, with the prefix of these settings."""
    (rules,) = (
        rules for processes, rules in _rows("redis rights") if process in processes.split(", ")
    )
    text = rules.strip("`").replace("\\|", "|")
    return re.sub(r"([~&])persona", rf"\1{settings.prefix}persona", text).split()


def processes() -> set[str]:
    """Return every process that a table names."""
    rows = [*_rows("kafka rights"), *_rows("redis rights")]
    return {name for row in rows for name in row[0].split(", ")}
