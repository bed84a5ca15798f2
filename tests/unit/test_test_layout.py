"""How the tests are laid out: what they share, how long they wait, and how they are called."""

import ast
import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Final

TESTS = Path(__file__).parents[1]
FILES = sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py"))
MODULES = [name for name in FILES if Path(name).name.startswith("test_")]

#: Calls that end at a deadline: the place of its argument, where it has one without a name.
DEADLINES: Final[dict[str, int | None]] = {
    "AsyncClient": None, "Client": None, "communicate": 0, "committed": None,
    "create_connection": None, "get": None, "get_message": None, "join": 0, "list_topics": None,
    "run": None, "timeout": 0, "wait": 0, "wait_for": 1,
}  # fmt: skip
#: Whose seconds are of something else: benchmarks measure, the fuzzer takes what it gets.
WITHOUT_PATIENCE: Final = ("benchmarks/", "fuzz/")
#: First words of names that do not begin with what the test is about.
NO_SUBJECTS: Final = frozenset({
    "after", "also", "although", "and", "as", "at", "because", "before", "but", "by", "during",
    "even", "for", "from", "if", "in", "it", "its", "just", "of", "on", "once", "since", "so",
    "still", "then", "there", "they", "this", "though", "to", "under", "unless", "until", "upon",
    "when", "where", "while", "with", "within", "without",
})  # fmt: skip
#: Here the first word is the name of a field.
FIELDS: Final = frozenset({
    "test_from_and_predict_default_to_those_of_the_seed_query",
    "test_since_is_when_the_persona_began",
})  # fmt: skip


@cache
def source_of(name: str) -> str:
    return (TESTS / name).read_text(encoding="utf-8")


def imported_modules(name: str) -> Iterator[str]:
    """Yield the dotted name of each module, and of each name, that a file imports."""
    for node in ast.walk(ast.parse(source_of(name))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_of_a_test_module(imported: str) -> bool:
    return imported.startswith(("tests.unit", "tests.integration")) or any(
        part.startswith("test_") for part in imported.split(".")[:-1]
    )


def test_a_test_module_imports_no_other() -> None:
    wrong = {
        name: found
        for name in MODULES
        if (found := [each for each in imported_modules(name) if is_of_a_test_module(each)])
    }
    assert not wrong, f"move what is shared to tests/support: {wrong}"


def plain_deadlines(source: str) -> list[int]:
    """Return the lines of calls whose deadline is a number, by itself or as a constant's name."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    constants = set(numbers_of(tree))
    awaited = {node.value for node in nodes if isinstance(node, ast.Await)}
    return sorted(
        node.lineno
        for node in nodes
        if isinstance(node, ast.Call)
        for deadline in deadlines_of(node, awaited=node in awaited)
        if is_number(deadline, constants)
    )


def numbers_of(tree: ast.Module) -> Iterator[str]:
    """Yield the names of a module's constants that are numbers."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if is_number(getattr(node, "value", None), ()):
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def is_number(node: ast.AST | None, constants: Collection[str]) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    return isinstance(node, ast.Name) and node.id in constants


def deadlines_of(call: ast.Call, *, awaited: bool) -> Iterator[ast.expr]:
    """Yield the deadline of a call; ``wait`` of ours, which is awaited, is given none."""
    called = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if called not in DEADLINES:
        return
    yield from (word.value for word in call.keywords if word.arg == "timeout")
    place = DEADLINES[called]
    if place is not None and not (awaited and called == "wait"):
        yield from call.args[place : place + 1]


def test_every_deadline_is_one_of_the_runs_patience() -> None:
    wrong = {
        name: lines
        for name in FILES
        if not name.startswith(WITHOUT_PATIENCE)
        and re.search(r"timeout|wait|join|communicate", source_of(name))
        and (lines := plain_deadlines(source_of(name)))
    }
    assert not wrong, f"patience(seconds) of tests/support/waiting.py makes them longer: {wrong}"


def test_a_plain_deadline_is_found_in_each_form() -> None:
    found = plain_deadlines(
        "LONG: Final = 90\n"
        "process.wait(60)\n"
        "process.wait(timeout=60)\n"
        "await asyncio.wait_for(call(), 5.0)\n"
        "await asyncio.wait_for(call(), LONG)\n"
        "asyncio.timeout(1)\n"
        "httpx.AsyncClient(timeout=20)\n"
        "process.wait(patience(60))\n"
        "await pace.wait(20)\n"
        "await asyncio.wait_for(call(), patience(LONG))\n"
    )
    assert found == [2, 3, 4, 5, 6, 7]


def test_the_name_of_a_test_begins_with_its_subject() -> None:
    wrong = {
        (name, test)
        for name in MODULES
        for test, word in re.findall(r"def (test_([a-z]+)\w*)\(", source_of(name))
        if word in NO_SUBJECTS and test not in FIELDS
    }
    assert not wrong
