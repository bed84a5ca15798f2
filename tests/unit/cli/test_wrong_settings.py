"""Every setting with values that can't work: exit code 2, and one sentence that names it."""

import re
import socket
from pathlib import Path

import pytest

from stream_persona.settings import Settings, find_misspelt, load_settings
from tests.support.commands import Ended
from tests.support.wrong_settings import WRONG

#: Parts of passwords in the values above.
SECRET_PARTS = {"p", "w", "pw", "secret"}
CASES = [
    (name, value, sentence) for name, values in WRONG.items() for value, sentence in values.items()
]


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder with taxonomies that can't be used, and servers that are away."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty.toml").write_text("")
    monkeypatch.setenv("STREAM_PERSONA_RETRY_SECONDS", "0.2")
    monkeypatch.setenv("STREAM_PERSONA_BROKERS", "127.0.0.1:1")
    monkeypatch.setenv("STREAM_PERSONA_REDIS_URL", "redis://127.0.0.1:1/0")


def test_every_setting_is_in_the_table() -> None:
    assert set(WRONG) == set(Settings.model_fields)


@pytest.mark.parametrize(("name", "value", "sentence"), CASES)
def test_a_wrong_setting_ends_the_worker_with_2_and_one_sentence(
    quiet_services: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    sentence: str,
) -> None:
    if "\x00" in value:  # which no environment can hold, but a file
        Path(".env").write_text(f"STREAM_PERSONA_{name.upper()}={value}")
    else:
        monkeypatch.setenv(f"STREAM_PERSONA_{name.upper()}", value)
    ended = Ended(capsys, "worker")
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith(f"STREAM_PERSONA_{name.upper()}: ")
    assert sentence in line
    assert len(line) < 500
    assert not SECRET_PARTS.intersection(re.findall(r"\w+", line.partition("expected")[0]))


@pytest.fixture
def quiet_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services that leave the process's log and signals as they are."""
    for name in ("log_to_stderr", "end_politely"):
        monkeypatch.setattr(f"stream_persona.cli.services.{name}", lambda *_: None)


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [("purchases", "browses", "same"), ("purchases", "changes", "same"),
     ("browses", "dead_letters", "same"), ("engagements", "reroutes", "same")],
)  # fmt: skip
def test_one_topic_for_two_purposes_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    first: str,
    second: str,
    name: str,
) -> None:
    for each in (first, second):
        monkeypatch.setenv(f"STREAM_PERSONA_TOPIC_{each.upper()}", name)
    ended = Ended(capsys, "api")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert f"_{first.upper()} and STREAM_PERSONA_TOPIC_{second.upper()} name the same" in ended.err


def test_topics_that_kafka_takes_for_equal_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAM_PERSONA_TOPIC_PURCHASES", "shop.sales")
    monkeypatch.setenv("STREAM_PERSONA_TOPIC_BROWSES", "shop_sales")
    ended = Ended(capsys, "worker")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "differ in . and _ alone" in ended.err


FILES = {
    "binary": (b"\xff\xfe", ".env: correct or remove it"),
    "without a value": (b"STREAM_PERSONA_GROUP\n", ".env:1: expected STREAM_PERSONA_<NAME>=value"),
    "with a colon": (b"OTHER=1\nSTREAM_PERSONA_GROUP: mine\n", ".env:2: expected"),
    "with an open quote": (b'STREAM_PERSONA_GROUP="mine\n', ".env:1: expected"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("command", ["worker", "api", "show c", "simulate", "demo --no-browser"])
def test_a_file_whose_lines_would_be_skipped_is_refused(
    capsys: pytest.CaptureFixture[str], kind: str, command: str
) -> None:
    content, sentence = FILES[kind]
    Path(".env").write_bytes(content)
    ended = Ended(capsys, *command.split())
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert sentence in ended.err


def test_a_file_of_other_programs_and_a_mark_at_its_beginning_are_no_fault() -> None:
    Path(".env").write_bytes(b"\xef\xbb\xbfSTREAM_PERSONA_GROUP=mine\nnot ours\nexport A='1\n")
    assert load_settings().group == "mine"


@pytest.mark.parametrize(
    ("name", "value"),
    [("redis_url", "redis://user:hunter2@a:port/0"), ("redis_url", "redis://u:hun/ter2@a:1/0"),
     ("redis_url", "http://a:1/0?password=hunter2"), ("api_keys", "hunter2ö"),
     ("api_keys", "hunter2"), ("oidc_client_secret", "hunter2"),
     ("oidc_client_secret", "a-longer-hunter2-secret"),
     ("redis_url", "redis://user:hunter2@a:1/0?nonsense=1")],
)  # fmt: skip
def test_no_message_shows_a_secret(
    quiet_services: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv(f"STREAM_PERSONA_{name.upper()}", value)
    ended = Ended(capsys, "worker")
    assert ended.code == 2
    assert f"STREAM_PERSONA_{name.upper()}" in ended.err
    assert "ter2" not in ended.err


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "setting", "value"),
    [("worker", "METRICS_HOST", "host.invalid"), ("worker", "METRICS_HOST", "192.0.2.1"),
     ("worker", "METRICS_HOST", "a..b"), ("api", "API_HOST", "host.invalid"),
     ("api", "API_HOST", "192.0.2.1"), ("api", "API_HOST", "a..b")],
)  # fmt: skip
def test_a_host_of_another_machine_is_named(
    quiet_services: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    setting: str,
    value: str,
) -> None:
    monkeypatch.setenv(f"STREAM_PERSONA_{setting}", value)
    monkeypatch.setenv("STREAM_PERSONA_API_KEYS", "some-key-of-a-shop")
    ended = Ended(capsys, command)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith(f"STREAM_PERSONA_{setting}: can't listen on {value}:")


@pytest.mark.long
def test_a_taken_port_of_the_api_is_named(
    quiet_services: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("STREAM_PERSONA_API_PORT", str(taken.getsockname()[1]))
        ended = Ended(capsys, "api")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith("STREAM_PERSONA_API_PORT: can't listen on 127.0.0.1:")


@pytest.mark.parametrize(
    "command",
    ["worker", "api", "show c", "assign c student", "delete c --yes", "replay", "simulate",
     "model compare", "demo --no-browser"],
)  # fmt: skip
def test_every_command_checks_the_settings_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("STREAM_PERSONA_TOPIC_REROUTES", "persona-changes")
    ended = Ended(capsys, *command.split())
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "STREAM_PERSONA_TOPIC_REROUTES name the same topic" in ended.err


def test_a_misspelt_variable_is_found_and_others_are_not() -> None:
    Path(".env").write_text("STREAM_PERSONA_REDISURL=redis://a\nOTHER=1\n")
    given = dict.fromkeys(("STREAM_PERSONA_BROKER", "STREAM_PERSONA_TEST_BROKERS", "PATH"), "")
    assert find_misspelt({**given, "STREAM_PERSONA_GROUP": "mine"}) == {
        "STREAM_PERSONA_BROKER": "STREAM_PERSONA_BROKERS",
        "STREAM_PERSONA_REDISURL": "STREAM_PERSONA_REDIS_URL",
    }
