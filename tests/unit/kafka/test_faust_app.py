"""Faust takes the options of the batched transport, and a crash ends the process."""

from pathlib import Path
from typing import Any

import faust
import pytest
from yarl import URL

from stream_persona.errors import SettingsError
from stream_persona.kafka import faust_app
from stream_persona.kafka.faust_app import BatchApp, make_faust_options, parse_brokers
from stream_persona.kafka.transport import Transport
from stream_persona.settings import Settings


def test_brokers_become_addresses_of_this_transport() -> None:
    assert parse_brokers("a:9092, b:9093,[::1]:9094") == [
        URL("batched://a:9092"),
        URL("batched://b:9093"),
        URL("batched://[::1]:9094"),
    ]


@pytest.mark.parametrize("brokers", ["", "a:9092,", "a:port", "kafka://a:9092", "a:9092/b"])
def test_brokers_that_cannot_be_read_are_refused(brokers: str) -> None:
    with pytest.raises(SettingsError, match="STREAM_PERSONA_BROKERS"):
        parse_brokers(brokers)


def test_faust_takes_the_options_and_finds_the_transport_by_its_scheme() -> None:
    settings = Settings(_env_file=None, brokers="a:9092,b:9093")
    app = faust.App(**make_faust_options(settings))
    assert type(app.transport) is Transport
    assert app.conf.id == settings.group
    assert app.conf.broker_request_timeout > app.conf.broker_rebalance_timeout


def test_a_crash_ends_the_process_once_however_many_services_report_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[float] = []

    class Timer:
        daemon = False

        def __init__(self, seconds: float, _: Any) -> None:
            self._seconds = seconds

        def start(self) -> None:
            begun.append(self._seconds)

    monkeypatch.setattr(faust_app.threading, "Timer", Timer)
    app = BatchApp(**make_faust_options(Settings(_env_file=None)))
    first = RuntimeError("first")
    for error in (first, first, RuntimeError("stopping crashes of more")):
        app._crash(error)
    assert begun == [faust_app.CRASH_SECONDS]
    assert app.fault is first


class Unstartable(BatchApp):
    """Finds a wrong setting when it starts."""

    async def on_first_start(self) -> None:
        raise SettingsError("STREAM_PERSONA_METRICS_HOST: can't listen")


async def test_an_error_at_the_start_is_the_fault_that_the_process_ends_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BatchApp, "_end_hard", lambda _: None)
    monkeypatch.setattr(faust_app, "CRASH_SECONDS", 0.0)
    app = Unstartable(**make_faust_options(Settings(_env_file=None)))
    with pytest.raises(SettingsError):
        await app.start()
    assert isinstance(app.fault, SettingsError)


async def test_an_app_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = BatchApp(**make_faust_options(Settings(_env_file=None)))
    app._create_directories()
    assert list(tmp_path.iterdir()) == []
    assert not app.conf.datadir.exists()
