"""The command line: documented to the last option, and one clear line when something is wrong."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from stream_persona.cli import main
from stream_persona.cli.options import parse_duration, parse_time
from stream_persona.domain import taxonomy
from tests.support.commands import Ended
from tests.support.waiting import patience

COMMANDS = (
    "worker", "api", "demo", "simulate", "replay", "rebuild", "ingest", "inspect", "sources check",
    "taxonomy check", "model compare", "show", "assign", "delete", "keys new",
)  # fmt: skip
FIVE = "".join(f'[[persona]]\nname = "p{n}"\n' for n in range(5))


def command(path: str) -> Any:
    """A command as Typer built it."""
    found: Any = typer.main.get_command(main.app)
    for name in path.split():
        found = found.commands[name]
    return found


def leaves(group: Any, path: str = "") -> Iterator[str]:
    for name, each in group.commands.items():
        below = f"{path} {name}".strip()
        yield from leaves(each, below) if hasattr(each, "commands") else (below,)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Servers that are away, and no ``.env`` file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAM_PERSONA_RETRY_SECONDS", "0.2")
    monkeypatch.setenv("STREAM_PERSONA_BROKERS", "127.0.0.1:1")
    monkeypatch.setenv("STREAM_PERSONA_REDIS_URL", "redis://127.0.0.1:1/0")


def test_the_commands_are_the_documented_ones() -> None:
    assert sorted(leaves(command(""))) == sorted(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_of_every_command_has_a_summary_and_an_example(path: str) -> None:
    result = CliRunner().invoke(main.app, [*path.split(), "--help"])
    assert result.exit_code == 0
    assert f"Example: {'STREAM_PERSONA_' if path in {'worker', 'api'} else 'stream-persona'}" in (
        " ".join(result.output.split())
    )
    assert command(path).help


@pytest.mark.parametrize("path", COMMANDS)
def test_every_example_is_a_command_line_that_can_be_read(path: str) -> None:
    examples = re.findall(r"Example: (.+)", command(path).epilog)
    assert examples
    for example in examples:
        words = [w for w in shlex.split(example) if not w.startswith("STREAM_PERSONA_")]
        assert words[: 1 + len(path.split())] == ["stream-persona", *path.split()]
        command(path).make_context(path, words[1 + len(path.split()) :])


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_and_argument_is_explained(path: str) -> None:
    unexplained = [each.name for each in command(path).params if not each.help]
    assert not unexplained


@pytest.mark.parametrize("path", [c for c in COMMANDS if c not in {"worker", "api"}])
def test_every_command_with_a_result_prints_it_as_json_on_request(path: str) -> None:
    assert "--json" in {option for each in command(path).params for option in each.opts}


def test_the_command_line_without_arguments_is_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys)
    assert ended.code == 0
    assert "Usage: stream-persona" in ended.out


def test_the_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    ended = Ended(capsys, "--version")
    assert (ended.code, ended.out) == (0, f"stream-persona {metadata.version('stream-persona')}\n")


def test_the_version_of_a_source_tree_is_unknown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    ended = Ended(capsys, "--version")
    assert (ended.code, ended.out) == (0, "stream-persona unknown (not installed)\n")


def test_the_help_has_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--version" in Ended(capsys, "--help").out


WRONG = {
    "nonsense": "No such command 'nonsense'; see stream-persona --help",
    "taxonomy": "Missing command; see stream-persona taxonomy --help",
    "show": "Missing argument 'CUSTOMER'; see stream-persona show --help",
    "show C-1 --colour": "No such option: --colour",
    "model compare --challenger nonsense": "'nonsense' is no River classifier that can be run: "
    "write module:Class or module:Class(name=value, ...)",
    "show 'a\tb'": "invalid_id: customer_id has characters that cannot be printed",
    "show ' C-1'": "invalid_id: customer_id has blanks at an end",
    "delete '' --yes": "customer_id: '' stands for nobody",
    "delete Undefined --yes": "customer_id: 'Undefined' stands for nobody",
    "assign guest student": "customer_id: 'guest' stands for nobody",
    "assign C-1": "give either a PERSONA or --withdraw",
    "assign C-1 student --withdraw": "give either a PERSONA or --withdraw",
    "assign C-1 astronaut": "persona 'astronaut' is not of the taxonomy; expected one of",
    f"assign C-1 student --source {'x' * 2000}": "invalid_field: Expected `str` of length <= 1024",
    f"delete {'x' * 300}": "invalid_id: customer_id must have 1 to 256 bytes",
    "demo --for soon": "'soon' is no duration; write 60s, 5m or 1h",
    "simulate --rate -1": "Invalid value for '--rate'",
    "simulate --for 0s": "'0s' is no duration",
    "replay missing.jsonl": "missing.jsonl: cannot be read: No such file or directory",
    "replay history.jsonl --topic purchases": "FILES and a range of topics exclude each other",
    "replay history.jsonl --from-offset 3": "FILES and a range of topics exclude each other",
    "replay --kind purchases": "--kind is for FILES",
    "replay history.jsonl --kind sales": "Invalid value for '--kind'",
    "replay --topic sales": "no input topic 'sales'; expected one of purchases, browses",
    "replay --from-time yesterday": "'yesterday' is no time; write 2025-03-01",
    "replay --publish some": "Invalid value for '--publish'",
    "sources check nowhere.toml": "nowhere.toml:0: cannot be read",
    "taxonomy check nowhere.toml": "nowhere.toml:0: cannot be read",
}


@pytest.mark.parametrize(("line", "expected"), WRONG.items())
def test_a_wrong_command_line_ends_with_2_and_one_clear_line(
    capsys: pytest.CaptureFixture[str], line: str, expected: str
) -> None:
    ended = Ended(capsys, *shlex.split(line))
    assert ended.code == 2
    assert expected in ended.err
    assert ended.err.count("\n") == 1
    assert not ended.out


@pytest.mark.parametrize("path", ["worker", "api", "show C-1", "delete C-1", "replay"])
def test_a_wrong_setting_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("STREAM_PERSONA_PARTITIONS", "many")
    ended = Ended(capsys, *path.split())
    assert ended.code == 2
    assert ended.err.startswith("STREAM_PERSONA_PARTITIONS: input should be a valid integer")
    assert ended.err.count("\n") == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "line", ["show C-1", "assign C-1 student", "delete C-1 --yes", "model compare"]
)
def test_servers_that_are_away_end_a_command_with_1_and_a_sentence(
    capsys: pytest.CaptureFixture[str], line: str
) -> None:
    ended = Ended(capsys, *shlex.split(line))
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert re.search(r"Redis was not usable|no Kafka broker answered", ended.err)


@pytest.mark.long
@pytest.mark.parametrize("line", ["worker", "replay"])
def test_servers_that_are_away_end_a_process_with_1_and_a_sentence(line: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "stream_persona", *shlex.split(line)],
        capture_output=True, text=True, check=False, timeout=patience(60),
    )  # fmt: skip
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert re.search(r"Redis was not usable|no Kafka broker answered", ended.stderr)


def test_an_unknown_log_level_is_a_wrong_setting() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "stream_persona", "worker"],
        env={"STREAM_PERSONA_LOG_LEVEL": "loud"},
        cwd=Path(__file__).parents[3],
        capture_output=True, text=True, check=False, timeout=patience(60),
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith("STREAM_PERSONA_LOG_LEVEL: expected DEBUG, INFO")


def test_a_sound_taxonomy_is_summed_up(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "five.toml"
    path.write_text(FIVE)
    ended = Ended(capsys, "taxonomy", "check", str(path), "--json")
    facts = json.loads(ended.out)
    assert ended.code in {0, None}
    assert facts["valid"]
    assert facts["personas"] == ["p0", "p1", "p2", "p3", "p4"]
    assert facts["version"] == taxonomy.load(path).version
    assert "p4" in Ended(capsys, "taxonomy", "check", str(path)).out


def test_every_mistake_of_a_taxonomy_is_printed_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "wrong.toml"
    wrong = '[[persona]]\nname = "p5"\ncolour = 1\n'
    wrong += "[policy]\nmin_confidence = 2\n[signals]\nview = 0.3\n"
    path.write_text(FIVE + wrong)
    ended = Ended(capsys, "taxonomy", "check", str(path))
    assert ended.code == 2
    assert not ended.out
    mistakes = ended.err.splitlines()
    assert [line.split(": ")[0] for line in mistakes] == [f"{path}:{line}" for line in (13, 15, 17)]
    assert "colour: is not a known key" in mistakes[0]
    as_json = Ended(capsys, "taxonomy", "check", str(path), "--json")
    assert [mistake["line"] for mistake in json.loads(as_json.out)["mistakes"]] == [13, 15, 17]
    assert as_json.code == 2


@pytest.mark.long
def test_help_version_and_taxonomy_check_load_no_heavy_library() -> None:
    heavy = ["faust", "aiokafka", "redis", "river", "pandas", "numpy", "pyarrow", "fastapi"]
    program = (
        "import sys; from stream_persona.cli import main\n"
        "try: main.main(sys.argv[1:])\n"
        f"except SystemExit: print(sorted(set({heavy}) & set(sys.modules)))"
    )
    for line in (
        ["--version"],
        ["replay", "--help"],
        ["inspect", "--help"],
        ["taxonomy", "check", str(taxonomy.find_shipped_path("generic-shop"))],
    ):
        ended = subprocess.run(
            [sys.executable, "-c", program, *line], capture_output=True, text=True, check=True
        )
        assert ended.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("5m", 300), ("1h", 3600), ("250ms", 0.25), ("7.5", 7.5)]
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["2023-11-14T22:13:20Z", "2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20",
             "1700000000000"],
)  # fmt: skip
def test_times_are_read_as_people_write_them(text: str) -> None:
    assert parse_time(text) == 1_700_000_000_000


def test_a_date_is_its_first_moment() -> None:
    assert parse_time("2023-11-14") == 1_699_920_000_000


@pytest.mark.parametrize("customer", ["''", "undefined", "NULL", "0", "' '"])
def test_nothing_is_known_of_nobody(capsys: pytest.CaptureFixture[str], customer: str) -> None:
    ended = Ended(capsys, *shlex.split(f"show {customer}"))
    assert ended.code == 1
    assert ended.err.startswith(f"nothing is known of customer {shlex.split(customer)[0]!r}")


@pytest.mark.parametrize("command", ["assign Customer-1 student", "delete Customer-1 --yes"])
def test_a_command_that_the_broker_does_not_take_leaves_a_line_of_its_failure(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
) -> None:
    async def agrees(*_: object) -> None:
        pass

    monkeypatch.setattr("stream_persona.cli.customer_events.check_before_sending", agrees)
    monkeypatch.setenv("STREAM_PERSONA_AUDIT_FILE", str(tmp_path / "audit.log"))
    monkeypatch.setenv("STREAM_PERSONA_BROKERS", "127.0.0.1:1")
    monkeypatch.setenv("STREAM_PERSONA_RETRY_SECONDS", "0.2")
    ended = Ended(capsys, *command.split())
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    (line,) = (tmp_path / "audit.log").read_text().splitlines()
    assert '"outcome": "failed"' in line
    assert "Customer-1" not in line
