"""A Kafka with SASL_SSL and ACLs, and a Redis with TLS and an ACL file, both real.

Each lets in only who it knows, and lets them do only what was granted; everything else is refused.
The Kafka has a listener without a login as well, whose clients may do anything: for the tests.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from redis import Redis
from redis.exceptions import RedisError

from stream_persona.demo.embedded import find_free_port
from tests.support.kafka_node import RealKafka
from tests.support.waiting import wait_until

#: The only name in the servers' certificates, unless a test names others.
HOST: Final = "localhost"
PASSWORD: Final = "p@ss/w#rd? %41"

_PROPERTIES = r"""
listeners=PLAINTEXT://127.0.0.1:{port},SECURED://127.0.0.1:{proxied},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURED://localhost:{proxied}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL,CONTROLLER:PLAINTEXT
listener.name.secured.sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER
listener.name.secured.scram-sha-512.sasl.jaas.config=\
 org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.scram-sha-256.sasl.jaas.config=\
 org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.plain.sasl.jaas.config=\
 org.apache.kafka.common.security.plain.PlainLoginModule required user_plain="plain-secret";
listener.name.secured.oauthbearer.sasl.jaas.config=\
 org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
 unsecuredLoginStringClaim_sub="broker";
ssl.keystore.type=PEM
ssl.keystore.location={directory}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={directory}/authority.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
connection.failed.authentication.delay.ms=0
"""


class Right(NamedTuple):
    """A row of the table of Kafka's rights, for one name and one operation."""

    resource: str
    name: str
    operation: str


class Authority:
    """An authority made for a test, and the files of its certificates in a folder."""

    def __init__(self, folder: Path, *names: str) -> None:
        self._authority = trustme.CA()
        server = self._authority.issue_cert(*(names or (HOST,)))
        self.ca, self.certificate, self.key = (
            folder / name for name in ("authority.pem", "server.crt", "server.key")
        )
        self.ca.write_bytes(self._authority.cert_pem.bytes())
        chain = b"".join(blob.bytes() for blob in server.cert_chain_pems)
        self.certificate.write_bytes(chain)
        key = load_pem_private_key(server.private_key_pem.bytes(), None)
        # Kafka reads no other form.
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


class SecuredKafka:
    """``brokers`` take a login by SCRAM over TLS; ``open_brokers`` are the tests' own way in."""

    kind: Literal["kafka"] = "kafka"

    def __init__(self, authority: Authority) -> None:
        pem = authority.key.read_bytes() + authority.certificate.read_bytes()
        files = {"server.pem": pem, "authority.pem": authority.ca.read_bytes()}
        self._server = RealKafka(files, _PROPERTIES)
        self.open_brokers = self._server.brokers
        self.brokers = f"{HOST}:{self._server.proxied}"
        self.port = self._server.proxied
        self.log = self._server.log

    def wait_until_ready(self) -> None:
        self._server.wait_until_ready()
        self.admin = AdminClient({"bootstrap.servers": self.open_brokers})

    def add_user(self, name: str, password: str = PASSWORD) -> None:
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            change = UserScramCredentialUpsertion(
                name, ScramCredentialInfo(mechanism, 4096), password.encode()
            )
            for done in self.admin.alter_user_scram_credentials([change]).values():
                done.result(30)

    def grant(self, user: str, rights: Collection[Right]) -> None:
        bindings = [_bind(user, right) for right in rights]
        for done in self.admin.create_acls(bindings).values() if bindings else ():
            done.result(30)

    def revoke(self, user: str, right: Right | None = None) -> None:
        """Take a right from a user, or all."""
        resource, name, operation = right or (None, None, None)
        found = AclBindingFilter(
            ResourceType[_RESOURCES[resource]] if resource else ResourceType.ANY,
            name.rstrip("*") if name else None,
            ResourcePatternType.ANY,
            f"User:{user}",
            None,
            AclOperation[_words(operation)] if operation else AclOperation.ANY,
            AclPermissionType.ANY,
        )
        for done in self.admin.delete_acls([found]).values():
            done.result(30)

    def close(self) -> None:
        self._server.close()


_RESOURCES: Final = {
    "topic": "TOPIC", "group": "GROUP", "transactional id": "TRANSACTIONAL_ID", "cluster": "BROKER"
}  # fmt: skip


def _words(operation: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()


def _bind(user: str, right: Right) -> AclBinding:
    prefixed = right.name.endswith("*")
    return AclBinding(
        ResourceType[_RESOURCES[right.resource]],
        right.name.rstrip("*"),
        ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[_words(right.operation)],
        AclPermissionType.ALLOW,
    )


class SecuredRedis:
    """Takes TLS alone, and no user but those of its ACL."""

    def __init__(self, authority: Authority, options: Collection[str] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="stream-persona-redis-")
        acl = Path(self._folder.name, "users.acl")
        acl.write_text("user default off\nuser root on >root +@all ~* &*\n")
        self.port = find_free_port()
        self.log = Path(self._folder.name, "server.log")
        command = [
            shutil.which("redis-server") or "redis-server", "--bind", "127.0.0.1", "--save", "",
            "--port", "0", "--tls-port", str(self.port),
            "--tls-cert-file", str(authority.certificate), "--tls-key-file", str(authority.key),
            "--tls-ca-cert-file", str(authority.ca), "--tls-auth-clients", "no",
            "--aclfile", str(acl), "--appendonly", "yes", *options,
        ]  # fmt: skip
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder.name, stdout=log, stderr=subprocess.STDOUT
            )
        self.admin = Redis(
            host=HOST, port=self.port, username="root", password="root", ssl=True,
            ssl_ca_certs=str(authority.ca),
        )  # fmt: skip
        wait_until(self._answers, 20, "Redis did not start")

    def url(self, user: str = "") -> str:
        return f"rediss://{user}@{HOST}:{self.port}/0" if user else f"rediss://{HOST}:{self.port}/0"

    def set_user(self, name: str, rules: Collection[str], password: str = PASSWORD) -> None:
        self.admin.execute_command("ACL", "SETUSER", name, "reset", "on", f">{password}", *rules)

    def refused(self) -> list[dict[str, object]]:
        """What was refused for want of a right since the last call."""
        found = self.admin.acl_log()
        self.admin.acl_log_reset()
        return found

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"Redis ended at start:\n{self.log.read_text()[-2000:]}")
        try:
            return bool(self.admin.ping())
        except RedisError:
            return False

    def close(self) -> None:
        self.admin.close()
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


@contextmanager
def secured_servers(folder: Path) -> Iterator[tuple[Authority, SecuredKafka, SecuredRedis]]:
    """Both, ready."""
    authority = Authority(folder)
    kafka = SecuredKafka(authority)
    try:
        redis = SecuredRedis(authority)
        try:
            kafka.wait_until_ready()
            yield authority, kafka, redis
        finally:
            redis.close()
    finally:
        kafka.close()
