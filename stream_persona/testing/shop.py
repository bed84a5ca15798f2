"""A whole shop in memory: events in, personas and messages out, at once and in one thread.

>>> from stream_persona.testing.shop import MemoryShop
>>> shop = MemoryShop()  # of the generic shop, or of a taxonomy of your own

After some baskets of diapers the shopper is known:

>>> for _ in range(5):
...     shop.buy("C-1", "baby/diapers")
>>> shop.client().get("C-1").persona
'parent_of_young_kids'

An assignment holds at once, and everything that a consumer would receive is in the outbox:

>>> shop.assign("C-1", "pet_owner")
>>> [(change.persona, change.cause) for change in shop.outbox.changes][-1]
('pet_owner', 'assignment')
>>> shop.delete("C-1")
>>> shop.outbox.tombstones
['C-1']
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiokafka import ConsumerRecord

from stream_persona.domain import events
from stream_persona.domain.carried_names import CarriedNames, compute_room
from stream_persona.domain.events import Assignment, Deletion, Item, Purchase
from stream_persona.domain.taxonomy import Taxonomy, load
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.kafka.arrivals import BY_BROKER
from stream_persona.kafka.router import MessageRouter
from stream_persona.model.explain import compute_affinities
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.shard import compute_panel_share, make_members
from stream_persona.pipeline import process
from stream_persona.pipeline.decision import Cause
from stream_persona.pipeline.types import Outcome
from stream_persona.settings import Settings
from stream_persona.store import repository, shards, writes
from stream_persona.store.memory import MemoryTables
from stream_persona.store.names import ListingReader, ListingWriter
from stream_persona.store.ranking_tables import save_common
from stream_persona.testing.client import StubAsyncPersonaClient, StubPersonaClient
from stream_persona.testing.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from stream_persona.domain.events import Event
    from stream_persona.domain.record import Record
    from stream_persona.pipeline.types import Delivery

__all__ = ["START", "MemoryShop", "MemoryTables"]

_T = TypeVar("_T")

#: When a shop's clock starts, in epoch milliseconds: the first moment of 2026.
START: Final = 1_767_225_600_000
_DAY: Final = 86_400_000


class MemoryShop:
    """A deployment with one partition, whose worker is done when a method returns.

    Events take the worker's way: they are decoded, applied once, and predicted; a new label moves
    the model, and a moved model scores all shoppers again. ``now`` is the clock in epoch
    milliseconds, and moves only by ``advance``. ``tables`` and ``outbox`` hold what came of it.
    """

    def __init__(self, taxonomy: Taxonomy | Path | None = None, *, now: int = START) -> None:
        loaded = taxonomy if isinstance(taxonomy, Taxonomy) else load(taxonomy)
        self.taxonomy, self.now = loaded, now
        self.tables = MemoryTables()
        self._settings = Settings(_env_file=None, partitions=1)
        self.outbox = Outbox(self._settings)
        self._claim = _run(self.tables.claim([0]))[0]
        self._tokenizer = Tokenizer(loaded)
        self._router = MessageRouter(self._settings, loaded, self._tokenizer, lambda: self.now)
        self._names = CarriedNames(compute_room(1))
        self._listing = ListingWriter(self.tables, 1, self._tokenizer.names.public, lambda: 0.0)
        self._listed = ListingReader(self.tables)
        self._fitter = ModelFitter(loaded)
        self._offsets: Counter[str] = Counter()
        self._deliveries: list[Delivery] = []
        self._publish_affinities()

    def advance(self, *, days: float = 0.0, seconds: float = 0.0) -> None:
        """Let time pass; what ends meanwhile is published: assignments, and faded evidence."""
        self.now += round(days * _DAY + seconds * 1_000)
        due = _run(self.tables.load_due([0], self.now, len(self.tables.states)))
        stored = self._load([customer for customer, _ in due.get(0, ())])
        outcome = self._score(stored)
        anew = replace(outcome, records=stored | outcome.records, filed_anew=stored.keys())
        self._commit(anew)
        self._follow(outcome)

    def buy(self, customer_id: str, *items: str | Item) -> None:
        """Let a customer buy items, or something of each category that is given as a text."""
        bought = tuple(Item(each, each) if isinstance(each, str) else each for each in items)
        self.apply(Purchase(self._make_id(), customer_id, self.now, bought))

    def assign(
        self, customer_id: str, persona: str | None, *, seconds: float | None = None
    ) -> None:
        """Assign a persona to a customer, for some seconds or for good; None withdraws it."""
        ends = None if seconds is None else self.now + round(seconds * 1_000)
        self.apply(Assignment(self._make_id(), customer_id, self.now, persona, "test", ends))

    def delete(self, customer_id: str) -> None:
        """Forget a customer, with everything that the model learned of them."""
        self.apply(Deletion(self._make_id(), customer_id, self.now))

    def apply(self, *happened: Event) -> None:
        """Send events of any kind, each to its topic."""
        for event in happened:
            kind = events.KINDS.index(type(event))
            self.send(self._settings.input_topics[kind], events.encode(event))

    def send(self, topic: str, *values: bytes | None) -> None:
        """Process messages of an input topic as one batch; what is no event is a dead letter."""
        routed = self._router.route([self._make_message(topic, value) for value in values])
        _run(self.outbox.publish(routed.letters))
        deliveries, customers = routed.deliveries, list(routed.homes)
        stored = self._load(customers)
        late = process.find_late_deletions(deliveries, stored, self.taxonomy)
        histories = {
            name: [each for each in self._deliveries if each.event.customer_id == name]
            for name in late
        }
        outcome = process.process_batch(
            deliveries, stored, self._fitter.weights, self.taxonomy, self._tokenizer, self.now,
            histories,
        )  # fmt: skip
        self._deliveries += deliveries
        self._commit(outcome)
        self._follow(outcome)

    def client(self) -> StubPersonaClient:
        """Return a client of this shop's personas, affinities and changes."""
        return self._connect(StubPersonaClient())

    def async_client(self) -> StubAsyncPersonaClient:
        """Return the same for an event loop."""
        return self._connect(StubAsyncPersonaClient())

    def _connect(self, client: _Client) -> _Client:
        client.records = self.tables.public_records
        client.affinities = self.tables.affinities
        client.tastes, client.common = self.tables.tastes, self.tables.common_tastes
        client.messages = self.outbox.change_messages
        return client

    def _make_id(self) -> str:
        return f"E-{sum(self._offsets.values()) + 1}"

    def _make_message(self, topic: str, value: bytes | None) -> ConsumerRecord[Any, Any]:
        offset, size = self._offsets[topic], len(value or b"")
        self._offsets[topic] += 1
        return ConsumerRecord(
            topic, 0, offset, self.now, BY_BROKER, None, value, None, -1, size, ()
        )

    def _commit(self, outcome: Outcome) -> None:
        if outcome.records:
            days = self._settings.deletion_marker_days
            write = writes.build_write(outcome, self.taxonomy, days, tastes=True)
            change = self._names.apply(outcome.carried, write.forgotten)
            write.names = change.fields
            self._tokenizer.lose_names(change.lost, change.emptied)
            _run(self.tables.commit(self._claim, write))
        _run(self.outbox.publish_changes(self._claim.partition, outcome.messages))

    def _share_names(self) -> bool:
        """Show what names enough customers carry by now; whether these are others."""
        _run(self._listing.write({0: self._names}, now=True))
        listing = _run(self._listed.read())
        if listing is not None:
            self._tokenizer.show_names(listing)
        return bool(self._tokenizer.names.take_renamed())

    def _fit(self) -> None:
        """Derive the model from the labelled customers' records."""
        folded = _run(shards.fold_shard(self.tables, 0, self.taxonomy))
        known, _ = _run(
            shards.load_panel(self.tables, folded.labelled, compute_panel_share(1), self.taxonomy)
        )
        panel = list(make_members(known, self.taxonomy).values())
        self._fitter.update(folded.sums, panel, calibrate=True)

    def _publish_affinities(self) -> None:
        """Store the lifts of all tokens, under the names known by now."""
        weights, names = self._fitter.weights, self._tokenizer.names
        _run(self.tables.save_affinities(compute_affinities(weights, names.join_names)))
        _run(save_common(self.tables, weights, names, self.taxonomy))

    def _follow(self, outcome: Outcome) -> None:
        """Let a moved model score every shopper again, as a worker's sweep does; renew the lifts.

        These follow the names that may be shown as well.
        """
        if outcome.model_updates:
            self._fit()
            self._commit(self._score(self._load(sorted(self.tables.states))))
        renamed = self._share_names()
        if outcome.model_updates or renamed:
            self._publish_affinities()

    def _load(self, customers: list[str]) -> dict[str, Record]:
        return _run(repository.load(self.tables, customers, self.taxonomy.fingerprint))

    def _score(self, stored: dict[str, Record]) -> Outcome:
        """Score shoppers without events."""
        return process.rescore(
            stored, self._fitter.weights, self.taxonomy, self._tokenizer, self.now, Cause.MODEL
        )


_Client = TypeVar("_Client", StubPersonaClient, StubAsyncPersonaClient)


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never waits, as those of tables and outbox in memory."""
    try:
        work.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    raise RuntimeError("a coroutine in memory waited for something")
