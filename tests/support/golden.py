"""Digests of what a fixed stream of events leads to: they change when stored bytes change.

``python -m tests.support.golden`` prints them. Of ``folded`` (records) and ``model`` (its sums)
every bit is an integer, so they are the same on every machine. ``published`` (changes, public
records and the packed shard) depends on floating-point arithmetic as well: compare it on one
machine.
"""

import hashlib
from itertools import islice

from stream_persona.domain import record_codec, taxonomy
from stream_persona.domain.events import KINDS
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.shard import encode_shard, make_members
from stream_persona.model.statistics import hash_customer
from stream_persona.pipeline import process, training
from stream_persona.pipeline.types import Delivery
from stream_persona.store.blas import limit_blas_threads
from tests.support.constants import NOW
from tests.support.shoppers import events

EVENTS = 4_000
BATCH = 250


def digests() -> dict[str, str]:
    """Return the digests by name."""
    shop = taxonomy.load(None)
    records, sums, fitter, tokenizer = {}, PersonaClassifier(), ModelFitter(shop), Tokenizer(shop)
    published = hashlib.blake2b(digest_size=12)
    stream = [
        Delivery.of(event, KINDS.index(type(event)), 0, offset, NOW + offset)
        for offset, event in enumerate(islice(events(1), EVENTS))
    ]
    for start in range(0, EVENTS, BATCH):
        batch = stream[start : start + BATCH]
        outcome = process.process_batch(
            batch, records, fitter.weights, shop, tokenizer, NOW + start
        )
        records |= outcome.records
        sums.add_all([(each.part, each.persona, each.sign) for each in outcome.model_updates])
        known = [
            (hash_customer(name), record.find_active_label() or "", record)
            for name, record in sorted(records.items())
            if training.is_training_example(record, shop)
        ]
        fitter.update(sums, list(make_members(known, shop).values()), calibrate=True)
        for name, message in outcome.messages:
            published.update(name.encode() + (message or b"-"))
        for name, public in outcome.public_records.items():
            published.update(name.encode() + (public or b"-"))
        published.update(fitter.weights.version.encode())
        published.update(b"".join(encode_shard(sums.encode_canonically(), known, shop)))
    folded = hashlib.blake2b(digest_size=12)
    for name in sorted(records):
        folded.update(name.encode() + record_codec.encode_folded(records[name], shop.fingerprint))
    model = hashlib.blake2b(sums.encode_canonically(), digest_size=12)
    found = {"folded": folded, "model": model, "published": published}
    return {name: each.hexdigest() for name, each in found.items()}


if __name__ == "__main__":
    limit_blas_threads()
    print(digests())
