"""The secured profile, checked as far as that goes without a container engine."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_persona.settings import Settings
from tests.support.rights import kafka_rights, processes, redis_rules
from tests.support.waiting import patience

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "secured"
SERVICES: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
PLAIN: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = ("worker-secured", "api-secured")
DEFAULTS = Settings(_env_file=None)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script makes."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("secured")
    for _ in range(2):  # what is there is kept
        subprocess.run(["sh", FOLDER / "prepare.sh", folder], check=True, timeout=patience(60))
    return folder


def granted(folder: Path) -> set[tuple[str, ...]]:
    """The rights that the script gives, with who gets them: its tools are stand-ins that print."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("kafka-acls.sh", "kafka-configs.sh"):
        (tools / name).write_text('#!/bin/sh\necho "$@"\n')
        (tools / name).chmod(0o755)
    script = (FOLDER / "grant.sh").read_text().replace("/opt/kafka/bin", str(tools))
    run = subprocess.run(
        ["sh", "-c", script, "sh", "broker:1", folder], capture_output=True, text=True, check=True
    )
    found = set()
    for line in run.stdout.splitlines():
        if "--add " in line:
            user = re.findall(r"--allow-principal User:(\S+)", line)[0]
            option, name = re.findall(r"--(topic|group|transactional-id) (\S+)", line)[0]
            star = "*" if "--resource-pattern-type prefixed" in line else ""
            for operation in re.findall(r"--operation (\S+)", line):
                found.add((user, option.replace("-", " "), name + star, operation))
    return found


def test_the_profile_is_a_part_of_the_deployments_file_and_starts_with_it_alone() -> None:
    assert PLAIN["include"] == ["deploy/secured/compose.yaml"]
    assert all(service["profiles"] == ["secured"] for service in SERVICES.values())
    assert not SERVICES.keys() & PLAIN["services"].keys()


def test_images_are_those_of_the_plain_deployment() -> None:
    plain = {service["image"] for service in PLAIN["services"].values()}
    assert {service["image"] for service in SERVICES.values()} == plain


@pytest.mark.parametrize("service", ["kafka-secured", "redis-secured", *OURS])
def test_a_container_that_stays_is_confined_as_the_plain_one(service: str) -> None:
    same = ("read_only", "tmpfs", "cap_drop", "security_opt", "pids_limit", "mem_limit", "cpus")
    plain = PLAIN["services"][service.removesuffix("-secured")]
    assert {name: SERVICES[service][name] for name in same} == {name: plain[name] for name in same}
    assert SERVICES[service]["user"] not in {"", "0", "root"}


@pytest.mark.long
def test_the_rights_that_the_script_gives_are_those_of_the_table(prepared: Path) -> None:
    wanted = {
        (user, *right)
        for user, names in {
            "worker": ("worker", "worker that creates topics"),
            "api": ("api",),
        }.items()
        for name in names
        for right in kafka_rights(name, DEFAULTS)
    }
    assert granted(prepared) == wanted


@pytest.mark.long
def test_the_users_of_redis_have_the_rules_of_the_table_and_passwords(prepared: Path) -> None:
    default, *users = (prepared / "redis" / "users.acl").read_text().splitlines()
    assert default == "user default off"
    for line in users:
        _, name, state, password, *rules = line.split()
        assert (state, password) == (
            "on",
            f">{(prepared / 'passwords' / name).read_text().strip()}",
        )
        assert sorted(rules) == sorted(redis_rules(name, DEFAULTS))


@pytest.mark.parametrize("service", OURS)
@pytest.mark.long
def test_a_service_takes_its_settings_and_reads_its_own_password(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    user = service.removesuffix("-secured")
    for name, value in SERVICES[service]["environment"].items():
        monkeypatch.setenv(name, str(value).replace("/secured", str(prepared)))
    settings = Settings(_env_file=None, api_keys="a-key-that-is-long-enough")
    password = (prepared / "passwords" / user).read_text().strip()
    assert settings.kafka_password.get_secret_value() == password
    assert f"://{user}:{password}@redis-secured:6380" in settings.redis_address
    listeners = SERVICES["kafka-secured"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"SECURED://{settings.brokers}," in listeners


@pytest.mark.parametrize("server", ["kafka", "redis"])
@pytest.mark.long
def test_certificates_are_for_the_names_of_the_services(prepared: Path, server: str) -> None:
    verify = ["openssl", "verify", "-CAfile", prepared / "authority.pem", "-verify_hostname"]
    certificate = prepared / server / "server.crt"
    subprocess.run([*verify, f"{server}-secured", certificate], check=True, capture_output=True)
    wrong = subprocess.run([*verify, "other", certificate], check=False, capture_output=True)
    assert wrong.returncode


@pytest.mark.long
def test_private_files_are_their_owners_alone(prepared: Path) -> None:
    private = [
        path for path in prepared.rglob("*") if path.is_file() and path.name != "authority.pem"
    ]
    private = [path for path in private if path.parent.name != "tools"]
    assert len(private) > 6
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)
    assert not (prepared / "authority.key").exists()


def test_every_listener_of_the_broker_that_others_reach_takes_a_login_over_tls() -> None:
    environment = SERVICES["kafka-secured"]["environment"]
    protocols = dict(
        pair.split(":") for pair in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    for listener in environment["KAFKA_LISTENERS"].split(","):
        name, _, address = listener.partition("://")
        assert protocols[name] == "SASL_SSL" or address.startswith("127.0.0.1:")
    assert environment["KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND"] == "false"
    command = SERVICES["redis-secured"]["command"]
    assert command[command.index("--port") + 1] == "0"


def test_the_tables_name_every_process() -> None:
    assert {
        "worker", "api", "replay", "rebuild", "inspect", "assign", "delete", "watch", "producers",
        "ranking service",
    } <= processes()  # fmt: skip
