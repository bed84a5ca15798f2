"""Settings of connections: what contradicts itself is refused, and no secret is shown."""

import logging
import os
import traceback
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from stream_persona import secret_files
from stream_persona.cli import services
from stream_persona.client import AsyncPersonaClient
from stream_persona.connection_settings import ConnectionSettings
from stream_persona.errors import SettingsError, TopologyError
from stream_persona.kafka.connection import connection_options
from stream_persona.kafka.faust_app import make_faust_credentials, make_faust_options
from stream_persona.settings import Settings, find_misspelt, load_settings
from stream_persona.store.redis_address import check_address
from stream_persona.store.redis_nodes import Nodes
from stream_persona.store.tables import Keyspace

pytestmark = pytest.mark.usefixtures("empty_place")

SASL = {
    "kafka_security": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "SCRAM-SHA-512",
    "kafka_username": "worker", "kafka_password": "hidden",
}  # fmt: skip
#: What a password may hold; each is a part of no word that a message has.
PASSWORDS = [
    "zq#zq", "zq@zq", "zq%zq", "zq?zq", "zq/zq", "zq zq", "zq:zq", "zq%41zq", "zq&zq", "zq[zq]",
    "zq\\zq", "zq'zq", 'zq"zq', "zqäzq", "#zq", "?zq", "/zq", "zq{zq}",
]  # fmt: skip


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of an authority, a certificate, its key, another key, and none of these."""
    folder = tmp_path_factory.mktemp("pem")
    authority = trustme.CA()
    one, other = authority.issue_cert("one.example"), authority.issue_cert("other.example")
    contents = {
        "ca": authority.cert_pem.bytes(),
        "cert": one.cert_chain_pems[0].bytes(),
        "key": one.private_key_pem.bytes(),
        "other": other.private_key_pem.bytes(),
        "text": b"no certificate",
        "damaged": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "locked": b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def test_options_without_settings_are_plain() -> None:
    settings = load_settings()
    assert connection_options(settings) == {
        "bootstrap_servers": "localhost:9092", "security_protocol": "PLAINTEXT"
    }  # fmt: skip
    assert make_faust_credentials(settings) is None


def test_a_login_goes_to_aiokafka_and_to_faust(pem: dict[str, Path]) -> None:
    settings = load_settings(**SASL | {"kafka_security": "sasl_ssl", "kafka_ca_file": pem["ca"]})
    options = connection_options(settings)
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_plain_password"] == "hidden"
    assert options["ssl_context"].check_hostname
    assert connection_options(settings)["ssl_context"] is options["ssl_context"]
    credentials = make_faust_credentials(settings)
    assert credentials is not None
    assert credentials.protocol.value == "SASL_SSL"
    assert credentials.mechanism.value == "SCRAM-SHA-512"
    assert "hidden" not in repr((settings, credentials, make_faust_options(settings)))


def test_a_certificate_that_was_replaced_is_loaded_again(pem: dict[str, Path]) -> None:
    settings = load_settings(kafka_security="SSL", kafka_ca_file=pem["ca"])
    first = connection_options(settings)["ssl_context"]
    stamp = pem["ca"].stat().st_mtime_ns + 1_000_000_000
    os.utime(pem["ca"], ns=(stamp, stamp))
    assert connection_options(settings)["ssl_context"] is not first


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (SASL | {"kafka_sasl_mechanism": ""}, "_KAFKA_SASL_MECHANISM: set it, as STREAM_PERSONA_"),
        (SASL | {"kafka_username": ""}, "_KAFKA_USERNAME: set it, as"),
        (SASL | {"kafka_password": ""}, "_KAFKA_PASSWORD: set it, as"),
        (SASL | {"kafka_security": "SSL"}, "_KAFKA_SASL_MECHANISM: it has no effect"),
        (SASL | {"kafka_security": "PLAINTEXT"}, "_KAFKA_SASL_MECHANISM: it has no effect"),
        ({"kafka_password": "hidden"}, "_KAFKA_PASSWORD: it has no effect"),
        (SASL | {"kafka_token_url": "https://idp/t"}, "_KAFKA_TOKEN_URL: only the mechanism OAUTH"),
        (SASL | {"kafka_token_scope": "a"}, "_KAFKA_TOKEN_SCOPE: only the mechanism OAUTHBEARER"),
        (SASL | {"kafka_sasl_mechanism": "oauthbearer"}, "_KAFKA_TOKEN_URL: set it, OAUTHBEARER"),
        ({"redis_password": "hidden", "redis_url": "redis://:other@h/0"}, "_REDIS_PASSWORD: the"),
        ({"redis_password": "hidden", "redis_url": "redis://h/0?password=o"}, "_REDIS_PASSWORD: t"),
        ({"redis_password": "hidden", "redis_url": "unix:///s"}, "_REDIS_PASSWORD: write it into"),
    ],
)  # fmt: skip
def test_contradictions_and_gaps_are_refused(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence) as caught:
        load_settings(**given)
    assert "hidden" not in "".join(traceback.format_exception(caught.value))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("server", ["kafka", "redis"])
@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"cert": "cert"}, "_KEY_FILE: set it as well"),
        ({"key": "key"}, "_CERT_FILE: set it as well"),
        ({"ca": "nowhere"}, "_CA_FILE: the file cannot be read"),
        ({"ca": "text"}, "_CA_FILE: expected a PEM file of certificates"),
        ({"ca": "damaged"}, "_CA_FILE: the certificates in it are damaged"),
        ({"cert": "key", "key": "key"}, "_CERT_FILE: expected a PEM file of certificates"),
        ({"cert": "cert", "key": "cert"}, "_KEY_FILE: expected a PEM file of a private key"),
        ({"cert": "cert", "key": "other"}, "_KEY_FILE: it is not the key of"),
        ({"cert": "cert", "key": "locked"}, "_KEY_FILE: the key is encrypted"),
    ],
)
def test_files_that_cannot_be_used_are_refused(
    pem: dict[str, Path], server: str, files: dict[str, str], sentence: str
) -> None:
    named = {f"{server}_{kind}_file": pem.get(name, Path(name)) for kind, name in files.items()}
    tls = {"kafka_security": "SSL"} if server == "kafka" else {"redis_url": "rediss://h/0"}
    with pytest.raises(SettingsError, match=f"STREAM_PERSONA_{server.upper()}{sentence}"):
        load_settings(**tls, **named)


def test_a_key_that_is_pasted_in_place_of_its_file_is_not_shown(pem: dict[str, Path]) -> None:
    key = pem["key"].read_text()
    with pytest.raises(SettingsError) as caught:
        load_settings(kafka_security="SSL", kafka_cert_file=pem["cert"], kafka_key_file=key)
    assert key.split()[4] not in str(caught.value)


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize(
    "form",
    ["redis://user:{}@h:6379/0", "redis://:{}@h:6379/0", "rediss://user:{}@h:port/0", "redis://{}",
     "{}", "redis://h:{}/0", "unix://user:{}@", "redis://h:6379/0?password={}",
     "redis://h:6379/0?password={}&socket_timeout=soon", "redis://h/0?db={}", "http://u:{}@h/0"],
)  # fmt: skip
def test_no_address_of_redis_shows_its_password(password: str, form: str) -> None:
    try:
        settings = load_settings(redis_url=form.format(password))
        assert "zq" not in repr(settings)
        check_address(settings.redis_address)
    except (SettingsError, TopologyError) as error:
        assert "zq" not in "".join(traceback.format_exception(error))  # noqa: PT017


def test_a_password_that_ends_at_its_question_mark_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(redis_url="redis://user:12?zq@h:6379/0")
    assert "percent-encode special characters of a password" in str(caught.value)
    assert "zq" not in str(caught.value)
    load_settings(redis_url="redis://user:12%3Fzq@h:6379/0?socket_timeout=5")


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_of_its_own_needs_no_encoding(password: str) -> None:
    from redis.asyncio.connection import parse_url

    for url in ("redis://h:6379/1", "rediss://user@h:6379/1?socket_timeout=5"):
        settings = load_settings(redis_url=url, redis_password=password)
        check_address(settings.redis_address)
        found = parse_url(settings.redis_address)
        assert (found["password"], found["host"], found["db"]) == (password, "h", 1)


def test_brokers_with_a_login_in_them_do_not_show_it() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(brokers="kafka://user:zq@h:9092")
    assert "zq" not in str(caught.value)


def test_certificates_of_redis_are_in_its_address(pem: dict[str, Path]) -> None:
    settings = load_settings(redis_url="rediss://h/0?socket_timeout=5", redis_ca_file=pem["ca"])
    assert settings.redis_address.startswith("rediss://h/0?socket_timeout=5&ssl_ca_certs=%2F")
    check_address(settings.redis_address)


def test_every_secret_can_be_in_a_file_without_the_end_of_its_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert secret_files.find_secrets(Settings) == [
        "kafka_password", "registry_password", "redis_url", "redis_password", "oidc_client_secret",
    ]  # fmt: skip
    for name, content in {"a": "p w\n", "b": "rediss://u@h/0\r\n", "c": "two\n\n"}.items():
        (tmp_path / name).write_bytes(content.encode())
    for name, value in SASL.items():
        monkeypatch.setenv(f"STREAM_PERSONA_{name.upper()}", value)
    monkeypatch.setenv("STREAM_PERSONA_KAFKA_PASSWORD", "")
    monkeypatch.setenv("STREAM_PERSONA_KAFKA_PASSWORD_FILE", str(tmp_path / "a"))
    monkeypatch.setenv("STREAM_PERSONA_REDIS_URL_FILE", str(tmp_path / "b"))
    (tmp_path / ".env").write_text(f"STREAM_PERSONA_REDIS_PASSWORD_FILE={tmp_path / 'c'}")
    settings = load_settings()
    assert settings.kafka_password == SecretStr("p w")
    assert settings.redis_url == "rediss://u@h/0"
    assert settings.redis_password == SecretStr("two\n")
    assert find_misspelt({"STREAM_PERSONA_KAFKA_PASSWORD_FILE": ""}) == {}


def test_a_process_that_is_started_with_the_variables_has_the_same_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = load_settings(**SASL, redis_password="zq#")
    for name, value in settings.list_variables().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_every_connection_setting_stands_first_and_is_described() -> None:
    names = list(ConnectionSettings.model_fields)
    assert list(Settings.model_fields)[: len(names)] == names


def test_a_log_of_everything_holds_no_request_in_which_a_password_is() -> None:
    before = {name: logging.getLogger(name).level for name in ("", "aiokafka", "aiokafka.conn")}
    handlers = logging.getLogger().handlers[:]
    try:
        services.log_to_stderr("DEBUG")
        assert not logging.getLogger("aiokafka.conn").isEnabledFor(logging.DEBUG)
        assert logging.getLogger("aiokafka.client").isEnabledFor(logging.DEBUG)
    finally:
        logging.getLogger().handlers[:] = handlers
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


async def test_every_connection_to_redis_takes_the_address_with_its_certificates(
    pem: dict[str, Path],
) -> None:
    settings = load_settings(
        redis_url="rediss://worker@h:6380/0", redis_password="zq#", redis_ca_file=pem["ca"]
    )
    cluster = Nodes.connect(settings.redis_address, Keyspace(""))
    client = AsyncPersonaClient(settings.redis_address)
    clustered = AsyncPersonaClient(settings.redis_address, cluster=True)
    for given in (
        cluster._cluster.connection_kwargs,
        client._redis.connection_pool.connection_kwargs,
        clustered._redis.connection_kwargs,
    ):
        assert (given["username"], given["password"]) == ("worker", "zq#")
        assert given["ssl_ca_certs"] == str(pem["ca"])
        assert given.get("ssl_check_hostname", True)
    assert "zq" not in repr((cluster._cluster, client._redis))
    await cluster.close()
    for each in (client, clustered):
        await each.close()
