"""The publisher's clients: each connects by what the files of certificates hold by then."""

import ssl
from typing import Any

import pytest

from stream_persona.kafka import publisher
from stream_persona.kafka.publisher import KafkaPublisher
from tests.support.workers import worker_settings


async def test_a_client_that_fences_reads_the_certificates_as_they_are_by_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contexts: list[ssl.SSLContext] = []

    def read_certificates(*_: object) -> dict[str, Any]:
        contexts.append(ssl.create_default_context())
        return {
            "bootstrap_servers": "a:1", "security_protocol": "SSL", "ssl_context": contexts[-1]
        }  # fmt: skip

    monkeypatch.setattr(publisher, "connection_options", read_certificates)
    publishing = KafkaPublisher(worker_settings())
    before = len(contexts)
    claimants = [publishing._get_claimant(0) for _ in range(2)]
    assert [each.client._ssl_context for each in claimants] == contexts[before:]
