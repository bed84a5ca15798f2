"""Ours: the worker that operators run, with a meter around the batches that it is handed."""

from collections.abc import Awaitable, Callable, Sequence

from aiokafka import ConsumerRecord

from stream_persona.cli import services
from stream_persona.domain import taxonomy
from stream_persona.settings import load_settings
from stream_persona.worker.worker import Worker
from tests.benchmarks.speed.meter import Meter

Batch = Sequence[ConsumerRecord]


def measure(meter: Meter) -> None:
    """Let the meter see what a worker's batches take."""
    walk = Worker.walk

    async def metered(self: Worker, batch: Batch) -> Callable[[], Awaitable[None]]:
        meter.begin()
        write = await walk(self, batch)

        async def written() -> None:
            await write()
            if meter.add(len(batch)):
                meter.stop(model_bytes=model_bytes(self))

        return written

    Worker.walk = metered  # type: ignore[method-assign]


def model_bytes(worker: Worker) -> int:
    """What the sums of all owned partitions take uncompressed."""
    return sum(len(owned.part.sums.canonical()) for owned in worker.ownership.held.values())


if __name__ == "__main__":
    settings = load_settings()
    measure(Meter.of_arguments())
    services.worker(settings, taxonomy.load(settings.taxonomy))
