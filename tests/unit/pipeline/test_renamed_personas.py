"""A renamed persona takes its labels with it; an unknown one has no effect, and is counted."""

import logging
from collections import Counter

import pytest

from stream_persona.domain.events import ASSIGNMENT, decode_for_taxonomy, encode
from stream_persona.domain.record import Record
from stream_persona.domain.taxonomy import Policy, Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import DecodeError
from stream_persona.model.estimator import derive
from stream_persona.model.shard import decode_shard, encode_shard
from stream_persona.pipeline import process, training
from stream_persona.pipeline.decision import Cause
from stream_persona.store import repository
from stream_persona.store.memory import MemoryTables
from stream_persona.store.shards import fold_shard
from stream_persona.worker.partitions import OwnedPartitions
from tests.support.constants import DAY, NOW, PERSONAS
from tests.support.events import assignment, deletion, deliver, labelled_shoppers, purchase, shop
from tests.support.labelled import commit
from tests.support.processing import process_batch
from tests.support.shards import keyed, labelled_records, shard_of
from tests.support.workers import RecordingPublisher, fetch, worker

SHOP = shop()


def renamed_shop(*former: str) -> Taxonomy:
    """The shop, with its first persona under another name."""
    first = {"name": "Mum or Dad", "renamed_from": former}
    return Taxonomy.model_validate({
        "persona": [first, *({"name": name} for name in PERSONAS[1:])]
    })  # fmt: skip


RENAMED, FORGETFUL = renamed_shop(PERSONAS[0]), renamed_shop()


def labelled_record(taxonomy: Taxonomy = SHOP, persona: str = PERSONAS[0]) -> Record:
    happened = [assignment("a", persona=persona), purchase("p")]
    return process_batch(deliver(*happened), taxonomy).records["c"]


@pytest.mark.parametrize(
    ("persona", "own"),
    [("mum OR dad", "Mum or Dad"), (PERSONAS[0], "Mum or Dad"), (PERSONAS[1].upper(), PERSONAS[1])],
)
def test_an_assignment_is_of_the_persona_as_the_taxonomy_spells_it(persona: str, own: str) -> None:
    decoded = decode_for_taxonomy(ASSIGNMENT, encode(assignment("a", persona=persona)), RENAMED)
    assert decoded == assignment("a", persona=own)


def test_an_assignment_of_an_unknown_persona_is_refused() -> None:
    with pytest.raises(DecodeError, match=r"'parent' is not of the taxonomy; .*Mum or Dad"):
        decode_for_taxonomy(ASSIGNMENT, encode(assignment("a", persona="parent")), FORGETFUL)


def test_a_stored_label_of_a_former_name_pins_and_teaches_the_new_one() -> None:
    record = labelled_record()
    assert training.find_label(record, RENAMED) == "Mum or Dad"
    assert [each.persona for each in training.derive_updates({"c": record}, RENAMED)] == [
        "Mum or Dad"
    ]
    later = process_batch(deliver(purchase("q"), first=2), RENAMED, {"c": record})
    published = later.records["c"].published
    assert published is not None
    assert (published.current.persona, published.current.assigned) == ("Mum or Dad", True)
    assert {(each.persona, each.sign) for each in later.model_updates} == {
        ("Mum or Dad", -1), ("Mum or Dad", 1)
    }  # fmt: skip
    assert not later.trials


def test_a_label_that_the_taxonomy_does_not_know_has_no_effect() -> None:
    record = labelled_record()
    assert training.find_unknown_label(record, FORGETFUL) == PERSONAS[0]
    assert training.find_unknown_label(record, RENAMED) is None
    later = process_batch(deliver(purchase("q"), first=2), FORGETFUL, {"c": record})
    published = later.records["c"].published
    assert published is not None
    assert not published.current.assigned
    assert later.model_updates == []


def test_a_name_that_was_predicted_holds_under_the_new_one() -> None:
    happened = [purchase(f"p{i}", NOW + i, categories=[PERSONAS[0]]) for i in range(9)]
    sums = [shard_of(labelled_records(SHOP), each).sums for each in (SHOP, RENAMED)]
    first, second = derive(sums[0], SHOP.names), derive(sums[1], RENAMED.names)
    bold, renamed = (
        each.model_copy(update={"policy": Policy(min_confidence=0.0)}) for each in (SHOP, RENAMED)
    )
    before = process_batch(deliver(*happened), bold, weights=first).records["c"]
    assert before.published is not None
    assert before.published.current.persona == PERSONAS[0]
    after = process.rescore(
        {"c": before}, second, renamed, Tokenizer(renamed), NOW, Cause.MODEL
    ).records["c"]
    assert after.published is not None
    assert after.published.current.persona == "Mum or Dad"
    assert after.published.since == before.published.since


def test_a_stored_shard_counts_former_names_as_the_new_one() -> None:
    records = labelled_records(SHOP)
    blob, _ = encode_shard(shard_of(records, SHOP).sums.encode_canonically(), keyed(records), SHOP)
    shard = decode_shard(blob, RENAMED)
    labels = shard_of(records, SHOP).sums.count_labels()
    assert shard.sums.count_labels() == {
        "Mum or Dad" if name == PERSONAS[0] else name: number for name, number in labels.items()
    }
    assert shard.sums.encode_canonically() == shard_of(records, RENAMED).sums.encode_canonically()
    assert {member.label for member in shard.panel.values()} == set(RENAMED.names)


async def test_a_folded_shard_names_the_labels_that_it_does_not_know() -> None:
    tables = MemoryTables()
    await commit(tables, SHOP, *labelled_shoppers(SHOP, 4))
    folded = await fold_shard(tables, 0, FORGETFUL)
    assert Counter(folded.unknown_labels.values()) == {PERSONAS[0]: 4}
    assert len(folded.labelled) == 16
    renamed = await fold_shard(tables, 0, RENAMED)
    assert renamed.unknown_labels == {}
    assert renamed.sums.count_labels()["Mum or Dad"] == 4


async def test_a_worker_warns_of_a_label_without_effect_that_behaviour_brings_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A label of somebody who has done nothing yet would have none, known or not."""
    tables = MemoryTables()
    await commit(tables, SHOP, assignment("a", persona=PERSONAS[0]))
    working = worker(tables, RecordingPublisher(), FORGETFUL)
    with caplog.at_level(logging.WARNING):
        await working.assign([0])
        assert not [each for each in caplog.messages if "renamed_from" in each]
        await working.process(fetch(purchase("p"), first=10_000))
        await working.process(fetch(purchase("q"), first=20_000))
    (warning,) = [each for each in caplog.messages if "renamed_from" in each]
    assert warning.startswith("1 labels have no effect")


async def test_a_worker_warns_once_of_labels_without_effect_and_counts_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tables, outbox = MemoryTables(), RecordingPublisher()
    await commit(tables, SHOP, *labelled_shoppers(SHOP, 4))
    working = worker(tables, outbox, FORGETFUL)
    with caplog.at_level(logging.WARNING):
        for partitions in ([0], [], [0]):
            await working.assign(partitions)
    (warning,) = [each.getMessage() for each in caplog.records if "renamed_from" in each.message]
    assert warning.startswith("4 labels have no effect, since the taxonomy has no such persona")
    assert f"('{PERSONAS[0]}': 4)" in warning
    known: OwnedPartitions = working.partitions
    assert known.unknown_labels == {PERSONAS[0]: 4}
    first, second, third, _ = (f"{PERSONAS[0]}-{number}" for number in range(4))
    await working.process(
        fetch(
            assignment("z", NOW + 1, first, "Mum or Dad"),
            deletion("d", NOW + 40 * DAY, second),
            assignment("w", NOW + 1, third, None),
            first=10_000,
        )
    )
    assert known.unknown_labels == {PERSONAS[0]: 1}


async def test_behaviour_of_an_unknown_label_counts_as_soon_as_the_taxonomy_knows_it() -> None:
    tables = MemoryTables()
    await commit(tables, SHOP, assignment("a"))
    await commit(tables, FORGETFUL, purchase("p"))
    folded = await fold_shard(tables, 0, RENAMED)
    assert folded.sums.count_labels() == {"Mum or Dad": 1}
    stored = await repository.load(tables, ["c"], SHOP.fingerprint)
    rebuilt = training.derive_updates(stored, RENAMED)
    assert [each.persona for each in rebuilt] == ["Mum or Dad"]
