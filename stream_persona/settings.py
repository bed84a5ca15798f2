"""The settings: one immutable object, from the environment and an optional ``.env`` file.

Every field is the variable ``STREAM_PERSONA_<FIELD>``; ``README.md`` lists them.
"""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from dotenv.parser import parse_stream
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from stream_persona import setting_forms as forms
from stream_persona.connection_settings import ConnectionSettings
from stream_persona.errors import SettingsError
from stream_persona.secret_files import SECRET, name_files

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_FILE: Final = ".env"


class Settings(ConnectionSettings):
    """Addresses, names and limits of a deployment; the personas are defined by the taxonomy."""

    model_config = SettingsConfigDict(env_file=_FILE, env_file_encoding="utf-8-sig")

    taxonomy: Path | None = Field(
        None, description="the taxonomy file; the shipped generic shop when unset"
    )
    sources: Path | None = Field(
        None, description="the file of foreign sources (TOML); none when unset"
    )
    catalogue: Path | None = Field(
        None,
        description="file of the shop's products (Parquet or JSON Lines), which may change while "
        "the API runs; no recommendations when unset",
    )
    group: forms.Group = Field("stream-persona", description="consumer group of the workers")
    prefix: forms.Name = Field("", description="put before every Redis key and channel")
    partitions: Annotated[int, Field(gt=0, le=10_000)] = Field(
        8, description="partitions of every customer-keyed topic"
    )
    replication: Annotated[int, Field(gt=0, le=9)] = Field(
        1, description="replicas of topics that start-up creates"
    )
    declare_topics: bool = Field(
        True, description="create missing topics at start-up (off: only check them)"
    )
    api_host: forms.Host = Field("127.0.0.1", description="address the API listens on")
    api_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        8000, description="port of the API; 0 means any free one"
    )
    api_keys: forms.Keys = Field(
        "",
        repr=False,
        description="keys that let callers of the API do everything, `key,...`; without keys it "
        "answers this machine alone",
    )
    api_keys_file: Path | None = Field(
        None, description="file of keys with scopes (TOML), which may change while the API runs"
    )
    oidc_issuer: forms.WebAddress = Field(
        "", description="OpenID provider by which people log in to the dashboard, `https://...`"
    )
    oidc_client_id: forms.Name = Field("", description="the dashboard's client id there")
    oidc_client_secret: Annotated[forms.Secret, SECRET] = Field(
        "", repr=False, description="its secret"
    )
    oidc_redirect_url: forms.WebAddress = Field(
        "", description="where the provider sends people back to, `https://.../login/callback`"
    )
    audit_file: Path | None = Field(
        None, description="file that the audit log is appended to; standard error when unset"
    )
    api_cors_origins: forms.Origins = Field(
        "", description="origins whose pages may call the API, `https://shop.example,...`"
    )
    api_max_body_bytes: Annotated[int, Field(gt=0, le=100_000_000)] = Field(
        1_000_000, description="most bytes of a request's body"
    )
    api_requests_per_second: Annotated[float, Field(allow_inf_nan=False, ge=0, le=1_000_000)] = (
        Field(
            0.0,
            description="requests a second of a key, or of an address without keys; 0: any number",
        )
    )
    rank_holdout: Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)] = Field(
        0.0, description="share of the customers whose `/v1/rank` keeps the order, for comparison"
    )
    rank_ambiguous: Literal["baseline", "mixture"] = Field(
        "baseline",
        description="what `/v1/rank` does for ambiguous shoppers: `baseline` or `mixture`",
    )
    tastes: bool = Field(
        False, description="keep each shopper's own tastes in Redis, for clients that rank by `own`"
    )
    nobody_ids: forms.Text = Field(
        "",
        description="customer ids that stand for nobody, `id,...`, in any case; by default "
        "`undefined,null,none,nil,nan,n/a,0,-1,guest,anonymous,unknown,(not set),(none),(null),"
        "<null>,[object Object]` and the zero UUID with or without hyphens; blank ones always do",
    )
    rank_salt: forms.Text = Field(
        "", description="salt of the hold-out's hash; change it to draw another group"
    )
    metrics_host: forms.Host = Field("127.0.0.1", description="address of the worker's metrics")
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        9464, description="port of the worker's metrics; a taken one moves to a free one"
    )
    log_level: forms.Level = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    topic_purchases: forms.TopicName = Field("purchases", description="topic of purchases")
    topic_browses: forms.TopicName = Field("browses", description="topic of browses")
    topic_engagements: forms.TopicName = Field("engagements", description="topic of engagements")
    topic_assignments: forms.TopicName = Field(
        "persona-assignments", description="topic of assignments"
    )
    topic_deletions: forms.TopicName = Field("customer-deletions", description="topic of deletions")
    topic_changes: forms.TopicName = Field(
        "persona-changes", description="topic of persona changes"
    )
    topic_dead_letters: forms.TopicName = Field(
        "persona-dead-letters", description="topic of dead letters"
    )
    topic_reroutes: forms.TopicName = Field(
        "persona-reroutes",
        description="internal topic: events that arrived off their customer's home partition",
    )

    max_batch_records: Annotated[int, Field(gt=0, le=100_000)] = Field(
        8_000, description="most records that are processed as one batch"
    )
    commit_interval: Annotated[float, Field(allow_inf_nan=False, gt=0, le=60)] = Field(
        1.0, description="seconds between offset commits"
    )
    model_interval: Annotated[float, Field(allow_inf_nan=False, gt=0, le=60)] = Field(
        0.5, description="seconds between two refreshes of the model's weights"
    )
    model: forms.Specification = Field(
        "additive", description="`additive`, or `module:Class` of a River classifier as the model"
    )
    challengers: forms.Specification = Field(
        "", description="River classifiers evaluated beside the model, `module:Class,...`"
    )
    sweep_rate: Annotated[float, Field(allow_inf_nan=False, ge=0, le=1_000_000_000)] = Field(
        5_000.0,
        description="shoppers a second that a worker scores again when the model moved",
    )
    session_timeout: Annotated[float, Field(allow_inf_nan=False, ge=1, le=1800)] = Field(
        30.0, description="seconds after which a silent worker loses its partitions"
    )
    cached_customers: Annotated[int, Field(gt=0, le=1_000_000_000)] = Field(
        100_000, description="most customer records that a worker keeps in memory"
    )
    deletion_marker_days: Annotated[float, Field(allow_inf_nan=False, ge=0.001, le=36_500)] = Field(
        30.0, description="days for which older events of a deleted customer stay dropped"
    )
    retry_seconds: Annotated[float, Field(allow_inf_nan=False, ge=0.1, le=86_400)] = Field(
        60.0, description="how long broker or Redis may stay away before a worker exits"
    )

    @cached_property
    def input_topics(self) -> tuple[str, str, str, str, str]:
        """The five consumed topics, in the order of ``events.KINDS``."""
        return (
            self.topic_purchases,
            self.topic_browses,
            self.topic_engagements,
            self.topic_assignments,
            self.topic_deletions,
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the API that are good for everything."""
        return forms.split_list(self.api_keys)

    @property
    def needs_key(self) -> bool:
        """Whether callers of the API need a key; without, they must be on this machine."""
        return bool(self.keys) or self.api_keys_file is not None

    @property
    def nobody(self) -> tuple[str, ...]:
        """The ids that stand for nobody; empty for those that do by default."""
        return forms.split_list(self.nobody_ids)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins whose pages may call the API, in the lower case of browsers."""
        return forms.split_list(self.api_cors_origins.lower())

    @field_validator(
        "taxonomy", "sources", "catalogue", "api_keys_file", "audit_file", mode="before"
    )
    @classmethod
    def _check_path(cls, path: object) -> object:
        if path == "":
            raise ValueError("name a file, or unset it")
        return forms.check_text(path) if isinstance(path, str) else path

    @model_validator(mode="after")
    def _check_provider(self) -> Self:
        names = ("oidc_issuer", "oidc_client_id", "oidc_client_secret", "oidc_redirect_url")
        given = [name for name in names if getattr(self, name)]
        missing = [name for name in (*names, "api_keys_file") if not getattr(self, name)]
        if given and missing:
            first, *named = map(forms.name_variable, (given[0], *missing))
            raise ValueError(f"{first}: to log people in, set {', '.join(named)} as well")
        return self

    @model_validator(mode="after")
    def _check_topics(self) -> Self:
        names = (name for name in type(self).model_fields if name.startswith("topic_"))
        forms.check_topics_differ({name: getattr(self, name) for name in names})
        return self


def load_settings(**overrides: object) -> Settings:
    """Load the settings from the environment; ``overrides`` win.

    Raises:
        SettingsError: the message names each wrong variable and what was expected.
    """
    _read_file(Path(_FILE))
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("\n".join(map(_explain, error.errors()))) from None
    _refuse_code(settings, overrides)
    return settings


def _refuse_code(settings: Settings, overrides: Mapping[str, object]) -> None:
    """Refuse a ``.env`` file that names code to be imported, but for River's own classifiers.

    Whoever may write into a folder should not decide what a process runs that is started there. The
    values are looked at as they are used: the file's own variables are put into them.

    Raises:
        SettingsError: it names another module.
    """
    given = {*map(str.upper, os.environ), *map(forms.name_variable, overrides)}
    for setting in ("model", "challengers"):
        name = forms.name_variable(setting)
        parts = [part.strip() for part in getattr(settings, setting).split(",") if ":" in part]
        if name not in given and not all(part.startswith("river.") for part in parts):
            raise SettingsError(
                f"{name}: a {_FILE} file may name River's own classifiers alone, as it may come "
                "with a folder; set it in the environment to run code of another module"
            )


def _explain(item: ErrorDetails) -> str:
    cause = item.get("ctx", {}).get("error")
    text = str(cause) if isinstance(cause, ValueError) else item["msg"].lower()
    if not item["loc"]:  # several settings together
        return text
    setting = "_".join(map(str, item["loc"]))
    return f"{forms.name_variable(setting)}: {text}{forms.mask_value(setting, item['input'])}"


def find_misspelt(environment: Mapping[str, str]) -> dict[str, str]:
    """Find variables that are no settings but look like one; return which one by name."""
    known = [*map(forms.name_variable, Settings.model_fields), *name_files(Settings)]
    given = {name.upper() for name in (*environment, *_read_file(Path(_FILE)))}
    strange = sorted(name for name in given - set(known) if name.startswith("STREAM_PERSONA_"))
    near = {name: difflib.get_close_matches(name, known, 1, 0.9) for name in strange}
    return {name: found[0] for name, found in near.items() if found}


def _read_file(path: Path) -> Mapping[str, str | None]:
    """Return what a ``.env`` file sets; lines that its reader would skip unread are refused.

    Raises:
        SettingsError: the file can't be read, or a line for us isn't ``NAME=value``.
    """
    if not os.path.isfile(path):  # noqa: PTH113 - False as well where it may not be looked at
        return {}
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: correct or remove it, it cannot be read ({error})") from None
    found: dict[str, str | None] = {}
    for line in parse_stream(io.StringIO(text)):
        is_assignment = not line.error and (line.key is None or line.value is not None)
        if not is_assignment and "stream_persona_" in line.original.string.lower():
            message = f"{path}:{line.original.line}: expected STREAM_PERSONA_<NAME>=value"
            raise SettingsError(f"{message} on a line of its own")
        found |= {line.key: line.value} if line.key else {}
    return found
