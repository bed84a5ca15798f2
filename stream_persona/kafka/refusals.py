"""What Kafka refuses because of our settings: found at the start, or explained when it happens."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from aiokafka import errors as kafka
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream_persona.errors import SettingsError, UnavailableError
from stream_persona.kafka.rights import make_missing_rights_error

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

    from stream_persona.errors import StreamPersonaError, TopologyError
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Refusals that no waiting will change: the setting that each is about, and what to do.
_PERMANENT: Final[dict[type[kafka.KafkaError], tuple[str, str]]] = {
    kafka.InvalidSessionTimeoutError: (
        "session_timeout",
        "keep to the broker's group.min.session.timeout.ms and group.max.session.timeout.ms",
    ),
    kafka.InvalidGroupIdError: ("group", "the broker takes no such group; name another"),
    kafka.InconsistentGroupProtocolError: (
        "group", "other programs than workers are in this group; name another",
    ),
}  # fmt: skip


#: Refusals for want of a right: on what, and what aiokafka knows of it.
RIGHTS: Final[dict[type[kafka.KafkaError], str]] = {
    kafka.TopicAuthorizationFailedError: "topic",
    kafka.GroupAuthorizationFailedError: "group",
    kafka.TransactionalIdAuthorizationFailed: "transactional id",
    kafka.ClusterAuthorizationFailedError: "the cluster",
}


def explain_refusal(error: kafka.KafkaError, settings: Settings) -> StreamPersonaError:
    """Return the error of ours that says what a refusal of the broker's means."""
    for kind, (setting, remedy) in _PERMANENT.items():
        if isinstance(error, kind):
            given = getattr(settings, setting)
            return SettingsError(f"STREAM_PERSONA_{setting.upper()}: {remedy} (got {given!r})")
    if isinstance(error, tuple(RIGHTS)):
        return explain_right(error, settings, "Read")
    return UnavailableError(f"Kafka did not do as asked: {error!r}")


def explain_right(error: kafka.KafkaError, settings: Settings, operation: str) -> TopologyError:
    """Return our error for a refused operation; it names what of it is known."""
    kind = next(name for refused, name in RIGHTS.items() if isinstance(error, refused))
    named = _name_resources(error, kind, settings)
    if kind in {"transactional id", "the cluster"}:
        operation = "Write" if kind == "transactional id" else "IdempotentWrite or Create"
    return make_missing_rights_error(
        settings, [f"{operation} on {kind}{f' {name}' if name else ''}" for name in named]
    )


def _name_resources(error: kafka.KafkaError, kind: str, settings: Settings) -> list[str]:
    """Name what was refused, which aiokafka gives as a text, a collection, or not at all."""
    if kind == "group":
        return [settings.group]
    given = error.args[0] if error.args else ""
    if kind == "transactional id":
        return [f"{settings.group}-changes-* (prefixed)"]
    if kind == "topic" and isinstance(given, set | frozenset | list | tuple):
        return sorted(map(str, given))
    return [given if kind == "topic" and isinstance(given, str) else ""]


@contextmanager
def explain_missing_right(settings: Settings, operation: str) -> Iterator[None]:
    """Raise our error in place of one for want of a right, which no waiting gives.

    Raises:
        TopologyError: the login lacks a right for the operation.
    """
    try:
        yield
    except tuple(RIGHTS) as error:
        raise explain_right(error, settings, operation) from None


async def check_session(admin: AIOKafkaAdminClient, settings: Settings, broker: int) -> None:
    """Check that a broker, given by its id, takes sessions as long as ours.

    Raises:
        SettingsError: it takes longer or shorter ones alone.
    """
    try:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, broker)])
    except (kafka.KafkaError, AttributeError) as error:
        logger.debug("the broker does not describe its settings: %s", error)
        return
    found = {
        name: value
        for answer in answers
        for *_, entries in answer.resources
        for name, value, *_ in entries
    }
    least = float(found.get("group.min.session.timeout.ms") or 0) / 1_000
    most = float(found.get("group.max.session.timeout.ms") or "inf") / 1_000
    if not least <= settings.session_timeout <= most:
        message = f"STREAM_PERSONA_SESSION_TIMEOUT: the broker takes {least:g} to {most:g} seconds"
        raise SettingsError(f"{message}; set it to one of these (got {settings.session_timeout:g})")
