"""Names of before, for tests that are still to be changed: see the modules imported here."""

# ruff: noqa: F401
# mypy: implicit-reexport
from tests.support.constants import DAY, HOUR, MINUTE, NOW, PERSONAS, SECOND
from tests.support.events import (
    assignment,
    browse,
    deletion,
    engagement,
    kind_of,
    observation,
    purchase,
    quick_shop,
    shop,
)
from tests.support.events import deliver as delivered
from tests.support.events import interleave as interleaved
from tests.support.events import labelled_shoppers as tastes
from tests.support.events import redeliver as redelivered
from tests.support.events import split_into_batches as batches
from tests.support.processing import fold_batches as absorbed
from tests.support.processing import model_of, profile_after, record_of
from tests.support.processing import process_batch as walked
from tests.support.processing import unpack_tokens as unpacked
from tests.support.workers import Crash, CrashingTables, LostTables, raw, worker, worker_settings
from tests.support.workers import InMemoryLog as Log
from tests.support.workers import RecordingPublisher as Outbox
from tests.support.workers import fetch as fetched
from tests.support.workers import settle as settled
