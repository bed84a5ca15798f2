"""Commands are events that workers can read, or are refused with what to do about it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from stream_persona.domain.events import ASSIGNMENT, Assignment, decode_event, encode
from stream_persona.domain.identity import NobodyIds
from stream_persona.errors import DecodeError, QueryError, UnavailableError
from stream_persona.kafka.commands import Commands, make_assignment, make_deletion
from tests.support.constants import NOW
from tests.support.events import shop
from tests.support.workers import worker_settings

SHOP = shop()


def assignment(customer: str = "c", persona: str | None = "parent", **more: Any) -> Assignment:
    return make_assignment(SHOP, customer, persona, **{"at": NOW} | more)


def test_an_assignment_is_an_event_that_a_worker_reads() -> None:
    at = datetime.fromtimestamp(NOW / 1_000, UTC)
    for given in (assignment(source="crm", expires_at=NOW + 1), assignment(persona=None, at=at)):
        assert decode_event(ASSIGNMENT, encode(given)) == given


def test_two_commands_have_ids_of_their_own() -> None:
    assert assignment().assignment_id != assignment().assignment_id
    assert make_deletion("c", at=NOW).request_id != make_deletion("c", at=NOW).request_id


@pytest.mark.parametrize("persona", ["astronaut", "", "\ud800", "x" * 1_000])
def test_a_persona_that_the_taxonomy_does_not_have_is_refused_with_those_it_has(
    persona: str,
) -> None:
    with pytest.raises(QueryError, match=r"expected one of .*parent") as refused:
        assignment(persona=persona)
    assert len(str(refused.value).encode()) < 500


@pytest.mark.parametrize("customer", ["", " ", "Undefined", "guest"])
def test_no_command_is_about_nobody(customer: str) -> None:
    with pytest.raises(QueryError, match="stands for nobody"):
        assignment(customer)
    with pytest.raises(QueryError, match="stands for nobody"):
        make_deletion(customer, at=NOW)
    own = NobodyIds(["kiosk"])
    if customer.strip():
        assert assignment(customer, nobody=own).customer_id == customer
    with pytest.raises(QueryError, match="stands for nobody"):
        assignment("Kiosk", nobody=own)


@pytest.mark.parametrize("customer", ["a\tb", " a", "a ", "x" * 257])
def test_an_id_that_no_customer_can_have_is_refused(customer: str) -> None:
    with pytest.raises(DecodeError):
        assignment(customer)
    with pytest.raises(DecodeError):
        make_deletion(customer, at=NOW)


@pytest.mark.parametrize(
    "wrong", [{"source": "\ud800"}, {"source": "x" * 1_025}, {"expires_at": -1}, {"at": -1}]
)
def test_what_a_worker_could_not_read_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        assignment(**wrong)


async def test_a_command_without_a_broker_is_refused_after_it_has_been_checked() -> None:
    commands = Commands(worker_settings(), SHOP, clock=lambda: NOW * 1_000_000)
    assert not commands.ready
    with pytest.raises(UnavailableError, match="no Kafka broker has been reached yet"):
        await commands.assign("c", "parent")
    with pytest.raises(UnavailableError):
        await commands.delete("c")
    with pytest.raises(QueryError):
        await commands.assign("c", "astronaut")
    await commands.close()


@pytest.mark.parametrize("persona", ["Parent", " PARENT ", "p&#97;rent"])
def test_a_persona_is_sent_as_the_taxonomy_spells_it(persona: str) -> None:
    assert assignment(persona=persona).persona == "parent"
