"""The package is built as CONTRIBUTING.md says."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stream_persona

PACKAGE = Path(stream_persona.__file__).parent
GUIDE = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
SHELL = "*the shell*"
SHELLS_OWN = {"aiokafka", "asyncio", "faust", "redis", "logging", "socket", "time", "fastapi"}


def order() -> list[str]:
    """The modules and the marker of the shell, in the order of the guide's table."""
    table = GUIDE.partition("### The modules, in their order")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    names = (re.findall(r"`(\w+)`", row) or [row.strip()] for row in rows)
    return [name for found in names for name in found if name == SHELL or name.isidentifier()]


ORDER = order()
MODULES = sorted(
    path.stem for path in PACKAGE.iterdir()
    if (path.suffix == ".py" and not path.stem.startswith("__")) or (path / "__init__.py").exists()
)  # fmt: skip
CORE = ORDER[: ORDER.index(SHELL)]


def sources(module: str) -> list[Path]:
    single = PACKAGE / f"{module}.py"
    return [single] if single.exists() else sorted((PACKAGE / module).rglob("*.py"))


def imported(module: str) -> Iterator[str]:
    """Every module that a module names in an import, wherever it stands."""
    for path in sources(module):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module == "stream_persona":
                yield from (f"stream_persona.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module or ""


def siblings(module: str) -> set[str]:
    names = (name.split(".") for name in imported(module))
    return {parts[1] for parts in names if parts[0] == "stream_persona" and len(parts) > 1}


def test_every_module_has_its_place_in_the_guide() -> None:
    assert set(MODULES) - set(ORDER) == set()


@pytest.mark.parametrize("module", [module for module in MODULES if module in ORDER])
def test_a_module_imports_only_from_those_above_it(module: str) -> None:
    above = ORDER[: ORDER.index(module)]
    assert siblings(module) - {module} - set(above) == set()


@pytest.mark.parametrize("module", CORE)
def test_the_core_is_pure(module: str) -> None:
    roots = {name.partition(".")[0] for name in imported(module)}
    assert not roots & SHELLS_OWN


def imported_by(statement: str, *names: str) -> set[str]:
    """Which of ``names`` a fresh process has loaded after a statement."""
    program = f"import sys\n{statement}\nprint(*(set({names!r}) & set(sys.modules)))"
    return set(printed(program))


def printed(program: str) -> list[str]:
    """The words that a fresh process prints."""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert not run.stderr
    return run.stdout.split()


def test_importing_the_package_does_nothing() -> None:
    program = "import sys\nbefore = set(sys.modules)\nimport stream_persona\n"
    program += "print(*sorted(set(sys.modules) - before))"
    assert printed(program) == ["stream_persona"]


def test_the_core_needs_no_server_library() -> None:
    loaded = imported_by("import stream_persona.pipeline", "faust", "aiokafka", "redis", "fastapi")
    assert loaded == set()


def test_a_client_needs_redis_and_orjson_alone() -> None:
    others = ("faust", "river", "aiokafka", "msgspec", "numpy", "pydantic", "scipy", "fastapi")
    assert imported_by("import stream_persona.client", *others) == set()


def test_the_worker_knows_nothing_of_faust() -> None:
    assert imported_by("import stream_persona.worker", "faust") == set()
