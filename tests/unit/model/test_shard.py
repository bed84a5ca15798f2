"""Shards: equal content gives equal bytes, and what has not changed is not drawn again."""

import pytest

from stream_persona.model.shard import compute_panel_share, decode_shard, encode_shard
from tests.support.events import shop
from tests.support.shards import keyed, labelled_records, shard_of

SHOP = shop()


def test_a_shard_survives_its_bytes() -> None:
    records = labelled_records(SHOP)
    shard = shard_of(records, SHOP)
    blob, stamp = encode_shard(shard.sums.encode_canonically(), keyed(records), SHOP)
    again = decode_shard(blob, SHOP)
    assert again.sums.encode_canonically() == shard.sums.encode_canonically()
    assert again.panel.keys() == shard.panel.keys()
    assert all(again.panel[key].is_same(shard.panel[key]) for key in shard.panel)
    backwards = dict(reversed(records.items()))
    assert encode_shard(shard.sums.encode_canonically(), keyed(backwards), SHOP) == (blob, stamp)


def test_members_that_did_not_change_keep_their_histories() -> None:
    records = labelled_records(SHOP, 2)
    blob, _ = encode_shard(shard_of(records, SHOP).sums.encode_canonically(), keyed(records), SHOP)
    first = decode_shard(blob, SHOP)
    second = decode_shard(blob, SHOP, first)
    assert all(second.panel[key] is first.panel[key] for key in first.panel)


@pytest.mark.parametrize(("partitions", "share"), [(1, 2000), (3, 667), (8, 250), (1_000, 2)])
def test_the_panel_is_shared_among_the_partitions(partitions: int, share: int) -> None:
    assert compute_panel_share(partitions) == share
