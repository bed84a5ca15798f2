"""The Faust transport that hands agents whole fetch batches: ``batched://host:port``.

Faust makes two tasks for every message, which caps a worker at a few thousand events a second.
Here one Faust message is everything that one fetch brought, from however many partitions: its
``value`` is a ``Batch``, a list of aiokafka's ``ConsumerRecord``; its topic, partition and offset
are one of them. A message for each partition would be as bad as one for each event where events
trickle in. Assignment, rebalancing and agents stay Faust's. Transactions that were aborted are not
delivered.

**Commits.** What may be committed of a partition is the end of its prefix of acked batches
(``offset_tracker.CommitPosition``): one entry for each batch that is not acked, whatever the order
of the acks and the gaps between offsets. When a partition is revoked its agents finish what they
have begun, that is committed, and the rest is forgotten: its next owner reads it again.

**Nothing read is lost.** Records that arrive while the partitions are being reassigned are put
back, by moving the position to the first of them in the turn of the loop that took them.

**On demand.** A batch is fetched when the agent asks for it, and then it is all that has come. One
that was fetched before would be old by the time it is processed, and small.

**Memory.** Fetching waits while more than ``UNACKED_POLLS`` polls' worth of records are not acked.
An agent may hold several batches before it acks one, but not that many.

An agent reads ``batch_topic(app, ...)``, iterates over ``stream.noack().events()``, calls
``app.consumer.request(event)`` when it could take the next batch and ``event.ack()`` once the
batch's effects are stored. The app is made with ``faust_app.make_faust_options``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final, cast

from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, EventT, Message
from faust.types.transports import TPorTopicSet
from faust.types.tuples import ack_lock
from mode.utils.futures import notify

from stream_persona.errors import TopologyError
from stream_persona.kafka.batch import Batch
from stream_persona.kafka.faust_app import UNACKED_POLLS, BatchApp
from stream_persona.kafka.fetcher import ConsumerThread, Fetched
from stream_persona.kafka.offset_tracker import CommitPosition
from stream_persona.kafka.watched_consumer import WatchedConsumer

logger = logging.getLogger(__name__)

#: Bytes of values that may wait for their ack before fetching waits, however few the records.
UNACKED_BYTES: Final = 64 << 20

_value_size = attrgetter("serialized_value_size")


class Consumer(WatchedConsumer):
    """The driver's consumer, with one message for each fetch."""

    _positions: dict[TP, CommitPosition]
    _thread: ConsumerThread
    #: The last batch, until the next one is asked for.
    _delivered: ConsumerMessage | None
    #: Done when a batch may be fetched.
    _waiting: asyncio.Future[None] | None = None

    #: How often reading was sought back: a batch that was fetched before is not current any more.
    _seeks = 0

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _reset_state(self) -> None:
        super()._reset_state()
        self._positions = {}
        self._delivered = None

    def request(self, after: EventT[Any]) -> None:
        """Ask for the next batch; ``after`` is the last one.

        After any other batch this has no effect: a rebalance asks by itself.
        """
        if after.message is self._delivered:
            self._delivered = None
            notify(self._waiting)

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109  # the driver's signature
    ) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch once and yield a message if there were records."""
        if not await self._may_fetch(timeout):
            return
        try:
            fetched, _ = await self._wait_next_records(timeout)
        except (KafkaError, TopologyError) as error:  # raised, it would end the fetcher alone
            await self.crash(error)
            return
        if not isinstance(fetched, Fetched) or not self._is_current(fetched):
            return
        for tp in fetched.positions.keys() - fetched.keys():
            self._find_position(tp).pass_to(fetched.positions[tp])
        if fetched:
            yield self._deliver(fetched)

    def _is_current(self, fetched: Fetched) -> bool:
        current = fetched.generation == self.app.consumer_generation_id
        current &= fetched.seeks == self._seeks
        return current and self.flow_active and not self.should_stop

    def is_current(self, batch: Batch) -> bool:
        """Whether reading has not been sought back since a batch was fetched."""
        return batch.seeks == self._seeks

    def drop(self, message: Message) -> None:
        """Wait no more for the ack of a batch that will be read again."""
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting)

    def _deliver(self, fetched: Fetched) -> tuple[TP, ConsumerMessage]:
        for tp, records in fetched.items():
            self._find_position(tp).deliver(
                records[0].offset,
                records[-1].offset,
                records=len(records),
                position=fetched.positions[tp],
                size=sum(map(_value_size, records)),
            )
            # Faust looks for duplicates and gaps between messages; between batches there are none.
            self._read_offset[tp] = None
        batch = Batch(fetched, fetched.positions, fetched.seeks)
        message = self._to_message(tp, records[-1])
        message.key, message.value = None, cast("Any", batch)
        self._delivered = message
        return tp, message

    async def _may_fetch(self, seconds: float) -> bool:
        """Whether a batch is asked for and has room; waits for that up to ``seconds``."""
        if self._is_wanted():
            return True
        self._waiting = asyncio.get_running_loop().create_future()
        # Not `wait_for`: before Python 3.12 it can lose the cancellation that ends the fetcher.
        await asyncio.wait([self._waiting], timeout=seconds)
        return self._is_wanted()

    def _is_wanted(self) -> bool:
        if self._delivered is not None:
            return False
        held = [self._settle(tp) for tp in list(self._positions)]
        most = UNACKED_POLLS * self.app.conf.broker_max_poll_records
        return (
            sum(position.unacked_records for position in held) < most
            and sum(position.unacked_bytes for position in held) < UNACKED_BYTES
        )

    def _find_position(self, tp: TP) -> CommitPosition:
        return self._positions.setdefault(tp, CommitPosition())

    def _settle(self, tp: TP) -> CommitPosition:
        """Return the partition's position once all acks that Faust has noted are in it."""
        with ack_lock:
            acked = self._acked.pop(tp, [])
            self._acked_index.pop(tp, None)
        position = self._find_position(tp)
        for last in acked:
            position.ack(last)
        return position

    def ack(self, message: Message) -> bool:
        """Note that a batch is done; one from before the last rebalance is not ours any more."""
        with ack_lock:
            if message.acked:
                return False
            message.acked = True
            self._unacked_messages.discard(message)
            if message.generation_id == self.app.consumer_generation_id:
                # Not what Faust's own does: it drops acks below the last commit, and so those
                # of records that are read again after a refused commit or a seek.
                for tp, last in cast("Batch", message.value).ends.items():
                    self._acked[tp].append(last)
                self._n_acked += 1
        notify(self._waiting)
        return True

    def _filter_tps_with_pending_acks(self, topics: TPorTopicSet | None = None) -> Iterator[TP]:
        return (
            tp
            for tp in list(self._positions)
            if topics is None or tp in topics or tp.topic in topics
        )

    def _new_offset(self, tp: TP) -> int | None:
        return self._settle(tp).committable

    async def _commit_offsets(
        self,
        offsets: Mapping[TP, int],
        start_new_transaction: bool = True,  # noqa: FBT001, FBT002  # the driver's signature
    ) -> bool:
        before = {tp: self._committed_offset[tp] for tp in offsets}
        done = await super()._commit_offsets(offsets, start_new_transaction)
        if not done:  # refused, as the group is rebalancing; Faust has noted it as committed
            self._committed_offset.update(before)
        return done

    async def commit_and_end_transactions(self) -> None:
        """Commit what is acked by now; a commit that is under way may have begun before."""
        await self.maybe_wait_for_commit_to_finish()
        await super().commit_and_end_transactions()

    async def perform_seek(self) -> None:
        """Seek to the group's commits, or to where the effects end if that is earlier."""
        await super().perform_seek()
        app = cast("BatchApp", self.app)
        committed = {tp: self._committed_offset.get(tp) for tp in self.assignment()}
        starts = await app.find_starts(committed)
        if starts:
            await self._read_from(starts)

    def drop_fetched(self) -> None:
        """Let no batch that was fetched by now be processed or acked; ``read_again`` follows."""
        self._seeks += 1
        for message in list(self._unacked_messages):
            self.drop(message)

    async def read_again(self, starts: Mapping[TP, int]) -> None:
        """Read partitions from there on, and all others from their last commit."""
        committed = {tp: self._committed_offset.get(tp) for tp in self.assignment()}
        others = {tp: at for tp, at in committed.items() if at and tp not in starts}
        await self._read_from({**others, **starts})
        self._delivered = None
        notify(self._waiting)

    async def _read_from(self, starts: Mapping[TP, int]) -> None:
        """Seek, and commit the same: the group's lag is what is still to be read."""
        await self._thread.call_thread(self._thread.seek_back, starts, self._seeks)
        for tp, offset in starts.items():
            self._settle(tp)  # acks of what is read again mean nothing any more
            self._positions.pop(tp, None)
            self._read_offset[tp] = None
            self._committed_offset[tp] = offset
        await self._thread.commit(starts)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let agents finish, commit, then forget the partitions."""
        for tp in revoked:
            self._settle(tp)  # Faust is about to forget these acks
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._positions.pop(tp, None)
            self._committed_offset.pop(tp, None)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Deliver nothing of the new partitions until Faust has prepared them and resumes."""
        self._group_errors = 0
        self.stop_flow()
        self._delivered = None  # it may have been taken away before the agent saw it
        await super().on_partitions_assigned(assigned, generation_id)


class Transport(driver.Transport):
    """Kafka through aiokafka, a fetch at a time."""

    Consumer = Consumer
