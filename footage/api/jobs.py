"""Indexing, and changing the model, as jobs: one at a time, in order; they can be paused, resumed and cancelled."""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from footage.api.faults import Busy, Conflict, NotFound, body, internal_body
from footage.errors import FootageError, StoreUnavailable
from footage.ingest import Progress
from footage.pipeline import GiveWay
from footage.places import Place

if TYPE_CHECKING:
    from footage.api.models import ErrorBody
    from footage.encoders.weights import Step
    from footage.library import Library
    from footage.types import Indexed

State: TypeAlias = Literal["queued", "running", "paused", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")
_KEPT = 100  # jobs remembered
_FILES_KEPT = 200  # files of each
_RETRY = 5.0  # seconds between two tries while another process is indexing
_PATIENCE = 3600.0
_NICE = 10


@dataclass(slots=True)
class Job:
    """One run of `index`, or of `use` where a model is named."""

    id: str
    paths: tuple[Place, ...]
    shown: tuple[str, ...]  # as the caller knows them
    every: float | None = None
    fast: bool | None = None
    prune: bool = False
    model: str = ""  # to be used
    beside: float | None = None  # its weight beside what answers
    window: float | None = None  # seconds of the windows that it is to look at
    stride: float | None = None
    state: State = "queued"
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    progress: Progress = field(default_factory=Progress)
    counts: dict[str, int] = field(default_factory=dict[str, int])
    files: deque[Indexed] = field(default_factory=lambda: deque(maxlen=_FILES_KEPT))
    error: ErrorBody | None = None
    waiting: bool = False  # for another process that writes to the library
    fetching: Step | None = None  # the weights of the model, before a new library begins
    version: int = 0  # counts the changes, for whoever follows

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED


class _Cancelled(Exception):
    """Ends the fetching of weights."""


class Jobs:
    """The line of jobs of one library, and the thread that works it off."""

    def __init__(self, library: Library, limit: int) -> None:
        self._library, self._limit = library, limit
        self.way = GiveWay()  # whoever is waited for goes first on it
        self.queued: Callable[[], None] = lambda: None  # called when a job has come, before its sender knows of it
        self._jobs: dict[str, Job] = {}
        self._line: queue.Queue[Job | None] = queue.Queue()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._spent = {"decode": 0.0, "encode": 0.0, "write": 0.0, "video": 0.0}  # seconds, of jobs that have ended

    def spent(self) -> dict[str, float]:
        """Seconds that each stage of indexing has worked since the server began, and seconds of video that were done.

        To sample is a part of decoding.
        """
        out = dict(self._spent)
        for job in self.all():
            if not job.over:
                _add(out, job.progress)
        return out

    @property
    def open(self) -> int:
        """How many are queued, running or paused."""
        return sum(job.state not in ENDED for job in list(self._jobs.values()))

    def add(
        self,
        paths: Sequence[Place],
        shown: Sequence[str],
        *,
        every: float | None = None,
        fast: bool | None = None,
        prune: bool = False,
    ) -> Job:
        """Put a run of `index` in line.

        Raises:
            Busy: too many are waiting.
        """
        return self._queue(Job(secrets.token_hex(8), tuple(paths), tuple(shown), every, fast, prune))

    def use(
        self, model: str, *, beside: float | None = None, window: float | None = None, stride: float | None = None
    ) -> Job:
        """Put a change of the model in line.

        Raises:
            Busy: too many are waiting.
        """
        return self._queue(Job(secrets.token_hex(8), (), (), model=model, beside=beside, window=window, stride=stride))

    def _queue(self, job: Job) -> Job:
        with self._lock:
            if self.open >= self._limit:
                raise Busy("too many indexing jobs are waiting", hint="wait until one is done")
            job.progress.give_way = self.way.give
            for old in [j for j in self._jobs.values() if j.state in ENDED][: max(0, len(self._jobs) + 1 - _KEPT)]:
                del self._jobs[old.id]
            self._jobs[job.id] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="footage-jobs", daemon=True)
                self._thread.start()
        self.queued()
        self._line.put(job)
        return job

    def all(self) -> list[Job]:
        """The jobs, newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def get(self, job_id: str) -> Job:
        """Look one up; raises NotFound."""
        found = self._jobs.get(job_id)
        if found is None:
            raise NotFound("no such job", hint="GET /api/v1/jobs lists them")
        return found

    def cancel(self, job_id: str) -> Job:
        """End a job early; what is indexed stays. Raises NotFound or Conflict."""
        job = self.get(job_id)
        with self._lock:
            if job.state in ENDED:
                raise Conflict(f"the job is {job.state} already")
            job.progress.cancelled.set()
            if job.state == "queued":
                self._end(job, "cancelled")
            job.version += 1
        return job

    def pause(self, job_id: str) -> Job:
        """Hold a running job. Raises NotFound or Conflict."""
        return self._hold(job_id, "running", "paused")

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on. Raises NotFound or Conflict."""
        return self._hold(job_id, "paused", "running")

    def close(self) -> None:
        """Cancel everything and wait until the library is in order."""
        self._closing.set()
        for job in self.all():
            if job.state not in ENDED:
                job.progress.cancelled.set()
        self._line.put(None)
        if self._thread is not None:
            self._thread.join(30)

    def _hold(self, job_id: str, now: State, then: State) -> Job:
        job = self.get(job_id)
        with self._lock:
            if job.state != now:
                raise Conflict(f"the job is {job.state}, not {now}")
            job.state = then
            job.version += 1
            if then == "paused":
                job.progress.paused.set()
            else:
                job.progress.paused.clear()
        return job

    def _work(self) -> None:
        _step_back()
        while (job := self._line.get()) is not None and not self._closing.is_set():
            with self._lock:
                if job.state != "queued":
                    continue
                job.state, job.started = "running", time.time()
                job.progress.started = time.monotonic()
                job.version += 1
            try:
                self._run(job)
                state: State = "cancelled" if job.progress.cancelled.is_set() else "done"
            except FootageError as error:
                state, job.error = "failed", body(error)
            except Exception:  # noqa: BLE001 - the top of a face: one job that fails must not end the others
                state, job.error = "failed", internal_body()
            with self._lock:
                self._end(job, state)

    def _run(self, job: Job) -> None:
        def done(result: Indexed) -> None:
            job.counts[result.status] = job.counts.get(result.status, 0) + 1
            if result.status != "unchanged":
                job.files.append(result)
            job.version += 1

        def weights(step: Step) -> None:
            if job.progress.cancelled.is_set():
                raise _Cancelled
            job.fetching = step if step.file else None  # the last step names none
            job.version += 1

        patience = time.monotonic() + _PATIENCE
        while True:
            try:
                if job.model:
                    self._library.use(
                        job.model,
                        beside=job.beside,
                        window=job.window,
                        stride=job.stride,
                        progress=job.progress,
                        on_weights=weights,
                    )
                else:
                    self._library.index(
                        job.paths,
                        every=job.every,
                        fast=job.fast,
                        prune=job.prune,
                        progress=job.progress,
                        on_file=done,
                        on_weights=weights,
                    )
                return
            except _Cancelled:  # what was fetched is kept, and the next pull goes on from there
                return
            except StoreUnavailable:  # the command line is writing: a job is there to wait
                if time.monotonic() > patience:
                    raise
                job.waiting = True
                job.version += 1
                if job.progress.cancelled.wait(_RETRY):
                    return
            finally:
                job.waiting, job.fetching = False, None

    def _end(self, job: Job, state: State) -> None:
        _add(self._spent, job.progress)
        job.state, job.ended = state, time.time()
        job.version += 1


def _add(spent: dict[str, float], progress: Progress) -> None:
    stages = {"decode": progress.load, "encode": progress.encode, "write": progress.write}
    for name, busy in stages.items():
        spent[name] += busy.seconds
    spent["video"] += progress.video_seconds


def _step_back() -> None:
    """Let searches go first: on Linux a thread may be nicer than its process, and the threads it starts are as nice."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
