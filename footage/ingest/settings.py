"""How to index, and how far it is: what the caller gives to a run and reads from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from footage.pipeline import Beat, Busy, Stopped
from footage.sampling import SamplingSettings

_PAUSE = 0.05  # seconds: how soon a pause ends


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """How to index: sampling, and how much at a time."""

    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    workers: int = 2
    batch: int = 16
    stall: float = 30.0  # seconds without progress after which a file is given up
    spool_bytes: int = 4_000_000_000  # of scratch on disk for each file behind a URL that is at work
    prune: bool = False  # forget files that have vanished


class AtWork(NamedTuple):
    """How far a file is."""

    seconds: float = 0.0  # decoded of it
    duration: float = 0.0  # 0: not known
    size_bytes: int = 0

    @property
    def share(self) -> float:
        """What is done of it, 0..1, by time."""
        return min(1.0, self.seconds / self.duration) if self.duration else 0.0


@dataclass(slots=True)
class Progress:
    """Counters of a running `index`; written by it, read by whoever shows them."""

    files: int = 0
    size_bytes: int = 0
    files_done: int = 0
    bytes_done: int = 0
    bytes_skipped: int = 0  # of those done: of files that asked for no work, being known
    video_seconds: float = 0.0  # of finished videos
    current: dict[str, AtWork] = field(default_factory=dict[str, AtWork])
    """By the path of each file at work."""
    load: Busy = field(default_factory=Busy)
    encode: Busy = field(default_factory=Busy)
    write: Busy = field(default_factory=Busy)
    started: float = field(default_factory=time.monotonic)
    paused: threading.Event = field(default_factory=threading.Event)
    """Set it to hold the decoders; what they gave before is still written."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set it to end the run early, as Ctrl-C does: finished videos are kept."""
    draining: threading.Event = field(default_factory=threading.Event)
    """Set it to begin no further file: those at work are finished."""
    give_way: Callable[[], None] = lambda: None
    """Called between two frames, batches and commits; it may wait a moment, so that others go first."""

    def wait(self, beat: Beat) -> None:
        """Beat, and give way; while paused, go on beating, so that nobody takes the pause for a stall.

        Raises:
            Stopped: the run is over or was cancelled.
        """
        self.give_way()
        beat()
        while self.paused.is_set() and not self.cancelled.is_set():
            beat()
            time.sleep(_PAUSE)
        if self.cancelled.is_set():
            raise Stopped

    @property
    def limit(self) -> str:
        """The stage that is busiest now, hence limits the rest."""
        stages = {"decode": self.load, "encode": self.encode, "write": self.write}
        return max(stages, key=lambda name: stages[name].seconds / max(1, stages[name].workers))

    @property
    def seconds_done(self) -> float:
        """Seconds of video decoded so far, unfinished files counted in."""
        return self.video_seconds + sum(file.seconds for file in list(self.current.values()))

    @property
    def fraction(self) -> float:
        """How much of the bytes is done, 0..1, unfinished files counted in by time."""
        return min(1.0, self._bytes_reached / self.size_bytes) if self.size_bytes else 0.0

    def seconds_left(self, elapsed: float) -> float | None:
        """How long the rest will take at the rate of these seconds; None when too little is done to tell.

        Files that asked for no work say nothing of the rate: most of a library that is indexed again is known.
        """
        reached = self._bytes_reached
        worked, left = reached - self.bytes_skipped, self.size_bytes - reached
        if left <= 0 or worked <= 0.01 * (worked + left):
            return None
        return elapsed * left / worked

    @property
    def _bytes_reached(self) -> float:
        return self.bytes_done + sum(file.share * file.size_bytes for file in list(self.current.values()))
