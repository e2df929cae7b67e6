"""Which frames stand for the video: one a second, the first of every shot, and none twice. No decoding here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from footage.errors import ConfigError
from footage.types import Frame, Sample

if TYPE_CHECKING:
    from footage.types import UInt8

_LOOK = 2  # frames looked ahead before a cut is believed: a flash is over by then
_PAST = 8  # frames whose motion the jump at a cut is measured against


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How densely a video is sampled."""

    every: float = 1.0  # seconds between candidates
    near: float = 2.0  # a candidate this near to the last kept sample is dropped; in grey levels, see `distance`
    fast: bool = False  # the frames are the container's key frames only

    def __post_init__(self) -> None:
        if not 0.02 <= self.every <= 3600:
            raise ConfigError(
                f"the sampling interval is {self.every:g} s; allowed are 0.02 to 3600", hint="--every 1 is the default"
            )
        if not 0 <= self.near <= 255:
            raise ConfigError(
                f"the near-duplicate threshold is {self.near:g}; allowed are 0 (keep all) to 255",
                hint=f"{SamplingSettings.near} is the default",
            )

    @property
    def fingerprint(self) -> str:
        """A short text that differs whenever the settings would keep other samples."""
        return f"1:{self.every:g}/{self.near:g}" + ("/fast" if self.fast else "")


def samples(
    frames: Iterable[Frame], settings: SamplingSettings, duration: Callable[[], float] | None = None
) -> Iterator[Sample]:
    """Choose samples among frames in the order of time; their ranges tile [0, end of the video).

    `duration` is asked for the end of the video after the last frame; without it the last frame lasts as long as the
    one before. Holds one sample and a few frames at a time. Any frames at all give at least one sample.
    """
    kept: Frame | None = None
    start = covered = last = step = 0.0  # covered: time of the last candidate that `kept` stands for
    cut: float | None = None  # a cut since `covered`
    due = 0.0
    for frame, cut_time in _with_cuts(frames, settings):
        step, last = frame.time - last, frame.time
        cut = cut_time if cut_time is not None else cut
        if kept is None:
            kept, covered, due, cut = frame, frame.time, frame.time + settings.every, None
            continue
        if cut_time is None and frame.time < due - 1e-6:
            continue
        due = frame.time + settings.every
        if distance(frame.luma, kept.luma) < settings.near:
            covered, cut = frame.time, None
            continue
        border = cut if cut is not None else (covered + frame.time) / 2
        border = min(max(border, np.nextafter(kept.time, np.inf)), frame.time)
        yield Sample(start, float(border), kept.time, kept)
        kept, start, covered, cut = frame, float(border), frame.time, None
    if kept is not None:
        end = duration() if duration is not None else last + (step or settings.every)
        yield Sample(start, max(end, float(np.nextafter(last, np.inf))), kept.time, kept)


def distance(a: UInt8, b: UInt8) -> float:
    """How different two lumas look, in grey levels: the mean over all cells, or a sixth of the worst hundredth.

    The second term sees a small thing move in a still scene, which the mean does not.
    """
    difference = np.abs(a.astype(np.int16) - b).ravel()
    worst = max(difference.size // 100, 1)
    top = np.partition(difference, -worst)[-worst:]
    return max(float(difference.mean()), float(top.mean()) / 6)


def _with_cuts(frames: Iterable[Frame], settings: SamplingSettings) -> Iterator[tuple[Frame, float | None]]:
    """Each frame, and the time of the cut if it is the first clean one behind a cut."""
    ahead: deque[tuple[Frame, float]] = deque()  # frames not yet yielded, with their jump from the one before
    past: deque[float] = deque(maxlen=_PAST)
    before: UInt8 | None = None
    previous: UInt8 | None = None
    for frame in frames:
        jump = _difference(frame.luma, previous) if previous is not None else 0.0
        previous = frame.luma
        ahead.append((frame, jump))
        if len(ahead) <= _LOOK:
            continue
        head, jump = ahead.popleft()
        cut = before is not None and _is_cut(before, head.luma, jump, past, ahead)
        past.append(jump)
        before = head.luma
        yield head, head.time if cut else None
    for frame, _ in ahead:
        yield frame, None


def _is_cut(before: UInt8, luma: UInt8, jump: float, past: deque[float], ahead: deque[tuple[Frame, float]]) -> bool:
    if jump < 12:
        return False
    motion = [*past, *(next_jump for _, next_jump in ahead)]
    if jump < 3 * (sum(motion) / len(motion)):
        return False
    return all(_difference(frame.luma, before) > jump / 2 for frame, _ in ahead)


def _difference(a: UInt8, b: UInt8) -> float:
    """Mean absolute difference of two lumas, grey levels."""
    return float(np.abs(a.astype(np.int16) - b).mean())
