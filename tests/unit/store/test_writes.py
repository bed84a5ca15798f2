"""An outcome as writes: customers' own tastes go with their records, where a setting asks."""

import random

import pytest

from stream_persona.domain import record_codec
from stream_persona.domain.tastes import encode_all_tastes
from stream_persona.pipeline import process
from stream_persona.store.writes import build_write, split_by_partition
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import deletion, deliver, purchase
from tests.support.histories import SHOP, random_events
from tests.support.processing import process_batch

HAPPENED = [e for c in "cde" for e in random_events(random.Random(7), c, NOW - HOUR, NOW)]


def test_tastes_are_written_only_where_they_are_asked_for() -> None:
    outcome = process_batch(deliver(*HAPPENED), SHOP)
    assert build_write(outcome, SHOP, 30.0).tastes == {}
    asked = build_write(outcome, SHOP, 30.0, tastes=True)
    counts = {name: record.counts for name, record in outcome.records.items()}
    assert asked.tastes == encode_all_tastes(counts, SHOP)
    assert asked.tastes.keys() == asked.states.keys() == {"c", "d", "e"}


def test_tastes_go_to_the_partition_of_their_customer() -> None:
    outcome = process_batch(deliver(*HAPPENED), SHOP)
    homes = {"c": 1, "d": 2, "e": 1}
    shares = split_by_partition(outcome, homes, SHOP, 30.0, tastes=True)
    assert {p: set(share.write.tastes) for p, share in shares.items()} == {1: {"c", "e"}, 2: {"d"}}


@pytest.mark.parametrize("tastes", [True, False])
def test_a_deletion_deletes_tastes_whether_they_are_kept_or_not(*, tastes: bool) -> None:
    outcome = process_batch(deliver(purchase("e", NOW), deletion("d", NOW + HOUR)), SHOP)
    assert build_write(outcome, SHOP, 30.0, tastes=tastes).all_tastes == {"c": None}
    back = deliver(purchase("e", NOW), deletion("d", NOW), purchase("f", NOW + 2 * DAY))
    kept = build_write(process_batch(back, SHOP), SHOP, 30.0, tastes=tastes).all_tastes
    assert (kept["c"] is not None) == tastes


def test_a_record_that_was_read_again_has_the_tastes_that_it_was_written_with() -> None:
    outcome = process_batch(deliver(*HAPPENED), SHOP)
    write = build_write(outcome, SHOP, 30.0, tastes=True)
    blobs = {name: blob for name, blob in write.states.items() if blob}
    loaded = record_codec.decode_records(blobs, SHOP.fingerprint)
    again = process.Outcome(loaded, ())
    assert build_write(again, SHOP, 30.0, tastes=True).tastes == write.tastes
