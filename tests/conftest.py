"""Fixtures that all tests share: a Kafka, a Redis, and settings that disturb no other test."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from xdist.remote import Producer
from xdist.workermanage import WorkerController

from stream_persona.settings import Settings
from stream_persona.store.blas import limit_blas_threads
from tests.support.measurements import Figures
from tests.support.redis_cluster import RedisCluster
from tests.support.scheduling import FileScheduling
from tests.support.servers import (
    Kafka,
    Redis,
    declare_topics,
    settings_for,
    start_cluster,
    topics_of,
)
from tests.support.shared_servers import SharedServers
from tests.support.used_topics import UsedTopics

hypothesis_settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis_settings.register_profile("quick", deadline=None, derandomize=True, max_examples=10)
hypothesis_settings.register_profile("random", deadline=None, print_blob=True)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

SERVERS = pytest.StashKey[SharedServers]()
FOLDER = pytest.StashKey["tempfile.TemporaryDirectory[str]"]()


def pytest_configure(config: pytest.Config) -> None:
    limit_blas_threads()
    # Tests that run in the background of a shell would ignore it, and so would their children.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        config.stash[SERVERS] = SharedServers(Path(config.workerinput["servers"]))
        return
    config.stash[FOLDER] = tempfile.TemporaryDirectory(prefix="stream-persona-tests-")
    config.stash[SERVERS] = SharedServers(Path(config.stash[FOLDER].name))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for kind in {"browser", "integration"} & set(item.path.parts):
            item.add_marker(kind)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that is marked ``on_cluster_too`` on one Redis server and on a Redis Cluster.

    With ``with_faults=True`` the latter takes long, and is run with ``make faults`` alone.
    """
    if mark := metafunc.definition.get_closest_marker("on_cluster_too"):
        marks = [pytest.mark.faults] if mark.kwargs.get("with_faults") else []
        kinds = ["server", pytest.param("cluster", marks=marks)]
        metafunc.parametrize("redis_kind", kinds, indirect=True)


@pytest.hookimpl(tryfirst=True)  # before a process of xdist reports that it has collected
def pytest_collection_finish(session: pytest.Session) -> None:
    """Start what tests will need while those that need nothing run: no test waits for a start."""
    if session.config.option.collectonly:
        return
    servers = session.config.stash[SERVERS]
    servers.request(name for item in session.items for name in getattr(item, "fixturenames", ()))
    if not hasattr(session.config, "workerinput"):
        start(servers)


def start(servers: SharedServers) -> None:
    try:
        servers.start()
    except Exception as error:
        raise pytest.UsageError(f"The servers that tests need did not start: {error}") from error


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: a test with real servers waits for half of its time.

    With ``-n logical`` there are as many as cores.
    """
    return (os.cpu_count() or 1) + (config.option.numprocesses == "auto")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    node.workerinput["servers"] = str(node.config.stash[SERVERS].folder)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: WorkerController) -> None:
    start(node.config.stash[SERVERS])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    return FileScheduling(config, log)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = Figures.of(terminalreporter.getreports("passed"))
    figures.write()
    for line in [*figures.lines(), *config.stash[SERVERS].descriptions()]:
        terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[SERVERS].close()
    if folder := config.stash.get(FOLDER, None):
        folder.cleanup()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Kafka:
    """A broker, ready: ``.brokers``, ``.kind`` ("kafka", "named", "embedded"), ``.description``."""
    return request.config.stash[SERVERS].kafka()


@pytest.fixture
def real_kafka(kafka: Kafka) -> Kafka:
    """A broker that keeps, compacts and creates topics; the test is skipped on an embedded one."""
    if kafka.kind == "embedded":
        pytest.skip("needs a real Kafka")
    return kafka


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> Redis:
    """A Redis server, ready: ``.url``, ``.kind`` ("redis", "cluster", "named", "embedded")."""
    return request.config.stash[SERVERS].redis()


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """A Redis Cluster of three masters, ready: ``.url``, ``.nodes``."""
    with start_cluster() as cluster:
        yield cluster


@pytest.fixture
def redis_kind(request: pytest.FixtureRequest) -> str:
    """Where ``settings`` lead: to the run's "server", or to a "cluster" of the process's own."""
    return getattr(request, "param", "server")


@pytest.fixture(scope="session")
def used_topics(kafka: Kafka) -> UsedTopics:
    return UsedTopics(kafka)


@pytest.fixture
def settings(
    kafka: Kafka,
    redis_server: Redis,
    redis_kind: str,
    used_topics: UsedTopics,
    request: pytest.FixtureRequest,
) -> Iterator[Settings]:
    """Settings with a group, a prefix and topics that only this test has, on the two servers."""
    redis = request.getfixturevalue("redis_cluster") if redis_kind == "cluster" else redis_server
    own = settings_for(kafka, redis.url)
    yield own
    used_topics.delete(own)


@pytest.fixture
async def declared_topics(kafka: Kafka, settings: Settings) -> Settings:
    """The same settings, once all topics that they name exist."""
    await declare_topics(kafka, topics_of(settings), settings.partitions)
    return settings
