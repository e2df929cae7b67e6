"""Threads and bounded queues. `stage` is the only place in Footage that starts threads; it knows nothing about video.

A stage's workers pull items from the stage before under a lock, so a chain of stages is a chain of generators:
back-pressure comes from the bounded queues, and memory does not depend on how many items there are.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")
Beat = Callable[[], None]

_POLL = 0.1  # seconds: how soon a stop, and how exactly a stall, is noticed
_GRACE = 1.5  # seconds that workers get to unwind after a stop
_LONGEST = 1.0  # seconds for which one may have to give way at a time


class Stopped(BaseException):
    """Raised inside a worker when its result is no longer wanted; unwinds it, and is never seen outside."""


@dataclass(slots=True)
class Busy:
    """How many seconds the workers of a stage spent working (not waiting); read it at any time."""

    seconds: float = 0.0
    workers: int = 1


class Stages:
    """How often each stage of something was gone through, and for how many seconds in all. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent: dict[str, tuple[int, float]] = {}

    @contextmanager
    def __call__(self, name: str) -> Generator[None]:
        """Count what is done inside, whatever comes of it."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - started)

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Count how each item is made, and not what is done with it; to find that there is no more counts as well."""
        source = iter(items)
        while True:
            with self(name):
                found = next(source, self)
            if found is self:
                return
            yield cast("T", found)

    def add(self, name: str, seconds: float) -> None:
        """Count one passage."""
        with self._lock:
            count, spent = self._spent.get(name, (0, 0.0))
            self._spent[name] = count + 1, spent + seconds

    def spent(self) -> dict[str, tuple[int, float]]:
        """Stage -> (passages, seconds)."""
        with self._lock:
            return dict(self._spent)


class GiveWay:
    """Lets what somebody waits for go before what can wait; the latter keeps a share of its time all the same.

    Threads share the processor, and in Python the interpreter too, so a search beside an indexing run takes many times
    as long as alone. The run asks between two frames whether it may go on.
    """

    def __init__(self, share: float = 0.25) -> None:
        self._share = share
        self._count = 0
        self._lock = threading.Lock()
        self._clear = threading.Event()
        self._clear.set()
        self._since = threading.local()

    @contextmanager
    def first(self) -> Generator[None]:
        """Go before the others for so long; any number may."""
        with self._lock:
            self._count += 1
            self._clear.clear()
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if not self._count:
                    self._clear.set()

    def give(self) -> None:
        """Wait while somebody goes first, at most so long that this thread has worked its share of the time."""
        if not self._clear.is_set():
            worked = time.monotonic() - getattr(self._since, "at", 0.0)
            self._clear.wait(min(worked * (1 / self._share - 1), _LONGEST))
        self._since.at = time.monotonic()


@dataclass(slots=True)
class _End:
    error: BaseException | None = None


@dataclass(slots=True, eq=False)
class _Worker(Generic[T]):
    stop: threading.Event
    last_beat: float = field(default_factory=time.monotonic)
    item: T | None = None
    working: bool = False  # False while it waits for an item or for room: that is no stall
    abandoned: bool = False
    thread: threading.Thread | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)  # of the two flags: giving up is not a race

    def beat(self) -> None:
        self.last_beat = time.monotonic()
        if self.abandoned or self.stop.is_set():
            raise Stopped

    def begin(self) -> None:
        with self.lock:
            self.last_beat, self.working = time.monotonic(), True

    def pause(self) -> None:
        with self.lock:
            self.working = False

    def abandon(self, limit: float) -> bool:
        """Give it up if it has worked without a beat for `limit` seconds; its item then belongs to the caller."""
        with self.lock:
            self.abandoned = self.working and time.monotonic() - self.last_beat > limit
            return self.abandoned


class _Stage(Generic[T, R]):
    def __init__(
        self,
        items: Iterable[T],
        work: Callable[[T, Beat], Iterable[R]],
        workers: int,
        depth: int,
        stop: threading.Event,
        busy: Busy,
    ) -> None:
        self.source = iter(items)
        self.work = work
        self.stop = stop
        self.busy = busy
        self.lock = threading.Lock()
        self.out: queue.Queue[R | _End] = queue.Queue(maxsize=depth)
        self.workers: list[_Worker[T]] = []
        self.failure: BaseException | None = None  # of the work or the source
        for _ in range(workers):
            self.start_worker()

    def start_worker(self) -> None:
        worker: _Worker[T] = _Worker(self.stop)
        self.workers.append(worker)
        worker.thread = threading.Thread(target=self._run, args=(worker,), daemon=True)
        worker.thread.start()

    def _run(self, worker: _Worker[T]) -> None:
        end = _End()
        try:
            while not worker.abandoned:
                with self.lock:  # a generator may not be entered by two threads at once
                    if self.stop.is_set():
                        break
                    try:
                        worker.item = next(self.source)
                    except StopIteration:
                        break
                self._work(worker, worker.item)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - the relay: it is raised again where the results are read
            end = _End(error)
        if not worker.abandoned:
            self._put(worker, end)

    def _work(self, worker: _Worker[T], item: T) -> None:
        worker.begin()
        started = time.monotonic()
        try:
            for result in self.work(item, worker.beat):
                self.busy.seconds += time.monotonic() - started
                worker.pause()
                self._put(worker, result)
                worker.begin()
                started = time.monotonic()
        finally:
            self.busy.seconds += time.monotonic() - started
            worker.pause()

    def _put(self, worker: _Worker[T], result: R | _End) -> None:
        while True:
            if worker.abandoned or (self.stop.is_set() and not isinstance(result, _End)):
                raise Stopped
            try:
                return self.out.put(result, timeout=_POLL)
            except queue.Full:
                if self.stop.is_set():
                    return None

    def stalled(self, limit: float) -> list[T]:
        """Give up on workers that show no sign of life, start others in their place; returns their items."""
        lost = [worker for worker in self.workers if worker.abandon(limit)]
        for worker in lost:
            self.workers.remove(worker)
            self.start_worker()
        return [cast("T", worker.item) for worker in lost]

    def join(self, seconds: float) -> None:
        """Wait for the workers to unwind; a thread in foreign code must not be alive when the interpreter ends."""
        end = time.monotonic() + seconds
        for worker in self.workers:
            if worker.thread is not None:
                worker.thread.join(max(0.0, end - time.monotonic()))


def stage(
    items: Iterable[T],
    work: Callable[[T, Beat], Iterable[R]],
    *,
    stop: threading.Event,
    workers: int = 1,
    depth: int = 8,
    busy: Busy | None = None,
    stall: float | None = None,
    on_stall: Callable[[T], R] | None = None,
    on_idle: Callable[[], R] | None = None,
) -> Generator[R, None, None]:
    """Apply `work` to the items on threads of its own and yield what it yields, in order of completion.

    The results of one item keep their order. `work` gets a `beat` to call while it makes progress: if it neither
    beats nor yields for `stall` seconds, its thread is abandoned (a thread cannot be killed; it is a daemon and its
    further results are dropped), `on_stall(item)` is yielded instead, and a new worker goes on with the next item.
    Results that the item gave before may still wait in the queue then, and come after it.

    While nothing comes, `on_idle()` is yielded now and then, so that whoever reads can do what is due by the clock.

    An exception of `work` or of `items` is raised here with its own traceback. Set `stop` to end: beats then raise
    inside the workers, and this generator returns as soon as they have unwound, within two seconds in any case. It
    sets `stop` itself when it is closed, or interrupted.
    """
    busy = busy or Busy()
    busy.workers = workers
    state = _Stage(items, work, workers, depth, stop, busy)
    try:
        yield from _results(state, stall, on_stall, on_idle)
    except BaseException as error:
        if error is not state.failure:  # which the next stage has yet to relay: a stop would silence it
            stop.set()
        raise
    finally:
        if stop.is_set():
            state.join(_GRACE)


def _results(
    state: _Stage[T, R], stall: float | None, on_stall: Callable[[T], R] | None, on_idle: Callable[[], R] | None
) -> Iterator[R]:
    ended = 0
    looked = time.monotonic()
    while ended < state.busy.workers and not state.stop.is_set():
        now = time.monotonic()
        if stall is not None and on_stall is not None and now - looked > _POLL:
            looked = now  # not only when nothing comes: other workers may keep the queue filled for hours
            yield from map(on_stall, state.stalled(stall))
        try:
            result = state.out.get(timeout=_POLL)
        except queue.Empty:
            if on_idle is not None:
                yield on_idle()
            continue
        if isinstance(result, _End):
            ended += 1
            if result.error is not None:
                state.failure = result.error
                raise result.error
        else:
            yield result


def batched(
    items: Iterable[T], key: Callable[[T], Hashable | None], *, size: int, patience: float
) -> Iterator[list[T]]:
    """Group items of equal key into lists of up to `size`; an item whose key is None passes at once, alone.

    An incomplete group is let go when its oldest item has waited `patience` seconds, and at the end.
    """
    groups: dict[Hashable, tuple[float, list[T]]] = {}
    for item in items:
        now = time.monotonic()
        name = key(item)
        if name is None:
            yield [item]
        else:
            _, group = groups.setdefault(name, (now, []))
            group.append(item)
            if len(group) >= size:
                yield groups.pop(name)[1]
        for late in [n for n, (since, _) in groups.items() if now - since > patience]:
            yield groups.pop(late)[1]
    for _, group in groups.values():
        yield group
