"""Bounded work: a few threads, a bounded line in front of them, and a limit in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from footage.api.faults import Busy, TookTooLong

T = TypeVar("T")


class Gate:
    """Runs blocking work on its own threads; refuses at once when too much is waiting already.

    A thread cannot be killed: work that takes too long is answered with an error, but keeps its place until it ends,
    so that slow requests cannot pile up.
    """

    def __init__(self, name: str, workers: int, waiting: int, seconds: float) -> None:
        self.name = name
        self.seconds = seconds
        self.limit = workers + waiting
        self.inside = 0
        self.refused = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=f"footage-{name}")

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work on one of the threads.

        Raises:
            Busy: as much is waiting as may wait.
            TookTooLong: it is not done in time.
        """
        with self._lock:
            if self.inside >= self.limit:
                self.refused += 1
                raise Busy("too many requests at the same time", hint="try again in a moment")
            self.inside += 1
        try:
            future = self._pool.submit(work)
        except BaseException:
            self._leave()
            raise
        future.add_done_callback(self._leave)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.seconds)
        except TimeoutError:
            future.cancel()  # it may still be waiting in line
            raise TookTooLong(f"not done within {self.seconds:g} s", hint="ask for less, or try again later") from None

    def close(self) -> None:
        """Wait for what is at work; drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self, _: Future[T] | None = None) -> None:
        with self._lock:
            self.inside -= 1
