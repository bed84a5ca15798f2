"""Shards: equal content gives equal bytes, and what has not changed is not drawn again."""

import pytest

from stream_persona.model.shard import pack, panel_share, unpack
from tests.support.events import shop
from tests.support.shards import keyed, labelled_records, shard_of

SHOP = shop()


def test_a_shard_survives_its_bytes() -> None:
    records = labelled_records(SHOP)
    shard = shard_of(records, SHOP)
    blob, stamp = pack(shard.sums.canonical(), keyed(records), SHOP)
    again = unpack(blob, SHOP)
    assert again.sums.canonical() == shard.sums.canonical()
    assert again.panel.keys() == shard.panel.keys()
    assert all(again.panel[key].is_same(shard.panel[key]) for key in shard.panel)
    backwards = dict(reversed(records.items()))
    assert pack(shard.sums.canonical(), keyed(backwards), SHOP) == (blob, stamp)


def test_members_that_did_not_change_keep_their_histories() -> None:
    records = labelled_records(SHOP, 2)
    blob, _ = pack(shard_of(records, SHOP).sums.canonical(), keyed(records), SHOP)
    first = unpack(blob, SHOP)
    second = unpack(blob, SHOP, first)
    assert all(second.panel[key] is first.panel[key] for key in first.panel)


@pytest.mark.parametrize(("partitions", "share"), [(1, 2000), (3, 667), (8, 250), (1_000, 2)])
def test_the_panel_is_shared_among_the_partitions(partitions: int, share: int) -> None:
    assert panel_share(partitions) == share
