"""How the tests are laid out: modules of tests share helpers, never each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MODULES = sorted(TESTS.rglob("test_*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the dotted name of each module, and of each name, that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_a_test_module_imports_no_other(path: Path) -> None:
    wrong = [
        name
        for name in imported_modules(path)
        if name.startswith(("tests.unit", "tests.integration"))
        or any(part.startswith("test_") for part in name.split(".")[:-1])
    ]
    assert not wrong, f"move what is shared to tests/support: {wrong}"
