"""Decides when a worker has to end because its brokers are unusable, as it does without Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.errors import TopologyError, UnavailableError
from stream_persona.kafka.faust_app import WITHOUT_PAST

if TYPE_CHECKING:
    from collections.abc import Collection


class BrokerWatch:
    """Finds out that brokers have been of no use for ``patience`` seconds.

    aiokafka would try the addresses that it knew for ever, and report nothing. And it would commit
    to a topic that was deleted for ever, which keeps the group from rebalancing. Every ``now`` is
    in seconds that never go back.
    """

    def __init__(self, patience: float, now: float) -> None:
        self._patience = patience
        self._complete_at = self._coordinated_at = now

    def find_fault(
        self, now: float, *, silence: float, missing: Collection[str], has_coordinator: bool
    ) -> UnavailableError | TopologyError | None:
        """Return the error that the worker has to end with, if any.

        Args:
            now: The time.
            silence: Seconds since any broker has answered.
            missing: Topics that are to be read and that no broker has.
            has_coordinator: Whether the broker that keeps the group's offsets is known.
        """
        self._complete_at = self._complete_at if missing else now
        self._coordinated_at = now if has_coordinator else self._coordinated_at
        seconds = f"{self._patience:g} s"
        if silence > self._patience:
            return UnavailableError(f"no Kafka broker answered for {seconds}; see that they run")
        if now - self._coordinated_at > self._patience:
            return UnavailableError(
                f"no Kafka broker has kept the group's offsets for {seconds}; see that "
                "__consumer_offsets has leaders"
            )
        if now - self._complete_at > self._patience:
            return TopologyError(f"topic {min(missing)} does not exist any more; {WITHOUT_PAST}")
        return None

    def should_ask(self, *, silence: float, missing: Collection[str]) -> bool:
        """Whether a broker should be asked for anything, to learn whether it is there."""
        return bool(missing) or silence > self._patience / 2
