"""Windows: short runs of frames for encoders that look at motion, cut from the same pass as the samples.

A window stands for one stride of the video, the windows tile it, and each looks at the seconds around the middle of
its stride, moved inside at both ends. The frames lie on one grid, `seconds / frames` apart, so that each is converted
once however many windows it is in, and no more than a window of pictures is held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf, nextafter
from typing import TYPE_CHECKING

from footage.sampling import SamplingSettings, each_step
from footage.types import Frame, Sample, Window

if TYPE_CHECKING:
    from footage.types import UInt8

_SLACK = 1e-6  # seconds by which a place on the grid, a product of floats, may be off


@dataclass(frozen=True, slots=True, eq=False)
class WindowSample:
    """A window of frames, and the range of the video that it stands for."""

    start: float
    end: float
    at: float  # the middle of its stride
    pictures: tuple[UInt8, ...]  # RGB (h, w, 3); neighbours share them
    cutter: int  # number of the one that cut it


class Cutter:
    """Cuts the windows of one encoder from frames in the order of time. `scale` makes the picture of a frame."""

    def __init__(self, window: Window, scale: Callable[[Frame], UInt8], number: int = 0) -> None:
        self.window = window
        self._scale = scale
        self.number = number
        self._step = window.seconds / window.frames
        self._shown: Frame | None = None  # the frame on display, whose end is not known yet
        self._picture: UInt8 | None = None  # its picture, once a place on the grid wants it
        self._places: deque[UInt8] = deque(maxlen=window.frames)  # the last places of the grid
        self._filled = 0
        self._cut = 0
        self._held: WindowSample | None = None  # the last window cut: its end is that of the video if none follows

    def begin(self, time: float) -> float:
        """Leave out the windows that look at anything before `time`; gives the start of the first one that is left."""
        self._filled = max(0, ceil(time / self._step - 0.5 - _SLACK))
        while self._first_place(self._cut) < self._filled:
            self._cut += 1
        return self._cut * self.window.stride

    def take(self, frame: Frame) -> Iterator[WindowSample]:
        """Accept the next frame; yields the windows that end before it."""
        if self._shown is not None:
            yield from self._fill(frame.time)
        self._shown, self._picture = frame, None

    def end(self, duration: float) -> Iterator[WindowSample]:
        """Yield the windows that are left, given the end of the video; a shorter video stands still at its end."""
        if self._shown is None:
            return
        yield from self._fill(max(duration, self._step))
        for _ in range(self.window.count(duration) - self._cut):
            yield from self._hold()
        if self._held is not None:
            last = self._held
            end = max(duration, nextafter(last.start, inf))
            yield replace(last, end=end, at=min(last.at, (last.start + end) / 2))

    def _fill(self, until: float) -> Iterator[WindowSample]:
        """Put the frame on display at the places up to this time."""
        while (self._filled + 0.5) * self._step < until - _SLACK and self._shown is not None:
            if self._picture is None:
                self._picture = self._scale(self._shown)
            self._places.append(self._picture)
            self._filled += 1
            while self._first_place(self._cut) + self.window.frames <= self._filled:
                yield from self._hold()

    def _first_place(self, number: int) -> int:
        """Where on the grid a window begins that nothing moves inside from the end."""
        middle = (number + 0.5) * self.window.stride / self._step
        return max(0, round(middle - self.window.frames / 2))

    def _hold(self) -> Iterator[WindowSample]:
        """Cut the next window from the last places, and let the one before go."""
        if self._held is not None:
            yield self._held
        pictures = tuple(self._places)
        pictures += pictures[-1:] * (self.window.frames - len(pictures))
        start, end = self._cut * self.window.stride, (self._cut + 1) * self.window.stride
        self._held = WindowSample(start, end, (start + end) / 2, pictures, self.number)
        self._cut += 1


def windows(
    frames: Iterable[Frame], cutters: Sequence[Cutter], duration: Callable[[], float]
) -> Iterator[WindowSample]:
    """The windows of all cutters from one pass over the frames; `duration` is asked for after the last one."""
    for frame in frames:
        for cutter in cutters:
            yield from cutter.take(frame)
    for cutter in cutters:
        yield from cutter.end(duration())


def samples_and_windows(
    frames: Iterable[Frame], settings: SamplingSettings, cutters: Sequence[Cutter], duration: Callable[[], float]
) -> Iterator[Sample | WindowSample]:
    """The samples and the windows from one pass over the frames, each kind in the order of time."""
    ready: list[WindowSample] = []

    def shared() -> Iterator[Frame]:
        for frame in frames:
            for cutter in cutters:
                ready.extend(cutter.take(frame))
            yield frame

    for sample in each_step(shared(), settings, duration):
        yield from ready
        ready.clear()
        if sample is not None:
            yield sample
    for cutter in cutters:
        ready.extend(cutter.end(duration()))
    yield from ready
