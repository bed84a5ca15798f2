"""The open-loop producer of the latency benchmark: at a fixed rate, whatever the worker does.

It is a process of its own, so that it and the reader of the answers don't wait for each other.
The job's events go out evenly, but for its assignments: labelled customers were so before. Every so
many, an assignment of somebody new is a probe. A probe counts from when it was due, on the
machine's monotonic clock, and so a producer that is behind counts against the latency and not for
it.

What is due goes out in one request for all partitions. librdkafka makes one for each of them, which
at this rate is one for nearly every event; the broker's CPU is the worker's here, and measured as
its latency.
"""

import argparse
import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count

from aiokafka import AIOKafkaProducer

from stream_persona.domain.events import ASSIGNMENT
from stream_persona.kafka import partitioner
from stream_persona.kafka.producer import pack_batches, send_all
from stream_persona.settings import Settings, load_settings
from tests.benchmarks.speed.job import BEGAN, Job, Sent, assignment

#: Seconds between two looks at the clock.
_TICK = 0.005


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    made.add_argument("--rate", type=float, required=True, help="events a second")
    made.add_argument("--seconds", type=float, required=True)
    made.add_argument("--probes", type=float, required=True, help="probes a second")
    made.add_argument("--first", type=int, required=True, help="the number of the first probe")
    made.add_argument("--customers", type=int, required=True)
    made.add_argument("--personas", type=int, required=True)
    return made


def probes(options: argparse.Namespace) -> Iterator[Sent]:
    """Assignments of customers without a record."""
    return (probe(number, options.personas) for number in count(options.first))


def probe(number: int, personas: int) -> Sent:
    at = BEGAN + number
    return assignment(number, f"P{number:07d}", f"persona-{number % personas}", at)


def prepared(options: argparse.Namespace) -> list[Sent]:
    """Everything that will be sent: probes evenly among the job's events."""
    total = round(options.rate * options.seconds)
    every = max(1, round(options.rate / options.probes))
    job = Job(events=total, customers=options.customers, personas=options.personas,
              seed=options.first + 2)  # fmt: skip
    events = (sent for sent in job.messages() if sent[0] != ASSIGNMENT)
    new = probes(options)
    sources = (events if index % every else new for index in range(total))
    return [sent for source in sources if (sent := next(source, None))]


async def send(messages: list[Sent], rate: float, settings: Settings) -> dict[str, float]:
    """When each probe was due, by customer, in seconds of the monotonic clock."""
    homes = [partitioner.find_home_partition(name, settings.partitions) for _, name, _ in messages]
    due = dict[str, float]()
    async with AIOKafkaProducer(bootstrap_servers=settings.brokers, acks="all") as to:
        began, sent = time.monotonic(), 0
        while sent < len(messages):
            until = min(len(messages), int(rate * (time.monotonic() - began)) + 1)
            for number in range(sent, until):
                kind, name, _ = messages[number]
                if kind == ASSIGNMENT and name.startswith("P"):
                    due[name] = began + number / rate
            await send_now(to, messages[sent:until], homes[sent:until], settings)
            sent = until
            await asyncio.sleep(_TICK)
    return due


async def send_now(
    to: AIOKafkaProducer, messages: Sequence[Sent], homes: Sequence[int], settings: Settings
) -> None:
    """One batch for each partition of a topic; waits for the broker."""
    apart = defaultdict[tuple[int, int], list[tuple[bytes, bytes | None]]](list)
    for (kind, name, value), home in zip(messages, homes, strict=True):
        apart[kind, home].append((name.encode(), value))
    await send_all(
        to.send_batch(batch, settings.input_topics[kind], partition=home)
        for (kind, home), keyed in apart.items()
        for batch in pack_batches(to, keyed)
    )


def main() -> None:
    options, settings = parser().parse_args(), load_settings()
    messages = prepared(options)
    print(json.dumps(asyncio.run(send(messages, options.rate, settings))))


if __name__ == "__main__":
    main()
