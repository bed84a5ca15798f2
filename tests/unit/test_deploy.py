"""The files that operators start from, checked as far as that goes without a container engine."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from stream_persona.api.bounds import MOST_CONNECTIONS, Bounds
from stream_persona.domain import taxonomy
from stream_persona.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = ("worker", "api")
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions(name: str) -> list[str]:
    """Return what follows each ``name`` in the Dockerfile, continued lines joined."""
    text = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} (.+)$", text, flags=re.MULTILINE)


def settings_of(service: str) -> dict[str, str]:
    """Return a service's environment as settings fields and their values."""
    environment = SERVICES[service]["environment"]
    return {name.removeprefix("STREAM_PERSONA_").lower(): environment[name] for name in environment}


def default_of(text: str) -> str:
    """Return a value as Compose reads it when no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def lines(name: str) -> list[str]:
    """Read the lines of a file of the repository."""
    return (ROOT / name).read_text().splitlines()


def name_of(requirement: str) -> str:
    """Return the distribution that a requirement names."""
    return re.split(r"[^\w.-]", requirement)[0].replace("_", "-").lower()


def test_a_deployment_is_a_broker_a_redis_a_worker_and_an_api() -> None:
    assert set(SERVICES) == {"kafka", "redis", *OURS}


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_health_checked_restarted_and_given_time_to_stop(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[service]["restart"] == "unless-stopped"
    assert service == "api" or SERVICES[service]["stop_grace_period"] == "60s"


@pytest.mark.parametrize("service", SERVICES)
def test_every_image_is_pinned_to_a_full_version(service: str) -> None:
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*", default_of(SERVICES[service]["image"]))


@pytest.mark.parametrize("service", sorted(set(SERVICES) - set(OURS)))
def test_an_image_of_others_can_be_replaced_by_its_digest(service: str) -> None:
    assert SERVICES[service]["image"].startswith(f"${{{service.upper()}_IMAGE:-")


def test_the_base_images_of_the_dockerfile_are_pinned_and_the_same() -> None:
    assert {line.split()[0] for line in instructions("FROM")} == {"${PYTHON_IMAGE}"}
    (default,) = instructions("ARG")
    name, _, image = default.partition("=")
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", image)
    for service in OURS:
        given = SERVICES[service]["build"]["args"][name]
        assert given == f"${{PYTHON_IMAGE:-{image}}}"


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_can_write_to_its_volumes_and_to_memory_alone(service: str) -> None:
    values = SERVICES[service]
    assert values["read_only"] is True
    assert values["cap_drop"] == ["ALL"]
    assert values["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "devices", "pid", "network_mode"} & set(values)
    assert all(re.search(r":size=\d+m\b", mounted) for mounted in values["tmpfs"])
    assert "/tmp" in {mounted.split(":")[0] for mounted in values["tmpfs"]}


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_does_not_run_as_root_and_has_its_share_of_the_machine(service: str) -> None:
    values = SERVICES[service]
    assert values["user"] not in {"", "0", "root"}
    assert 0 < values["pids_limit"] <= 1_024
    assert re.fullmatch(r"[12]g", values["mem_limit"])
    assert 0 < float(values["cpus"]) <= 1, "Docker refuses more than the machine has"


def test_our_containers_run_as_the_user_of_the_image() -> None:
    assert {SERVICES[service]["user"] for service in OURS} == set(instructions("USER"))


def test_the_api_may_open_as_many_files_as_give_it_the_most_connections() -> None:
    files = SERVICES["api"]["ulimits"]["nofile"]
    assert Bounds.of(files).connections == MOST_CONNECTIONS


def test_redis_is_full_before_its_container_is() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--maxmemory") + 1] == "1gb"
    assert SERVICES["redis"]["mem_limit"] == "2g"


def test_our_image_carries_the_version_of_the_package() -> None:
    assert {SERVICES[service]["image"] for service in OURS} == {
        f"{PROJECT['name']}:{PROJECT['version']}"
    }


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_published_on_this_machine_alone(service: str) -> None:
    ports = SERVICES[service].get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_workers_scale_because_they_publish_no_port_and_have_no_fixed_name() -> None:
    assert not {"ports", "container_name"} & set(SERVICES["worker"])


def test_volumes_in_use_are_declared_and_declared_ones_are_used() -> None:
    sources = {volume.split(":")[0] for name in SERVICES for volume in SERVICES[name]["volumes"]}
    assert {source for source in sources if not source.startswith(("$", "."))} == set(
        COMPOSE["volumes"]
    )


@pytest.mark.parametrize("service", OURS)
def test_services_wait_for_a_healthy_broker_and_redis(service: str) -> None:
    assert SERVICES[service]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in ("kafka", "redis")
    }


@pytest.mark.parametrize("service", OURS)
def test_every_variable_of_a_service_is_a_setting_with_a_value_that_it_takes(service: str) -> None:
    values = settings_of(service)
    assert set(values) <= set(Settings.model_fields)
    assert Settings(_env_file=None, **values).brokers == values["brokers"]


def test_the_api_is_not_started_without_keys_of_the_operators_own() -> None:
    assert settings_of("api")["api_host"] == "0.0.0.0"
    assert re.fullmatch(r"\$\{STREAM_PERSONA_API_KEYS:\?[^}]+\}", settings_of("api")["api_keys"])
    assert "api_keys" not in settings_of("worker")


@pytest.mark.parametrize("service", OURS)
def test_every_value_in_an_environment_is_text(service: str) -> None:
    assert all(isinstance(value, str) for value in SERVICES[service]["environment"].values())


def test_worker_and_api_share_their_settings() -> None:
    worker, api = (settings_of(service) for service in OURS)
    assert all(worker[name] == api[name] for name in worker.keys() & api.keys())
    assert {"brokers", "redis_url", "taxonomy"} <= worker.keys() & api.keys()


@pytest.mark.parametrize("service", OURS)
def test_brokers_and_redis_are_services_of_the_file(service: str) -> None:
    values = settings_of(service)
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"//{values['brokers']}" in listeners
    assert values["redis_url"].startswith("redis://redis:6379/")


@pytest.mark.parametrize("service", OURS)
def test_the_taxonomy_that_is_mounted_by_default_is_sound(service: str) -> None:
    source, target, mode = default_of(SERVICES[service]["volumes"][0]).split(":")
    assert (target, mode) == (settings_of(service)["taxonomy"], "ro")
    assert taxonomy.load(ROOT / source).names


def test_health_checks_ask_the_ports_that_are_set() -> None:
    for service, setting, path in (
        ("worker", "metrics_port", "/metrics"),
        ("api", "api_port", "/readyz"),
    ):
        port = settings_of(service)[setting]
        probe = SERVICES[service]["healthcheck"]["test"][-1]
        assert f"http://127.0.0.1:{port}{path}" in probe
        compile(probe, service, "exec")


def test_the_broker_creates_no_topic_by_accident_and_its_partitions_are_ours() -> None:
    environment = SERVICES["kafka"]["environment"]
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert environment["KAFKA_NUM_PARTITIONS"] == settings_of("worker")["partitions"]
    assert f"{environment['KAFKA_LOG_DIRS']}" in SERVICES["kafka"]["volumes"][0]


def test_redis_appends_every_write_to_its_file_and_evicts_nothing() -> None:
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options == {
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--maxmemory-policy": "noeviction",
        "--maxmemory": "1gb",
    }


@pytest.mark.parametrize("service", OURS)
def test_a_service_runs_a_console_script_of_the_project(service: str) -> None:
    script, command = SERVICES[service]["command"]
    assert script in PROJECT["scripts"]
    assert command == service


def test_the_image_runs_a_console_script_of_the_project_as_an_unprivileged_user() -> None:
    (command,) = instructions("CMD")
    assert yaml.safe_load(command)[0] in PROJECT["scripts"]
    assert int(instructions("USER")[-1]) > 0
    assert not instructions("ENTRYPOINT")


def test_the_image_installs_locked_versions_and_the_extra_of_the_api_alone() -> None:
    (install,) = (line for line in instructions("RUN") if "pip install" in line)
    arguments = shlex.split(install)
    assert arguments[arguments.index("--constraint") + 1] == "requirements.lock"
    assert arguments[-1] == ".[api]"


def test_files_that_the_image_copies_exist_and_are_not_ignored() -> None:
    copied = [line.split() for line in instructions("COPY") if not line.startswith("--from")]
    sources = {source for *names, _ in copied for source in names}
    kept = {line[1:] for line in lines(".dockerignore") if line.startswith("!")}
    assert sources == kept
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_copies_all_that_the_build_reads() -> None:
    copied = " ".join(instructions("COPY"))
    assert all(name in copied for name in (PROJECT["readme"], *PROJECT["license-files"]))


def test_every_direct_dependency_is_locked() -> None:
    locked = {name_of(line) for line in lines("requirements.lock") if "==" in line}
    wanted = {
        name_of(requirement)
        for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
        for requirement in group
    }
    assert wanted - locked == {"stream-persona"}


def test_the_lock_names_versions_and_no_place() -> None:
    pins = [line for line in lines("requirements.lock") if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!]+", pin) for pin in pins)
