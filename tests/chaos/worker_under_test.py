"""The real worker in a process that kills or stops itself at a step, when it is ordered to.

``python -m tests.chaos.worker_under_test ORDER``: settings come from the environment, as they do
for ``stream-persona worker``. An order is a file that the trial puts at ORDER: ``SIGKILL write 3``
is a SIGKILL the third time from then on that a write has been done. The worker takes the file away
when it obeys, and leaves at ORDER.done which step it was and which partition's. Once it has written
its first batch, there is an ORDER.works.

No hook is in the product: the worker is given tables and a publisher that are wrapped.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from stream_persona import settings
from stream_persona.cli import services
from stream_persona.domain import taxonomy
from stream_persona.store.tables import Claim
from stream_persona.worker import app, worker

#: The step that is reached when a method returns.
TABLES = {"claim": "claim", "load": "load", "commit_all": "write", "save_shard": "part"}
PUBLISHER = {"take_over": "fence", "publish": "forward", "publish_changes": "publish"}


class Orders:
    """Looks for an order at every step, and obeys."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._works = False
        self._text, self._reached = "", 0
        self.partition = -1

    def reached(self, step: str) -> None:
        """Count the step if an order is about it; on its n-th time, send the signal."""
        if step == "write" and not self._works:
            self._works = True
            self._path.with_suffix(".works").touch()
        with suppress(FileNotFoundError):
            text = self._path.read_text()
            if text != self._text:
                self._text, self._reached = text, 0
            number, wanted, nth = text.split()
            if step == wanted:
                self._reached += 1
                if self._reached >= int(nth):
                    self._obey(signal.Signals[number], step)

    def _obey(self, number: signal.Signals, step: str) -> None:
        done = self._path.with_suffix(".done")
        done.with_suffix(".new").write_text(f"{step} {self.partition}")
        done.with_suffix(".new").rename(done)
        self._path.unlink()
        os.kill(os.getpid(), number)


class Watched:
    """Stands for a collaborator; a step is reached when one of its ``steps`` methods returns."""

    def __init__(self, real: Any, steps: dict[str, str], orders: Orders) -> None:
        self._real, self._steps, self._orders = real, steps, orders

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self._noting(found, self._steps[name]) if name in self._steps else found

    def _noting(
        self, method: Callable[..., Awaitable[Any]], step: str
    ) -> Callable[..., Awaitable[Any]]:
        async def noting(*args: Any, **kwargs: Any) -> Any:
            found = await method(*args, **kwargs)
            self._orders.partition = partition_of(args)
            self._orders.reached(step)
            return found

        return noting


def partition_of(args: Sequence[Any]) -> int:
    """Return the partition of a step; -1 where it is of no single one."""
    if args and isinstance(args[0], Claim):
        return args[0].partition
    return args[0] if args and isinstance(args[0], int) else -1


def watched_worker(orders: Orders) -> type[worker.Worker]:
    class WatchedWorker(worker.Worker):
        """Notes the partition of its batch; when it is written, all is done but the ack."""

        def __init__(
            self, settings: Any, taxonomy: Any, tables: Any, publisher: Any, *others: Any
        ) -> None:
            watched = Watched(tables, TABLES, orders), Watched(publisher, PUBLISHER, orders)
            super().__init__(settings, taxonomy, *watched, *others)

        async def process_batch(
            self, batch: Sequence[Any], ack: Callable[[], object]
        ) -> asyncio.Task[None]:
            def written() -> None:
                orders.partition = batch[0].partition
                orders.reached("ack")
                ack()

            return await super().process_batch(batch, written)

    return WatchedWorker


def main(order: str) -> None:
    app.Worker = watched_worker(Orders(Path(order)))  # type: ignore[attr-defined]
    own = settings.load_settings()
    services.run_worker(own, taxonomy.load(own.taxonomy))


if __name__ == "__main__":
    main(sys.argv[1])
