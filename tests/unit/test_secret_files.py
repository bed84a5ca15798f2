"""Secrets come from files, and code from no file in the folder."""

import traceback
from pathlib import Path

import pytest

from stream_persona.errors import SettingsError
from stream_persona.settings import load_settings

pytestmark = pytest.mark.usefixtures("empty_place")


@pytest.mark.parametrize("name", ["KAFKA_PASSWORD", "REDIS_URL", "REDIS_PASSWORD"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "the file cannot be read"), (b"", "which is not empty"), (b"\n", "which is not empty"),
     (b"\xff\xfe", "UTF-8"), (b"x" * 70_000, "the secret alone")],
)  # fmt: skip
def test_a_file_without_a_secret_is_refused_and_not_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / "zq"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(f"STREAM_PERSONA_{name}_FILE", str(path))
    with pytest.raises(SettingsError, match=f"STREAM_PERSONA_{name}_FILE: .*{sentence}") as caught:
        load_settings()
    assert "zq" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_secret_that_is_given_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    (tmp_path / "secret").write_text("one")
    monkeypatch.setenv("STREAM_PERSONA_REDIS_PASSWORD_FILE", str(tmp_path / "secret"))
    if where == "environment":
        monkeypatch.setenv("STREAM_PERSONA_REDIS_PASSWORD", "two")
    else:
        (tmp_path / ".env").write_text("STREAM_PERSONA_REDIS_PASSWORD=two")
    with pytest.raises(SettingsError, match=r"_PASSWORD_FILE: \w+_REDIS_PASSWORD is set"):
        load_settings()


@pytest.mark.parametrize("setting", ["MODEL", "CHALLENGERS"])
@pytest.mark.parametrize(
    ("value", "is_taken"),
    [("river.naive_bayes:MultinomialNB", True), ("river.tree:ExtraTree(tau=0.1)", True),
     ("theirs:Model", False), ("river.naive_bayes:GaussianNB,theirs:Model", False),
     ("riverside:Model", False), ("${OTHER}:Model", False), ("${WHOLE}", False),
     ("river.tree:ExtraTree,${WHOLE}", False), ("${UNSET:-theirs:Model}", False)],
)  # fmt: skip
def test_a_file_in_the_folder_names_no_code_but_rivers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, value: str, is_taken: bool
) -> None:
    others = "OTHER=theirs\nWHOLE=theirs:Model\n"
    (tmp_path / ".env").write_text(f'{others}stream_persona_{setting.lower()}="{value}"')
    if is_taken:
        assert getattr(load_settings(), setting.lower()) == value
        return
    with pytest.raises(SettingsError, match=f"{setting}: a .env file may name River"):
        load_settings()
    monkeypatch.setenv(f"STREAM_PERSONA_{setting}", "mine:Model")
    assert getattr(load_settings(), setting.lower()) == "mine:Model"
