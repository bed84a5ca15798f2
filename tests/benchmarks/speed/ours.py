"""Ours: the worker that operators run, with a meter around the batches that it is handed."""

from collections.abc import Awaitable, Callable

from aiokafka import ConsumerRecord

from stream_persona import launch, taxonomy
from stream_persona.settings import load_settings
from stream_persona.worker import Worker
from tests.benchmarks.speed.meter import Meter


def measure(meter: Meter) -> None:
    """Let the meter see what a worker's batches take."""
    walk = Worker.walk

    async def metered(worker: Worker, batch: list[ConsumerRecord]) -> Callable[[], Awaitable[None]]:
        meter.begin()
        write = await walk(worker, batch)

        async def written() -> None:
            await write()
            if meter.add(len(batch)):
                meter.stop(model_bytes=model_bytes(worker))

        return written

    Worker.walk = metered


def model_bytes(worker: Worker) -> int:
    """What the sums of all owned partitions take uncompressed."""
    return sum(len(owned.part.sums.canonical()) for owned in worker.ownership.held.values())


if __name__ == "__main__":
    settings = load_settings()
    measure(Meter.of_arguments())
    launch.worker(settings, taxonomy.load(settings.taxonomy))
