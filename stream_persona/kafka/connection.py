"""How every client of the product connects to Kafka, and what it means when brokers refuse that.

``connection_options`` makes the options of aiokafka's consumers, producers and admin clients from
the settings, and Faust's credentials are made of them; no other module names brokers to a client.

aiokafka logs why it could not connect, and raises that it could not. So ``start_client`` connects
once by itself before a client does: a refused login or certificate is an error of its own, at once.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiokafka import errors as kafka
from aiokafka.client import collect_hosts
from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from stream_persona.connection_settings import OAUTH
from stream_persona.errors import SettingsError, TopologyError
from stream_persona.kafka.tokens import RefusedTokenError, TokenError, TokenProvider
from stream_persona.setting_forms import name_variable
from stream_persona.tls_files import WRONG_NAME_CODES, make_context

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

    from stream_persona.settings import Settings

#: Seconds that one broker may take when it is asked why it cannot be reached.
_PATIENCE: Final = 5.0
#: Of TLS: what servers answer whose clients have to show a certificate, or another one.
_OURS_REFUSED: Final = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA",
    "CERTIFICATE_UNKNOWN", "CERTIFICATE_EXPIRED", "UNSUPPORTED_CERTIFICATE", "ACCESS_DENIED",
)  # fmt: skip
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")


class _Client(Protocol):
    """What every client of aiokafka has."""

    async def start(self) -> None: ...


def connection_options(settings: Settings, broker: str | None = None) -> dict[str, Any]:
    """Return the options with which aiokafka's clients connect as the settings say.

    ``broker`` is one of them that is to be used alone.

    Raises:
        SettingsError: a certificate is gone, or not what it was at the start.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": broker or settings.brokers,
        "security_protocol": settings.kafka_security,
    }
    if settings.has_kafka_tls:
        options["ssl_context"] = _make_tls(settings)
    if settings.has_kafka_login:
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        if settings.kafka_sasl_mechanism == OAUTH:
            options["sasl_oauth_token_provider"] = _find_provider(settings)
        else:
            options["sasl_plain_username"] = settings.kafka_username
            options["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return options


def _make_tls(settings: Settings) -> ssl.SSLContext:
    try:
        return make_context(settings.kafka_files)
    except OSError as error:  # which ssl.SSLError is, too
        raise SettingsError(
            f"{name_variable('kafka_ca_file')}, _CERT_FILE, _KEY_FILE: a file is not any more "
            "what it "
            f"was at the start ({error.strerror or type(error).__name__}); put it back"
        ) from None


@lru_cache(maxsize=8)
def _make_provider(
    url: str, user: str, password: SecretStr, scope: str, authorities: Path | None
) -> TokenProvider:
    return TokenProvider(url, user, password, scope, authorities)


def _find_provider(settings: Settings) -> TokenProvider:
    """Return the one provider of a process for a login: its clients share a token."""
    return _make_provider(
        settings.kafka_token_url, settings.kafka_username, settings.kafka_password,
        settings.kafka_token_scope, settings.kafka_ca_file,
    )  # fmt: skip


async def start_client(client: _Client, settings: Settings) -> None:
    """Start a client; what fails is raised as it is, and left to be closed.

    Raises:
        TopologyError: the brokers refuse the login or a certificate, or have a wrong one.
        TokenError: there is no token to log in with just now.
    """
    if settings.kafka_security != "PLAINTEXT" and (refusal := await find_refusal(settings)):
        raise refusal
    await client.start()


async def find_refusal(settings: Settings) -> TopologyError | TokenError | None:
    """Find out whether brokers refuse to let us in; None where one does, or none answers.

    A lack of a token is none of the brokers' doing, and passes.

    All are asked at a time, over connections of their own.
    """
    hosts = [(host, port) for host, port, _ in collect_hosts(settings.brokers)]
    asking = [_connect_to(settings, host, port) for host, port in hosts]
    found = await asyncio.gather(*asking, return_exceptions=True)
    if any(error is None for error in found):
        return None
    refused = [
        explain_connecting(settings, f"{host}:{port}", error)
        for (host, port), error in zip(hosts, found, strict=True)
        if isinstance(error, Exception)
    ]
    if refusal := next(filter(None, refused), None):
        return refusal
    return next((error for error in found if isinstance(error, TokenError)), None)


async def _connect_to(settings: Settings, host: str, port: int) -> None:
    options = connection_options(settings)
    del options["bootstrap_servers"]
    async with asyncio.timeout(_PATIENCE):
        connection = await create_conn(
            host, port, request_timeout_ms=round(1_000 * _PATIENCE), **options
        )
        try:
            # A token that is refused is answered like one that is taken, but nothing after it is.
            if (
                settings.has_kafka_login
                and not (await connection.send(MetadataRequest([]))).brokers
            ):
                raise kafka.SaslAuthenticationFailed
        finally:
            connection.close()


def explain_connecting(
    settings: Settings, broker: str, error: BaseException
) -> TopologyError | None:
    """Return our error for one of connecting that no waiting will change; None for others."""
    if isinstance(error, RefusedTokenError):
        return TopologyError(error.args[0])
    if isinstance(error, kafka.SaslAuthenticationFailed):
        names = f"{name_variable('kafka_username')}, {name_variable('kafka_password')}"
        refused = f"the broker {broker} refuses the login of {describe_login(settings)}"
        return TopologyError(f"{names}: {refused}; correct one of them, or add it at the broker")
    if isinstance(error, kafka.UnsupportedSaslMechanismError | kafka.IllegalSaslStateError):
        return TopologyError(
            f"{name_variable('kafka_sasl_mechanism')}: the broker {broker} does not take "
            f"{settings.kafka_sasl_mechanism}; name one that it has"
        )
    cause = error.__cause__ or error
    return _explain_tls(broker, cause) if isinstance(cause, ssl.SSLError) else None


def _explain_tls(broker: str, error: ssl.SSLError) -> TopologyError | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(broker, error)
    reason = error.reason or ""
    if any(part in reason for part in _NO_TLS):
        return TopologyError(
            f"{name_variable('kafka_security')}: what answers at {broker} has no TLS; name the "
            "port "
            "that does, or another value"
        )
    if any(part in reason for part in _OURS_REFUSED):
        return TopologyError(
            f"{name_variable('kafka_cert_file')}: the broker {broker} wants a certificate of us "
            "that it "
            f"trusts ({reason.lower().replace('_', ' ')})"
        )
    return None


def _explain_certificate(broker: str, error: ssl.SSLCertVerificationError) -> TopologyError:
    if error.verify_code in WRONG_NAME_CODES:
        return TopologyError(
            f"{name_variable('brokers')}: the certificate of {broker} is for another name; "
            "name the "
            "broker as its certificate does, in advertised.listeners too"
        )
    return TopologyError(
        f"{name_variable('kafka_ca_file')}: the certificate of {broker} cannot be verified "
        f"({error.verify_message}); name the file of the authority that it comes from"
    )


def describe_login(settings: Settings) -> str:
    """Return our principal at Kafka, as its ACLs name it, where that is known here."""
    if settings.has_kafka_login and settings.kafka_sasl_mechanism != OAUTH:
        return f"User:{settings.kafka_username}"
    if settings.has_kafka_login:
        return f"the client {settings.kafka_username}"
    if settings.kafka_cert_file is not None:
        return "the subject of our certificate"
    return "User:ANONYMOUS"
