"""What one worker on tables in memory leaves behind after some batches."""

from collections.abc import Sequence

from aiokafka.structs import ConsumerRecord

from stream_persona.domain import record_codec
from stream_persona.domain.record import Record
from stream_persona.store.memory import MemoryTables
from tests.support.constants import HOUR, NOW
from tests.support.events import purchase, shop
from tests.support.workers import RecordingPublisher, fetch, worker

SHOP = shop()


async def left_by(*batches: Sequence[ConsumerRecord]) -> tuple[MemoryTables, RecordingPublisher]:
    tables, outbox = MemoryTables(), RecordingPublisher()
    working = worker(tables, outbox, SHOP)
    await working.assign([0])
    for batch in batches:
        await working.process(batch)
    await working.refresh()
    return tables, outbox


def stored(tables: MemoryTables, customer: str = "c") -> Record:
    blobs = {customer: tables.states[customer]}
    return record_codec.decode_records(blobs, SHOP.fingerprint)[customer]


def good(first: int = 1_000, at: int = NOW + HOUR, customer: str = "good") -> list[ConsumerRecord]:
    return fetch(purchase(f"good-{first}", at, customer), first=first)
