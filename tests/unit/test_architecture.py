"""The packages depend on each other in one direction, and the core of three is pure."""

import ast
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

import stream_persona
from tests.support.waiting import patience

PACKAGE = Path(stream_persona.__file__).parent
GUIDE = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")

#: What everything may import.
FOUNDATION: Final = frozenset({
    "audit_log", "clocks", "connection_settings", "errors", "listening", "retrying", "secret_files",
    "setting_forms", "settings", "tls_files",
})  # fmt: skip
_CORE = frozenset({"domain", "model", "pipeline"})
_STATE_AND_STREAM = _CORE | {"store", "kafka"}
#: Packages and what else they import of ours: what is below them, and nothing beside them.
MAY_IMPORT: Final[dict[str, frozenset[str]]] = {
    "domain": frozenset(),
    "model": frozenset({"domain"}),
    "pipeline": frozenset({"domain", "model"}),
    "store": _CORE,
    "kafka": frozenset({"domain", "pipeline"}),
    "files": frozenset({"domain"}),
    "client": frozenset({"domain"}),
    "worker": _STATE_AND_STREAM,
    "api": _STATE_AND_STREAM | {"client", "files"},
    "replay": _STATE_AND_STREAM | {"files", "worker"},
    "ingestion": frozenset({"domain", "store", "kafka", "files"}),
    "inspection": frozenset({"domain", "kafka", "files"}),
    "demo": frozenset({"domain", "kafka"}),
    "testing": _STATE_AND_STREAM | {"client"},
    "cli": _STATE_AND_STREAM
    | {"client", "files", "worker", "api", "replay", "ingestion", "inspection", "demo"},
}
#: They decide: time and everything else that they need comes in as arguments.
PURE: Final = ("domain", "model", "pipeline")
IMPURE_LIBRARIES: Final = frozenset({
    "aiokafka", "asyncio", "concurrent", "confluent_kafka", "fastapi", "faust", "http", "httpx",
    "logging", "multiprocessing", "os", "prometheus_client", "random", "redis", "secrets",
    "select", "signal", "socket", "starlette", "subprocess", "tempfile", "threading",
    "threadpoolctl", "time", "urllib", "uuid", "uvicorn",
})  # fmt: skip
#: Attributes that ask a clock, of ``datetime`` and ``date``.
CLOCKS: Final = frozenset({"now", "today", "utcnow"})
#: Functions of ``time`` that ask one.
TIMES: Final = frozenset({
    "clock_gettime", "clock_gettime_ns", "gmtime", "localtime", "monotonic", "monotonic_ns",
    "perf_counter", "perf_counter_ns", "process_time", "process_time_ns", "thread_time",
    "thread_time_ns", "time", "time_ns",
})  # fmt: skip

FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> tuple[str, ...]:
    """A file's module, as the parts of its name below the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {module_of(path): path for path in FILES}


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """All that a file's source consists of: many rules look at it."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """Every module that a file imports anywhere, as the parts of its name."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = tuple((node.module or "").split("."))
            inner = [(*base, alias.name) for alias in node.names]
            yield from (name if name[1:] in MODULES else base for name in inner)


def imports_of_ours(path: Path) -> set[tuple[str, ...]]:
    """The modules of this package that a file imports, itself left out."""
    ours = {name[1:] for name in imported(path) if name[0] == "stream_persona" and len(name) > 1}
    return ours - {module_of(path)}


def files_of(package: str) -> list[Path]:
    return [path for path in FILES if path.is_relative_to(PACKAGE / package)]


def test_every_module_is_of_the_foundation_or_in_a_package() -> None:
    assert {module[0] for module in MODULES if module} - {"__main__"} == FOUNDATION | set(
        MAY_IMPORT
    )


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_what_it_may_and_may_import_no_more(package: str) -> None:
    found = {module[0] for path in files_of(package) for module in imports_of_ours(path)}
    found -= {package} | FOUNDATION
    assert found - MAY_IMPORT[package] == set()
    assert package == "cli" or found == MAY_IMPORT[package]


def test_the_foundation_imports_nothing_of_the_packages() -> None:
    found = {each for name in FOUNDATION for each in imports_of_ours(PACKAGE / f"{name}.py")}
    assert found <= {
        ("clocks",), ("connection_settings",), ("errors",), ("secret_files",),
        ("setting_forms",), ("tls_files",),
    }  # fmt: skip


def test_one_module_alone_names_brokers_to_clients() -> None:
    """All others take its options, with the login in them; who only watches gives their own."""
    named = {"bootstrap_servers", "security_protocol", "sasl_mechanism", "ssl_context"}
    found = {
        ".".join(module_of(path))
        for path in FILES
        for node in nodes_of(path)
        if (isinstance(node, ast.keyword) and node.arg in named)
        or (isinstance(node, ast.Constant) and node.value in named)
    }
    assert found == {"kafka.connection", "kafka.faust_app", "client.changes"}


@pytest.mark.parametrize("client", ["AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient"])
def test_every_client_is_made_with_the_options_of_the_settings(client: str) -> None:
    made = {
        ".".join(module_of(path)): [
            node
            for node in nodes_of(path)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == client
        ]
        for path in FILES
    }
    assert any(made.values())
    for module, calls in made.items():
        for call in calls:
            assert any(word.arg is None for word in call.keywords), module  # `**options`
            names = {each[1:] for each in imported(MODULES[tuple(module.split("."))])}
            assert ("kafka", "connection") in names or module in {
                "client.changes", "kafka.producer"  # which are given them
            }, module  # fmt: skip


def test_the_core_knows_errors_alone_of_the_foundation() -> None:
    found = {
        module[0]
        for package in PURE
        for path in files_of(package)
        for module in imports_of_ours(path)
    }
    assert found & FOUNDATION == {"errors"}


def test_modules_do_not_import_each_other_in_circles() -> None:
    graph = {module: imports_of_ours(path) for module, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)  # or a CycleError


@pytest.mark.parametrize("package", PURE)
def test_the_core_imports_no_clock_and_nothing_that_does_input_or_output(package: str) -> None:
    roots = {name[0] for path in files_of(package) for name in imported(path)}
    assert roots & IMPURE_LIBRARIES == set()


def test_inspection_does_no_input_or_output_but_where_it_reads() -> None:
    paths = [path for path in files_of("inspection") if path.stem != "reading"]
    assert len(paths) > 10
    roots = {name[0] for path in paths for name in imported(path)}
    assert roots & IMPURE_LIBRARIES == {"aiokafka"}  # of which `sources` takes a message's type


@pytest.mark.parametrize("package", PURE)
def test_the_core_asks_no_calendar_what_day_it_is(package: str) -> None:
    nodes = [node for path in files_of(package) for node in nodes_of(path)]
    assert {node.attr for node in nodes if isinstance(node, ast.Attribute)} & CLOCKS == set()


def test_clocks_are_given_as_arguments_and_asked_in_one_module_alone() -> None:
    """All else is handed a clock, or one by default, so that a test can set it."""
    found = {".".join(module) for module, path in MODULES.items() if any(find_clock_calls(path))}
    assert found == {"clocks"}


def find_clock_calls(path: Path) -> Iterator[str]:
    """Yield each call of a clock of the machine in a file.

    The time of an event loop, by which asyncio counts deadlines, is none.
    """
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (alias.name for alias in node.names if alias.name in TIMES)
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        module, _, clock = name.rpartition(".")
        is_calendar = clock in CLOCKS and module.rpartition(".")[2] in {"datetime", "date"}
        if is_calendar or (module == "time" and clock in TIMES) or clock == "epoch_ms" == name:
            yield name


@pytest.mark.parametrize(
    "line",
    [
        "import time\nlambda: time.time_ns() // 1_000",
        "from time import monotonic",
        "from datetime import date\ndate.today()",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "from stream_persona.clocks import epoch_ms\nepoch_ms()",
    ],
)
def test_a_call_of_a_clock_is_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "asks.py").write_text(line, encoding="utf-8")
    assert any(find_clock_calls(tmp_path / "asks.py"))


def test_a_client_imports_what_names_tokens_and_ids_alone_from_the_rest_of_the_package() -> None:
    found = {each for path in files_of("client") for each in imports_of_ours(path)}
    assert {each for each in found if each[0] != "client"} <= {
        ("domain", "binning"), ("domain", "identity"), ("domain", "text"),
        ("domain", "taste_bytes"), ("domain", "common_tastes"),
    }  # fmt: skip


def test_the_guide_says_of_each_package_what_it_may_import() -> None:
    table = GUIDE.partition("| package | what it is for |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*)\|$", table, re.MULTILINE))
    assert rows.pop("cli").strip() == "everything"
    assert MAY_IMPORT["cli"] == MAY_IMPORT.keys() - {"cli", "testing"}
    assert {package: read_packages(column) for package, column in rows.items()} == {
        package: allowed for package, allowed in MAY_IMPORT.items() if package != "cli"
    }


def read_packages(column: str) -> set[str]:
    """The packages in a column of the guide's table; of modules, their packages."""
    named = {name.partition(".")[0] for name in re.findall(r"`([\w.]+)`", column)}
    return named | _CORE if "the core" in column else named


def test_the_guides_drawing_has_every_package_and_the_whole_foundation() -> None:
    drawing = GUIDE.partition("## The architecture in one page")[2].split("```")[1]
    assert set(MAY_IMPORT) | FOUNDATION <= set(re.findall(r"\w+", drawing))


def test_every_name_on_the_way_of_an_event_is_one_of_the_package() -> None:
    way = GUIDE.partition("### How one event travels")[2].partition("\n**")[0]
    names = re.findall(r"`([a-z_]+(?:\.\w+)+)`", way)
    assert len(names) > 20
    for name in names:
        importable = pkgutil.resolve_name(f"stream_persona.{name}")
        assert importable is not None, name


def test_no_function_is_longer_than_forty_lines_and_no_file_than_three_hundred() -> None:
    long = [
        f"{'.'.join(module)}.{node.name}"
        for module, path in MODULES.items()
        for node in nodes_of(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= 40
    ]
    lines = {str(path): path.read_text(encoding="utf-8").count("\n") for path in FILES}
    assert long + [name for name, number in lines.items() if number > 300] == []


def imported_by(statement: str, *names: str) -> set[str]:
    """Which of ``names`` a fresh process has loaded after a statement."""
    program = f"import sys\n{statement}\nprint(*(set({names!r}) & set(sys.modules)))"
    return set(printed(program))


def printed(program: str) -> list[str]:
    """The words that a fresh process prints."""
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(60),
    )
    assert not run.stderr
    return run.stdout.split()


def test_importing_the_package_does_nothing() -> None:
    program = "import sys\nbefore = set(sys.modules)\nimport stream_persona\n"
    program += "print(*sorted(set(sys.modules) - before))"
    assert printed(program) == ["stream_persona"]


def test_the_core_needs_no_server_library() -> None:
    loaded = imported_by(
        "import stream_persona.pipeline.process", "faust", "aiokafka", "redis", "fastapi"
    )
    assert loaded == set()


def test_a_client_needs_redis_and_orjson_alone() -> None:
    others = ("faust", "river", "aiokafka", "msgspec", "numpy", "pydantic", "scipy", "fastapi")
    assert imported_by("import stream_persona.client", *others) == set()


@pytest.mark.long
def test_the_worker_knows_nothing_of_faust() -> None:
    assert imported_by("import stream_persona.worker.worker", "faust") == set()
