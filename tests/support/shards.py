"""Shards of the model, made of labelled customers' records in memory."""

from stream_persona.domain.record import Record
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.shard import Shard, make_members
from stream_persona.model.statistics import hash_customer
from stream_persona.pipeline import process, training
from tests.support.events import deliver, labelled_shoppers


def labelled_records(taxonomy: Taxonomy, customers: int = 10) -> dict[str, Record]:
    """The records of so many customers of each persona."""
    deliveries = deliver(*labelled_shoppers(taxonomy, customers=customers))
    return process.apply_events(deliveries, {}, taxonomy, Tokenizer(taxonomy)).records


def keyed(records: dict[str, Record]) -> list[tuple[int, str, Record]]:
    """Key, label and record of each customer."""
    return [(hash_customer(n), r.find_active_label() or "", r) for n, r in records.items()]


def shard_of(records: dict[str, Record], taxonomy: Taxonomy) -> Shard:
    """A shard of these customers, all of them in its panel."""
    sums = PersonaClassifier()
    for update in training.derive_updates(records, taxonomy):
        sums.add(update.part, update.persona)
    return Shard(sums, make_members(keyed(records), taxonomy))
