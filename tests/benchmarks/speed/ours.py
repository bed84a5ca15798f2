"""Ours: the worker that operators run, with a meter around the batches that it is handed."""

import asyncio
from collections.abc import Callable, Sequence

from aiokafka import ConsumerRecord

from stream_persona.cli import services
from stream_persona.domain import taxonomy
from stream_persona.settings import load_settings
from stream_persona.worker.worker import Worker
from tests.benchmarks.speed.meter import Meter

Batch = Sequence[ConsumerRecord]


def measure(meter: Meter) -> None:
    """Let the meter see what a worker's batches take."""
    process_batch = Worker.process_batch

    async def metered(self: Worker, batch: Batch, ack: Callable[[], object]) -> asyncio.Task[None]:
        def written() -> None:
            if meter.add(len(batch)):
                meter.stop(model_bytes=model_bytes(self))
            ack()

        meter.begin()
        return await process_batch(self, batch, written)

    Worker.process_batch = metered  # type: ignore[method-assign]


def model_bytes(worker: Worker) -> int:
    """What the sums of all owned partitions take uncompressed."""
    return sum(
        len(owned.shard.sums.encode_canonically()) for owned in worker.partitions.held.values()
    )


if __name__ == "__main__":
    settings = load_settings()
    measure(Meter.of_arguments())
    services.run_worker(settings, taxonomy.load(settings.taxonomy))
