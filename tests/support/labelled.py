"""Labelled customers: as examples, as trials, and as tables hold them."""

from collections.abc import Iterable, Sequence
from typing import Any

from river import base

from stream_persona.domain.events import Event
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.model.river_adapter import Example
from stream_persona.pipeline.process import PrequentialTrial
from stream_persona.store import examples, repository, writes
from stream_persona.store.memory import MemoryTables
from tests.support.events import deliver, labelled_shoppers
from tests.support.processing import process_batch


def labelled_examples(taxonomy: Taxonomy, customers: int = 6, seed: int = 1) -> list[Example]:
    """Examples of each persona: customers that mostly buy in the category of its name."""
    happened = labelled_shoppers(taxonomy, customers, seed)
    return examples.make_examples(process_batch(deliver(*happened), taxonomy).records, taxonomy)


def trials_of(
    known: Iterable[Example], row: Sequence[float] = (0.2,) * 5
) -> list[PrequentialTrial]:
    """Trials that the model in use answered with ``row``."""
    return [
        PrequentialTrial(each.customer_id, each.persona, each.profile, tuple(row)) for each in known
    ]


async def commit(tables: MemoryTables, taxonomy: Taxonomy, *happened: Event, first: int = 0) -> Any:
    """Process events, write the outcome into the tables' one partition, and return it."""
    claim = (await tables.claim([0]))[0]
    names = {event.customer_id for event in happened}
    stored = await repository.load(tables, sorted(names), taxonomy.fingerprint)
    outcome = process_batch(deliver(*happened, first=first), taxonomy, stored)
    await tables.commit(claim, writes.build_write(outcome, taxonomy, 30))
    return outcome


class Broken(base.Classifier):
    """A classifier that learns twice and then fails."""

    def __init__(self) -> None:
        self.learned = 0

    def learn_one(self, x: dict[Any, float], y: Any) -> None:
        self.learned += 1
        if self.learned > 2:
            raise ArithmeticError("the tree has no\nroot")

    def predict_proba_one(self, x: dict[Any, float], **_: Any) -> dict[Any, float]:
        return {}

    @property
    def _multiclass(self) -> bool:
        return True
