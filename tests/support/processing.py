"""Run the pure pipeline on events: the records, profiles and models that they lead to."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from stream_persona.domain import record_codec
from stream_persona.domain.due import find_all_due
from stream_persona.domain.events import Event
from stream_persona.domain.features import Profiles, compute_profiles
from stream_persona.domain.record import Record
from stream_persona.domain.record_seal import unseal
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import SLOT_TYPE, WEIGHT_TYPE, Tokenizer
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.estimator import derive
from stream_persona.model.weights import Weights
from stream_persona.pipeline import process
from stream_persona.pipeline.process import Delivery, Histories, Outcome
from tests.support.constants import NOW
from tests.support.events import deliver
from tests.support.names import show_names_of


def find_due(record: Record, taxonomy: Taxonomy) -> int | None:
    """When something of one record ends next, if it does."""
    return find_all_due({"": record}, taxonomy)[""]


def fold_batches(
    runs: Iterable[Sequence[Delivery]], taxonomy: Taxonomy, stored: Mapping[str, bytes] = {}
) -> dict[str, bytes]:
    """Fold batches, each with a tokenizer of its own; return each customer's folded bytes."""
    known, mark = dict(stored), taxonomy.fingerprint
    seen: dict[tuple[int, int], Delivery] = {}
    for run in runs:
        before = {name: decode_folded(blob, mark) for name, blob in known.items()}
        histories = {
            name: [d for d in seen.values() if d.event.customer_id == name]
            for name in process.find_late_deletions(run, before, taxonomy)
        }
        outcome = process.apply_events(run, before, taxonomy, Tokenizer(taxonomy), histories)
        seen |= {(d.source, d.offset): d for d in run if (d.source, d.offset) not in seen}
        known |= {
            c: record_codec.encode_folded(record, mark) for c, record in outcome.records.items()
        }
    return known


def decode_folded(blob: bytes, fingerprint: int) -> Record:
    """Decode what ``encode_folded`` gave."""
    return record_codec.decode_records({"": blob}, fingerprint)[""]


def record_content(record: Record, fingerprint: int) -> bytes:
    """Encode a record without a seal: many customers may be given the same one."""
    content = unseal("", record_codec.encode_records({"": record}, fingerprint)[""])
    assert content is not None
    return content


def process_batch(
    deliveries: Sequence[Delivery],
    taxonomy: Taxonomy,
    stored: Mapping[str, Record] = {},
    weights: Weights | None = None,
    now: int = NOW,
    histories: Histories = MappingProxyType({}),
) -> Outcome:
    """Process a batch; the model is untrained unless ``weights`` are given.

    The names of its tokens are shown, as if enough customers carried them.
    """
    known = weights or derive(PersonaClassifier(), taxonomy.names)
    tokenizer = show_names_of(Tokenizer(taxonomy), deliveries)
    return process.process_batch(deliveries, stored, known, taxonomy, tokenizer, now, histories)


def record_of(*happened: Event, taxonomy: Taxonomy) -> Record:
    """Return the record of the one customer of these events."""
    (record,) = process_batch(deliver(*happened), taxonomy).records.values()
    return record


def profile_after(*happened: Event, taxonomy: Taxonomy) -> Profiles:
    """Return the profile that the one customer of these events has."""
    return compute_profiles([record_of(*happened, taxonomy=taxonomy).counts], taxonomy.features)


def model_of(happened: Sequence[Event], taxonomy: Taxonomy) -> PersonaClassifier:
    """Return a model that has learned from these events."""
    model = PersonaClassifier()
    for update in process_batch(deliver(*happened), taxonomy).model_updates:
        model.add(update.part, update.persona, update.sign)
    return model


def unpack_tokens(slots: bytes, weights: bytes) -> list[tuple[int, int]]:
    """Unpack the slot and the weight of each token that a tokenizer has packed."""
    numbers = np.frombuffer(slots, SLOT_TYPE), np.frombuffer(weights, WEIGHT_TYPE)
    return list(zip(*(each.tolist() for each in numbers), strict=True))
