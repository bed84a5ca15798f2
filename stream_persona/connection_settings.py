"""The settings of connections: where Kafka and Redis are, and how to log in there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from stream_persona import setting_forms as forms
from stream_persona.secret_files import SECRET, SecretFiles
from stream_persona.tls_files import TlsFiles, check_files

#: The mechanism whose tokens come from a token endpoint; the others prove to know a password.
OAUTH: Final = "OAUTHBEARER"
_Secret = Annotated[forms.Password, SECRET]
_WITHOUT_TLS: Final = "set STREAM_PERSONA_KAFKA_SECURITY to SSL or SASL_SSL"
_WITHOUT_LOGIN: Final = "set STREAM_PERSONA_KAFKA_SECURITY to SASL_SSL or SASL_PLAINTEXT"


class ConnectionSettings(BaseSettings):
    """Addresses, logins and certificates; settings that contradict each other are refused."""

    model_config = SettingsConfigDict(
        env_prefix="STREAM_PERSONA_", extra="ignore", frozen=True,
        hide_input_in_errors=True,  # pydantic's own messages would repeat passwords
    )  # fmt: skip

    brokers: forms.Brokers = Field("localhost:9092", description="Kafka brokers, `host:port,...`")
    kafka_security: forms.Security = Field(
        "PLAINTEXT", description="`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`"
    )
    kafka_sasl_mechanism: forms.Mechanism = Field(
        "", description="`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`"
    )
    kafka_username: forms.Name = Field("", description="login at Kafka; OAUTHBEARER's client id")
    kafka_password: _Secret = Field(
        SecretStr(""), description="its password; OAUTHBEARER's client secret"
    )
    kafka_token_url: forms.TokenUrl = Field(
        "", description="OAUTHBEARER's token endpoint (client credentials), `https://...`"
    )
    kafka_token_scope: forms.Name = Field("", description="scope that its tokens are asked for")
    kafka_ca_file: Path | None = Field(
        None, description="authorities (PEM) of the brokers' certificates; the system's when unset"
    )
    kafka_cert_file: Path | None = Field(
        None, description="certificate (PEM) that we show to brokers"
    )
    kafka_key_file: Path | None = Field(None, description="its key (PEM, not encrypted)")
    registry_username: forms.Text = Field("", description="user of the sources' schema registry")
    registry_password: _Secret = Field(SecretStr(""), description="the user's password")
    redis_url: Annotated[forms.RedisUrl, SECRET] = Field(
        "redis://localhost:6379/0",
        repr=False,
        description="Redis, `redis://host:port/db`; with TLS `rediss://user@host:port/db`",
    )
    redis_password: _Secret = Field(
        SecretStr(""), description="password of the user in `REDIS_URL`, or of the default one"
    )
    redis_ca_file: Path | None = Field(
        None, description="authorities (PEM) of Redis's certificate; the system's when unset"
    )
    redis_cert_file: Path | None = Field(
        None, description="certificate (PEM) that we show to Redis"
    )
    redis_key_file: Path | None = Field(None, description="its key (PEM, not encrypted)")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read secrets from files as well."""
        del file_secret_settings  # pydantic's folder of secrets, which is not used
        files = SecretFiles(settings_cls, env_settings, dotenv_settings)
        return init_settings, files, env_settings, dotenv_settings  # empty variables are unset

    def list_variables(self) -> dict[str, str]:
        """Return the environment of a process with these settings, secrets in it too."""
        values = self.model_dump(mode="json", exclude_none=True)
        values |= {
            name: value.get_secret_value() for name, value in self if isinstance(value, SecretStr)
        }
        return {forms.name_variable(name): str(value) for name, value in values.items()}

    @property
    def has_kafka_login(self) -> bool:
        """Whether brokers ask for a login."""
        return self.kafka_security.startswith("SASL")

    @property
    def has_kafka_tls(self) -> bool:
        """Whether connections to brokers are encrypted."""
        return self.kafka_security.endswith("SSL")

    @property
    def kafka_files(self) -> TlsFiles:
        """The certificates for Kafka."""
        return TlsFiles(self.kafka_ca_file, self.kafka_cert_file, self.kafka_key_file)

    @property
    def redis_address(self) -> str:
        """The address with all that connects there: password and certificates. Show it nobody."""
        url, password = self.redis_url, self.redis_password.get_secret_value()
        if password:
            scheme, _, rest = url.partition("://")
            user, at, host = rest.rpartition("@")
            login = f"{user.removesuffix(':') if at else ''}:{quote(password, safe='')}"
            url = f"{scheme}://{login}@{host}"
        names = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
        files = (self.redis_ca_file, self.redis_cert_file, self.redis_key_file)
        given = {n: str(path) for n, path in zip(names, files, strict=True) if path is not None}
        return f"{url}{'&' if '?' in url else '?'}{urlencode(given)}" if given else url

    @field_validator(
        "kafka_ca_file", "kafka_cert_file", "kafka_key_file",
        "redis_ca_file", "redis_cert_file", "redis_key_file", mode="before",
    )  # fmt: skip
    @classmethod
    def _unset(cls, path: object) -> object:
        """Read an empty text as no file: it would name the folder where a process was started."""
        return None if path == "" else path

    @model_validator(mode="after")
    def _check_kafka(self) -> Self:
        login = {
            "kafka_sasl_mechanism": self.kafka_sasl_mechanism,
            "kafka_username": self.kafka_username,
            "kafka_password": self.kafka_password.get_secret_value(),
        }
        tokens = {
            "kafka_token_url": self.kafka_token_url, "kafka_token_scope": self.kafka_token_scope
        }  # fmt: skip
        for name, value in login.items():
            if self.has_kafka_login and not value:
                raise ValueError(
                    f"{forms.name_variable(name)}: set it, as "
                    f"{forms.name_variable('kafka_security')} "
                    f"{self.kafka_security} takes a login"
                )
        for name, value in (login | tokens).items():
            if value and not self.has_kafka_login:
                raise ValueError(f"{forms.name_variable(name)}: it has no effect; {_WITHOUT_LOGIN}")
        for name, value in tokens.items():
            if value and self.kafka_sasl_mechanism != OAUTH:
                raise ValueError(
                    f"{forms.name_variable(name)}: only the mechanism {OAUTH} has tokens"
                )
        if self.kafka_sasl_mechanism == OAUTH and not self.kafka_token_url:
            raise ValueError(f"{forms.name_variable('kafka_token_url')}: set it, {OAUTH} needs it")
        check_files("kafka", self.kafka_files, has_tls=self.has_kafka_tls, remedy=_WITHOUT_TLS)
        return self

    @model_validator(mode="after")
    def _check_redis(self) -> Self:
        if self.redis_password.get_secret_value():
            if self.redis_url.startswith("unix:"):
                raise ValueError(
                    f"{forms.name_variable('redis_password')}: write it into the address of a "
                    "socket, "
                    "unix://user:password@/path"
                )
            if urlsplit(self.redis_url).password or forms.has_password(self.redis_url):
                raise ValueError(
                    f"{forms.name_variable('redis_password')}: the address has a password as well; "
                    "unset one of both"
                )
        files = TlsFiles(self.redis_ca_file, self.redis_cert_file, self.redis_key_file)
        has_tls = self.redis_url.startswith("rediss://")
        remedy = "begin STREAM_PERSONA_REDIS_URL with rediss://"
        check_files("redis", files, has_tls=has_tls, remedy=remedy)
        return self
