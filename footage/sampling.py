"""Which frames stand for the video: one a second, the first of every shot, and none twice. No decoding here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf, nextafter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from footage.errors import ConfigError
from footage.types import Frame, Sample

if TYPE_CHECKING:
    from footage.types import UInt8

_EVERY = 1.0
_NEAR = 3.0  # measured: docs/sampling.md
_LOOK = 2  # frames looked ahead before a cut is believed: a flash is over by then
_MIN_JUMP, _BIG_JUMP = 5.0, 12.0  # grey levels: no cut below; below the second only in a still scene
_MIXED = 0.4  # a jump this large right behind a cut, relative to it: the first frame was a blend of two
_CADENCE = 1.0  # seconds within which a third modest jump makes a cadence
_HURRY = 0.2  # seconds at least between two candidates, though there be a cut at every frame
_SLACK = 1e-6  # seconds by which a due time, a sum of floats, may be off
_PAST = 8  # frames whose motion the jump at a cut is measured against


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How densely a video is sampled."""

    every: float = _EVERY  # seconds between candidates
    near: float = _NEAR  # a candidate this near to the last kept sample is dropped; in grey levels, see `distance`
    fast: bool = False  # the frames are the container's key frames only

    def __post_init__(self) -> None:
        if not 0.02 <= self.every <= 3600:
            raise ConfigError(
                f"the sampling interval is {self.every:g} s; allowed are 0.02 to 3600",
                hint=f"{_EVERY:g} is the default",
            )
        if not 0 <= self.near <= 255:
            raise ConfigError(
                f"the near-duplicate threshold is {self.near:g}; allowed are 0 (keep all) to 255",
                hint=f"{_NEAR:g} is the default",
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
    return (sample for sample in each_step(frames, settings, duration) if sample is not None)


def each_step(
    frames: Iterable[Frame], settings: SamplingSettings, duration: Callable[[], float] | None = None
) -> Iterator[Sample | None]:
    """As `samples`, with None wherever frames were read and no sample came of them.

    So a caller who does something else with the frames gets his turn in a scene that stands still for hours.
    """
    tail = _Tail()
    candidates = _key_frames if settings.fast else _candidates
    kept: Frame | None = None
    start = covered = 0.0  # `covered`: time of the last candidate that `kept` stands for
    for candidate in candidates(tail.watch(frames), settings.every):
        if candidate is None:
            yield None
            continue
        frame, cut = candidate
        if kept is not None:
            if distance(frame.luma, kept.luma) < settings.near:
                covered = frame.time
                yield None
                continue
            border = cut if cut is not None else (covered + frame.time) / 2
            border = min(max(border, nextafter(kept.time, inf)), frame.time)
            yield Sample(start, border, kept.time, kept)
            start = border
        kept, covered = frame, frame.time
    if kept is not None:
        end = duration() if duration is not None else tail.end(settings.every)
        yield Sample(start, max(end, nextafter(tail.last, inf)), kept.time, kept)


class _Tail:
    """Remembers when the last frame came, and how long the one before it lasted."""

    last = step = 0.0

    def watch(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self.step, self.last = frame.time - self.last, frame.time
            yield frame

    def end(self, every: float) -> float:
        return self.last + (self.step or every)


_Candidate: TypeAlias = tuple[Frame, float | None]  # with the time of the cut that lies before it


def _candidates(frames: Iterable[Frame], every: float) -> Iterator[_Candidate | None]:
    """A frame every so often and behind each cut; None for the others."""
    due, taken = 0.0, -inf
    cut: float | None = None
    for frame, cut_time in _with_cuts(frames):
        if cut_time is not None:
            cut = cut_time
            due = max(frame.time, taken + min(_HURRY, every))
        if frame.time >= due - _SLACK:
            yield frame, cut
            due, taken, cut = frame.time + every, frame.time, None
        else:
            yield None


def _key_frames(frames: Iterable[Frame], every: float) -> Iterator[_Candidate | None]:
    """Key frames no closer than `every`, unless the picture changed.

    Encoders put key frames at even distances, and others where the picture changes at once; one that comes early and
    looks different is therefore taken as the beginning of a shot.
    """
    previous: Frame | None = None
    taken, longest = -inf, 0.0
    for frame in frames:
        gap = frame.time - previous.time if previous is not None else 0.0
        changed = previous is not None and _difference(frame.luma, previous.luma) > _BIG_JUMP
        cut = frame.time if changed and gap < 0.9 * longest else None
        longest, previous = max(longest, gap), frame
        if frame.time >= taken + every - _SLACK or (changed and frame.time >= taken + _HURRY):
            yield frame, cut
            taken = frame.time
        else:
            yield None


def distance(a: UInt8, b: UInt8) -> float:
    """How different two lumas look, in grey levels: the mean over all cells, or a sixth of the worst hundredth.

    The second term sees a small thing move in a still scene, which the mean does not.
    """
    difference = np.abs(a.astype(np.int16) - b).ravel()
    worst = max(difference.size // 100, 1)
    top = np.partition(difference, -worst)[-worst:]
    return max(float(difference.mean()), float(top.mean()) / 6)


def _with_cuts(frames: Iterable[Frame]) -> Iterator[tuple[Frame, float | None]]:
    """Each frame, and the time of the cut if it is the first clean one behind a cut; blends of two shots are left out.

    A cut is a jump that stands out against the motion before or behind it, as in PySceneDetect's AdaptiveDetector, but
    on one small luma instead of HSV; and one that stays, which a flash does not.
    """
    ahead: deque[tuple[Frame, float]] = deque()  # frames not yet yielded, with their jump from the one before
    past: deque[float] = deque(maxlen=_PAST)
    jumps: deque[tuple[float, float]] = deque(maxlen=2)  # the latest that stood out: time and size
    before = previous = None
    blended = 0  # frames that may still be mixed of both shots
    since = 0.0  # time of the cut behind which they are
    for frame in frames:
        jump = _difference(frame.luma, previous) if previous is not None else 0.0
        previous = frame.luma
        ahead.append((frame, jump))
        if len(ahead) <= _LOOK:
            continue
        head, jump = ahead.popleft()
        if blended:
            blended -= 1
        elif before is not None and _is_cut(before, jump, past, ahead):
            if not _is_cadence(jump, head.time, jumps):
                past.clear()  # the jump is no motion
                since, blended = head.time, _LOOK
            jumps.append((head.time, jump))
        else:
            past.append(jump)
        before = head.luma
        if not blended:
            yield head, None
        elif ahead[0][1] < _MIXED * jump or blended == 1:
            blended = 0
            yield head, since
    for frame, _ in ahead:
        yield frame, since if blended else None
        blended = 0


def _is_cut(before: UInt8, jump: float, past: deque[float], ahead: deque[tuple[Frame, float]]) -> bool:
    if jump < _MIN_JUMP:
        return False
    after = [next_jump for _, next_jump in ahead]
    calm = sum(after) / len(after)
    if len(past) > 2:
        calm = min(calm, sum(past) / len(past))
    peak = max(after[-1], *list(past)[-2:]) if past else after[-1]
    if jump < 1.3 * peak or jump < (3 if jump > _BIG_JUMP else 8) * (calm + 0.5):
        return False
    return all(_difference(frame.luma, before) > jump / 2 for frame, _ in ahead)


def _is_cadence(jump: float, time: float, jumps: deque[tuple[float, float]]) -> bool:
    """Whether a modest jump is one of many alike: five drawings a second shown at 25 frames jump, but do not cut."""
    alike = [size for when, size in jumps if time - when < _CADENCE and size > jump / 2]
    return jump < 2 * _BIG_JUMP and len(alike) == jumps.maxlen


def _difference(a: UInt8, b: UInt8) -> float:
    """Mean absolute difference of two lumas, grey levels."""
    return float(np.abs(a.astype(np.int16) - b).mean())
