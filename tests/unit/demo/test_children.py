"""The environment of the demo's processes."""

import pytest

from stream_persona.demo.children import make_environment
from stream_persona.domain.taxonomy import find_shipped_path
from stream_persona.settings import load_settings


def test_a_process_gets_every_setting_over_the_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STREAM_PERSONA_GROUP", "another")
    given = load_settings(
        brokers="b:1",
        group="demo",
        taxonomy=find_shipped_path("complete-journey"),
        declare_topics=False,
    )
    for name, value in make_environment(given).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == given
