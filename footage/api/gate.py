"""Bounded work: a few threads, a bounded line before them, and a limit in time; what waits may be done together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from footage.api.faults import Busy, TookTooLong

T = TypeVar("T")
Q = TypeVar("Q")
_TOGETHER = 16  # questions: more of them save little more, and the first one waits for the last


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Q, T]):
    """A question in line."""

    question: Q
    answer: Future[T] = field(default_factory=Future[T])


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
        self._line: list[_Waiting[Any, Any]] = []
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

    async def ask(self, question: Q, answer: Callable[[Sequence[Q]], Sequence[T | Exception]]) -> T:
        """Answer a question on one of the threads, together with what waits in line at that time.

        All who ask at one gate give the same `answer`. In place of a result may stand an exception, which is raised
        for that question; one that `answer` raises is nobody's in particular, so each is then answered alone.

        Raises:
            Busy, TookTooLong: as in `run`.
        """
        mine: _Waiting[Q, T] = _Waiting(question)
        with self._lock:
            self._line.append(mine)
        try:
            return await self.run(lambda: self._turn(mine, answer))
        finally:
            with self._lock:
                if mine in self._line:  # refused, too late, or the client is gone
                    self._line.remove(mine)

    def _turn(self, mine: _Waiting[Q, T], answer: Callable[[Sequence[Q]], Sequence[T | Exception]]) -> T:
        with self._lock:
            together = []
            if mine in self._line:
                self._line.remove(mine)
                together = [mine, *self._line[: _TOGETHER - 1]]
                del self._line[: _TOGETHER - 1]
        if together:
            _answer(together, answer)
        return mine.answer.result()  # else another thread took it along, and is at work

    def close(self) -> None:
        """Wait for what is at work; drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self, _: Future[T] | None = None) -> None:
        with self._lock:
            self.inside -= 1


def _answer(together: Sequence[_Waiting[Q, T]], answer: Callable[[Sequence[Q]], Sequence[T | Exception]]) -> None:
    try:
        answers = answer([each.question for each in together])
    except Exception as error:  # noqa: BLE001 - it reaches the face by the futures of those who asked
        if len(together) == 1:
            together[0].answer.set_exception(error)
        else:
            for each in together:
                _answer([each], answer)
        return
    for each, found in zip(together, answers, strict=True):
        if isinstance(found, Exception):
            each.answer.set_exception(found)
        else:
            each.answer.set_result(found)
