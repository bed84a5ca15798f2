from pathlib import Path

import pytest
from pydantic import ValidationError

from stream_persona.errors import SettingsError
from stream_persona.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without ``.env`` and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STREAM_PERSONA_{name.upper()}", raising=False)


def test_defaults_need_nothing() -> None:
    settings = load_settings()
    assert settings.brokers == "localhost:9092"
    assert settings.taxonomy is None


def test_every_field_is_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_PERSONA_BROKERS", "a:1,b:2")
    monkeypatch.setenv("STREAM_PERSONA_TAXONOMY", "shop.toml")
    monkeypatch.setenv("STREAM_PERSONA_API_PORT", "0")
    settings = load_settings()
    assert (settings.brokers, settings.taxonomy) == ("a:1,b:2", Path("shop.toml"))
    assert settings.api_port == 0


def test_a_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = ["STREAM_PERSONA_GROUP=file", "STREAM_PERSONA_PREFIX=one:", "OTHER=1"]
    (tmp_path / ".env").write_text("\n".join(lines))
    monkeypatch.setenv("STREAM_PERSONA_PREFIX", "two:")
    assert (load_settings().group, load_settings().prefix) == ("file", "two:")


def test_overrides_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_PERSONA_GROUP", "environment")
    assert load_settings(group="mine").group == "mine"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PARTITIONS", "0"), ("PARTITIONS", "many"), ("API_PORT", "65536"),
     ("SESSION_TIMEOUT", "0"), ("DECLARE_TOPICS", "perhaps"), ("RETRY_SECONDS", "-1")],
)  # fmt: skip
def test_a_wrong_variable_is_named_with_what_it_was(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"STREAM_PERSONA_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert f"STREAM_PERSONA_{name}: " in str(caught.value)
    assert repr(value) in str(caught.value)
    assert caught.value.exit_code == 2


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_PERSONA_PARTITIONS", "0")
    monkeypatch.setenv("STREAM_PERSONA_REPLICATION", "0")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert len(str(caught.value).splitlines()) == 2


def test_keys_and_origins_are_lists_and_a_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_PERSONA_API_KEYS", "first-key-of-a-shop, second-key-of-a-shop,,")
    monkeypatch.setenv("STREAM_PERSONA_API_CORS_ORIGINS", "https://shop.example,http://[::1]:8080")
    settings = load_settings()
    assert settings.keys == ("first-key-of-a-shop", "second-key-of-a-shop")
    assert settings.origins == ("https://shop.example", "http://[::1]:8080")
    assert "second-key" not in repr(settings)
    assert load_settings(api_keys=" , ").keys == ()


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "https://a,b"])
def test_an_origin_with_a_path_or_without_a_scheme_is_refused(origin: str) -> None:
    with pytest.raises(SettingsError, match=r"API_CORS_ORIGINS: .*expected origins such as"):
        load_settings(api_cors_origins=origin)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        load_settings().group = "other"


def test_topics_come_in_the_order_of_the_kinds() -> None:
    assert load_settings(topic_browses="looks").input_topics == (
        "purchases", "looks", "engagements", "persona-assignments", "customer-deletions",
    )  # fmt: skip


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())
