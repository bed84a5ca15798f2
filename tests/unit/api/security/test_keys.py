"""Keys: in a setting, in a file of digests, and how a caller sends one."""

from __future__ import annotations

import base64
import hashlib
import logging
from pathlib import Path

import pytest

from stream_persona.api.security.key_file import ApiKeys
from stream_persona.api.security.keys import LOOPBACK, make_key, parse_keys
from stream_persona.api.security.scopes import SCOPES
from stream_persona.errors import SettingsError
from stream_persona.settings import Settings
from tests.support.commands import Ended
from tests.support.doors import MASTER, Door, audited, key_of, table_of, write_keys

SHORT = "15-bytes-short."
ONE, TWO = table_of("one", key_of("one"), "read"), table_of("two", key_of("two"), "rank", "read")
DIGEST = hashlib.sha256(key_of("one").encode()).hexdigest()


def basic(user: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# --- how a key is sent ---


@pytest.mark.parametrize("key", [MASTER, key_of("reader")])
async def test_a_key_is_taken_in_each_header_and_as_the_user_of_basic(
    tmp_path: Path, key: str
) -> None:
    write_keys(tmp_path / "keys.toml", reader="read")
    door = Door(api_keys=MASTER, api_keys_file=tmp_path / "keys.toml")
    async with door.client(peer="10.0.0.1", host="shop.example") as client:
        for headers in (
            {"Authorization": f"Bearer {key}"}, {"authorization": f"bearer  {key} "},
            {"X-API-Key": key}, {"Authorization": basic(key)},
        ):  # fmt: skip
            assert (await client.get("/v1/personas", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Authorization": ""}, {"Authorization": MASTER}, {"Authorization": f"Token {MASTER}"},
        {"Authorization": "Bearer"}, {"Authorization": f"Bearer {MASTER}x"},
        {"Authorization": f"Basic {MASTER}"}, {"Authorization": basic(MASTER, "password")},
        {"Authorization": basic("", MASTER)}, {"Authorization": "Basic ***"},
        {"Authorization": "Basic " + base64.b64encode(MASTER.encode()).decode()},
        {"X-API-Key": ""}, {"X-API-Key": MASTER.upper()}, {"X-API-Key": f"{MASTER}, {MASTER}"},
        {"X-API-Key": hashlib.sha256(MASTER.encode()).hexdigest()},
        {"X-API-Key": "wrong", "Authorization": f"Bearer {MASTER}"},
        {"Cookie": f"stream_persona_key={MASTER}"}, {"Cookie": "stream_persona_key="},
        {"Cookie": f"stream_persona_key={hashlib.sha256(MASTER.encode()).hexdigest()}"},
        {"Cookie": "stream_persona_key=%%%"},
    ],
)  # fmt: skip
async def test_anything_else_is_401(headers: dict[str, str]) -> None:
    async with Door(api_keys=MASTER).client() as client:
        answer = await client.get("/v1/personas", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "a valid API key is needed" in answer.json()["message"]


@pytest.mark.parametrize("name", ["X-API-Key", "Authorization"])
@pytest.mark.parametrize("other", [MASTER, "wrong"])
async def test_a_header_that_comes_twice_shows_no_key(name: str, other: str) -> None:
    mark = "Bearer " if name == "Authorization" else ""
    both = [(name, f"{mark}{MASTER}"), (name, f"{mark}{other}")]
    async with Door(api_keys=MASTER).client() as client:
        assert (await client.get("/v1/personas", headers=both[:1])).status_code == 200
        for headers in (both, both[::-1]):
            assert (await client.get("/v1/personas", headers=headers)).status_code == 401


async def test_loopback_is_no_key() -> None:
    async with Door(api_keys=MASTER).client() as client:
        assert (await client.get("/v1/personas")).status_code == 401
        assert (await client.delete("/v1/customers/c1")).status_code == 401


async def test_a_key_that_is_too_short_is_not_valid_whatever_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text(table_of("short", SHORT, *SCOPES))
    async with Door(api_keys_file=tmp_path / "keys.toml").client() as client:
        answer = await client.get("/v1/personas", headers={"X-API-Key": SHORT})
        assert answer.status_code == 401


# --- the file ---


def test_a_file_of_keys_is_read() -> None:
    one, two = parse_keys(f"# keys\n{ONE}\n{TWO}", "keys.toml")
    assert (one.name, one.digest.hex(), one.scopes) == ("one", DIGEST, {"read"})
    assert (two.name, two.scopes) == ("two", {"rank", "read"})
    assert DIGEST not in repr(one)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 1, "there is no [[key]] table"),
        ("# nothing yet\n", 1, "there is no [[key]] table"),
        ("key = 1\n", 1, "there is no [[key]] table"),
        ("key = [1]\n", 1, "expected a [[key]] table"),
        (f"{ONE}\n[[key]\n", 6, "not valid TOML"),
        (f"{ONE}[other]\na = 1\n", 5, "'other' is not known here"),
        (f"{ONE}secret = 1\n", 5, "'secret' is not known here"),
        (ONE.replace('name = "one"\n', ""), 1, "the key has no name"),
        (ONE.replace("sha256", "sha"), 3, "'sha' is not known here"),
        (ONE.replace('scopes = ["read"]\n', ""), 1, "the key has no scopes"),
        (ONE.replace('"one"', '""'), 2, "name: expected 1 to 64"),
        (ONE.replace('"one"', '"a b"'), 2, "name: expected 1 to 64"),
        (ONE.replace('"one"', '"a\\nb"'), 2, "name: expected 1 to 64"),
        (ONE.replace('"one"', f'"{LOOPBACK}"'), 2, "name: expected 1 to 64"),
        (ONE.replace('"one"', '"spk_plain-text"'), 2, "name: expected 1 to 64"),
        (f"{ONE}a-secret-key-in-plain-text = 1\n", 5, "what stands here is not known here"),
        (f"a-secret-key-in-plain-text = 1\n{ONE}", 1, "what stands here is not known here"),
        (ONE.replace('"read"', '"secret-key-in-plain-text"'), 4, "what stands here is no scope"),
        (ONE.replace('"one"', "1"), 2, "name: expected 1 to 64"),
        (ONE.replace(DIGEST, "secret-key-in-plain-text"), 3, "sha256: expected the 64 hexadecimal"),
        (ONE.replace(DIGEST, DIGEST[1:]), 3, "sha256: expected the 64 hexadecimal"),
        (ONE.replace(DIGEST, "g" * 64), 3, "sha256: expected the 64 hexadecimal"),
        (ONE.replace(f'"{DIGEST}"', "1"), 3, "sha256: expected the 64 hexadecimal"),
        (ONE.replace(DIGEST, hashlib.sha256(b"").hexdigest()), 3, "the digest of nothing"),
        (ONE.replace('"read"', '"admin"'), 4, "'admin' is no scope; expected some of read, rank"),
        (ONE.replace('"read"', '"READ"'), 4, "'READ' is no scope"),
        (ONE.replace('"read"', "1"), 4, "'1' is no scope"),
        (ONE.replace('"read"', ""), 4, "scopes: expected a list of at least one"),
        (ONE.replace('["read"]', '"read"'), 4, "scopes: expected a list of at least one"),
        (f"{ONE}{ONE.replace(DIGEST, '0' * 64)}", 6, "another key has the name 'one'"),
        (f"{ONE}{ONE.replace('one', 'two')}", 7, "this is the key of 'one' once more"),
        (f"{ONE}{ONE.replace('one', 'two').replace(DIGEST, DIGEST.upper())}", 7, "of 'one' once"),
    ],
)
def test_each_mistake_is_named_with_its_line_and_shows_no_secret(
    text: str, line: int, sentence: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_keys(text, "keys.toml")
    first = str(caught.value).splitlines()[0]
    assert first.startswith(f"keys.toml:{line}: ")
    assert sentence in str(caught.value)
    assert "plain-text" not in str(caught.value)
    assert DIGEST not in str(caught.value)


def test_all_mistakes_are_named_at_once() -> None:
    wrong = ONE.replace('"one"', '""').replace('"read"', '"admin"')
    with pytest.raises(SettingsError) as caught:
        parse_keys(wrong, "keys.toml")
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["2", "4"]


def test_a_key_of_the_setting_does_not_stand_in_the_file_as_well(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(table_of("narrow", MASTER, "read"))
    with pytest.raises(SettingsError, match="the key of 'API_KEYS-1' once more"):
        ApiKeys(Settings(_env_file=None, api_keys=MASTER, api_keys_file=file))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "can't be read"), (b"\xff\xfe", "not UTF-8"), (b"# " * 600_000, "is larger than")],
)
def test_a_file_that_cannot_be_read_is_refused_at_start(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / "keys.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=f"STREAM_PERSONA_API_KEYS_FILE: .*{sentence}"):
        ApiKeys(Settings(_env_file=None, api_keys_file=file))


def test_a_file_that_others_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, reader="read")
    for mode, warned in ((0o600, 0), (0o640, 0), (0o644, 1), (0o660, 2), (0o602, 3)):
        file.chmod(mode)
        ApiKeys(Settings(_env_file=None, api_keys_file=file))
        assert len(caplog.records) == warned, oct(mode)
    assert f"chmod 640 {file}" in caplog.text


# --- another file while the API runs ---


async def status(door: Door, name: str) -> int:
    async with door.client() as client:
        return (await client.get("/v1/personas", headers={"X-API-Key": key_of(name)})).status_code


async def test_keys_come_and_go_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, old="read", stays="read")
    door = Door(api_keys_file=file)
    write_keys(file, new="read", stays="rank")
    assert [await status(door, name) for name in ("old", "new", "stays")] == [200, 401, 200]
    with audited() as lines:
        await door.keys.refresh()
        await door.keys.refresh()
    assert [await status(door, name) for name in ("old", "new", "stays")] == [401, 200, 403]
    (line,) = lines
    assert (line["action"], line["added"], line["removed"], line["altered"]) == (
        "keys", ["new"], ["old"], ["stays"],
    )  # fmt: skip


@pytest.mark.parametrize("broken", [b"", b"[[key]", b"[[key]]\nname = 1\n", b"\xff", None])
async def test_a_broken_file_keeps_the_keys_of_before_and_is_shown_until_it_is_mended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: bytes | None
) -> None:
    caplog.set_level(logging.ERROR)
    file = tmp_path / "keys.toml"
    write_keys(file, old="read")
    good = file.read_bytes()
    door = Door(api_keys_file=file)
    if broken is None:
        file.unlink()
    else:
        file.write_bytes(broken)
    for _ in range(3):
        await door.keys.refresh()
    assert await status(door, "old") == 200
    (trouble,) = door.keys.troubles
    assert str(file) in trouble
    assert len(caplog.records) == 1
    file.write_bytes(good)
    await door.keys.refresh()
    assert (door.keys.troubles, await status(door, "old")) == ([], 200)


async def test_nobody_is_let_in_rather_than_everybody_once_no_key_is_left(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, old="read")
    door = Door(api_keys_file=file)
    file.write_text("")
    await door.keys.refresh()
    async with door.client() as client:
        assert (await client.get("/v1/personas")).status_code == 401


async def test_a_cookie_ends_with_its_key_and_a_stream_may_not_go_on(tmp_path: Path) -> None:
    file, woken = tmp_path / "keys.toml", []
    write_keys(file, old="read", narrowed="read", stays="read")
    door = Door(api_keys_file=file)
    door.keys.changed = lambda: woken.append(1)
    names = ("old", "narrowed", "stays")
    callers = [door.keys.find(key_of(name).encode()) for name in names]
    async with door.client() as client:
        assert (await client.get(f"/?key={key_of('old')}")).status_code == 303
        assert (await client.get("/v1/personas")).status_code == 200
        write_keys(file, narrowed="rank", stays="read", new="read")
        await door.keys.refresh()
        assert (await client.get("/v1/personas")).status_code == 401
    assert woken == [1]
    assert [door.keys.may_go_on(each, "read") for each in callers] == [False, False, True]


# --- the command ---


def test_the_command_makes_a_key_and_the_table_that_lets_it_in(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = Ended(capsys, "keys", "new", "--name", "crm", "--scopes", "read, assign")
    assert not made.code
    (key,) = [line for line in made.err.splitlines() if line.startswith("spk_")]
    (parsed,) = parse_keys(made.out, "keys.toml")
    assert (parsed.name, parsed.scopes) == ("crm", {"read", "assign"})
    assert parsed.digest == hashlib.sha256(key.encode()).digest()
    assert key not in made.out
    assert len(key) > 40


@pytest.mark.parametrize(
    ("name", "scopes", "sentence"),
    [("a b", "read", "name: expected 1 to 64"), ("crm", "admin", "'admin' is no scope"),
     ("crm", "", "scopes: expected"), (LOOPBACK, "read", "name: expected 1 to 64")],
)  # fmt: skip
def test_the_command_refuses_what_the_file_would(
    capsys: pytest.CaptureFixture[str], name: str, scopes: str, sentence: str
) -> None:
    ended = Ended(capsys, "keys", "new", "--name", name, "--scopes", scopes)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert sentence in ended.err


def test_two_keys_are_never_the_same() -> None:
    assert len({make_key("crm", ["read"])[0] for _ in range(100)}) == 100
