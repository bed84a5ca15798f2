"""Deletes the topics of tests that have ended.

Every client reads of all topics that a broker has when it starts, and the broker looks after all of
them: with those of hundreds of tests, both would do little else.
"""

from confluent_kafka.admin import AdminClient

from stream_persona.settings import Settings
from tests.support.servers import Kafka, topics_of


class UsedTopics:
    """Deletes topics of one broker, in the background."""

    def __init__(self, kafka: Kafka) -> None:
        self._can_delete = kafka.kind != "embedded"  # which knows no such request
        self._admin = AdminClient({"bootstrap.servers": kafka.brokers, "log_level": 0})

    def delete(self, settings: Settings) -> None:
        """Have the topics deleted that settings name; those that are not there are left out."""
        if self._can_delete:
            self._admin.delete_topics(topics_of(settings))
