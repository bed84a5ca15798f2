"""The lines of tables and keys in a TOML text, so that a mistake can be pointed at."""

from __future__ import annotations

import re
import tomllib


def find_lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Map each table and key, a path of names and indices, to its line number."""
    found: dict[tuple[str | int, ...], int] = {}
    counts: dict[str, int] = {}
    table: tuple[str | int, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if array := re.match(r"\s*\[\[\s*([\w.-]+)\s*\]\]", line):
            counts[array[1]] = counts.get(array[1], -1) + 1
            table = (array[1], counts[array[1]])
            found.setdefault((array[1],), number)
            found[table] = number
        elif header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            names = header[1].split(".")
            inner = (names[0], counts[names[0]], *names[1:]) if names[0] in counts else names
            table = tuple(inner)
            found[table] = number
        elif key := re.match(r"""\s*["']?([\w.-]+)["']?\s*=""", line):
            found[*table, *key[1].split(".")] = number
    return found


def find_wrong_line(text: str, error: tomllib.TOMLDecodeError) -> int:
    """The line at which a text is no TOML any more; the last one where the parser names none."""
    found = re.search(r"line (\d+)", str(error))
    return int(found[1]) if found else text.count("\n") + 1


def find_line(lines: dict[tuple[str | int, ...], int], path: tuple[str | int, ...]) -> int:
    """Return the line of the longest known beginning of ``path``; 1 when none is known."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1
