"""Each process that fits the model begins with one thread of BLAS: all round alike."""

import asyncio
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from stream_persona import api
from stream_persona.cli import main
from stream_persona.store.deployment import Deployment
from stream_persona.worker.app import create_app
from tests.support.deployments import OURS
from tests.support.events import shop
from tests.support.workers import worker_settings

Start = Callable[[], object]


class Started(Exception):  # noqa: N818 - it is no error of the package's
    """A process has come as far as to its first step."""


def stop(*_: object, **__: object) -> NoReturn:
    raise Started


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    with threadpool_limits(2, user_api="blas"):
        yield


def start_worker() -> None:
    settings, taxonomy = worker_settings(), shop()
    app = create_app(settings, taxonomy, Deployment.of(settings, taxonomy, OURS))
    asyncio.run(app.on_first_start())


def run_command(*words: str) -> Start:
    """Return what runs a command, with the error that ends it."""

    def start() -> None:
        main.app(list(words), standalone_mode=False)

    return start


@pytest.mark.parametrize(
    ("start", "first_step"),
    [
        (start_worker, "stream_persona.worker.app.Metrics"),
        (lambda: api.serve(worker_settings(), shop()), "stream_persona.api.server.check_door"),
        (run_command("replay"), "stream_persona.replay.run.preflight.check_redis"),
        (run_command("rebuild"), "stream_persona.replay.rebuild.preflight.check_redis"),
        (run_command("model", "compare"), "stream_persona.cli.model.load_examples"),
    ],
    ids=["worker", "api", "replay", "rebuild", "model compare"],
)
def test_a_process_that_fits_the_model_has_one_thread_of_blas(
    start: Start, first_step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_step, stop)
    with pytest.raises(Started):
        start()
    threads = {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}
    assert threads == {1}
