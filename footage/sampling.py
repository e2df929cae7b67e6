"""Which frames stand for the video: one a second, the first of every shot, and none twice. No decoding here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
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
    """As `samples`, with None wherever a frame was read and no sample came of it.

    So a caller who does something else with the frames gets his turn in a scene that stands still for hours.
    """
    sampler = Sampler(settings)
    for frame in frames:
        yield sampler.take(frame)
    yield from sampler.end(duration)


_Candidate: TypeAlias = tuple[Frame, float | None]  # with the time of the cut that lies before it


class Sampler:
    """Chooses samples among frames that are given one after the other, in the order of time."""

    def __init__(self, settings: SamplingSettings) -> None:
        self._settings = settings
        self._looks = _KeyFrames(settings.every) if settings.fast else _Grid(settings.every)
        self._start = self._covered = 0.0  # the second: time of the last candidate that the kept frame stands for
        self._last = self._step = 0.0  # when the last frame came, and how long the one before it lasted
        self.kept: Frame | None = None
        """The frame kept last; its sample comes when its end is known."""
        self.cut = False
        """Whether it is the first one behind a cut."""

    def take(self, frame: Frame) -> Sample | None:
        """Accept the next frame; gives a sample when its end is known."""
        self._step, self._last = frame.time - self._last, frame.time
        return self._consider(self._looks.take(frame))

    def end(self, duration: Callable[[], float] | None = None) -> Iterator[Sample]:
        """The samples that are left behind the last frame."""
        for candidate in self._looks.end():
            sample = self._consider(candidate)
            if sample is not None:
                yield sample
        if self.kept is not None:
            end = duration() if duration is not None else self._last + (self._step or self._settings.every)
            yield Sample(self._start, max(end, nextafter(self._last, inf)), self.kept.time, self.kept)

    def _consider(self, candidate: _Candidate | None) -> Sample | None:
        if candidate is None:
            return None
        frame, cut = candidate
        sample = None
        if self.kept is not None:
            if distance(frame.luma, self.kept.luma) < self._settings.near:
                self._covered = frame.time
                return None
            border = cut if cut is not None else (self._covered + frame.time) / 2
            border = min(max(border, nextafter(self.kept.time, inf)), frame.time)
            sample = Sample(self._start, border, self.kept.time, self.kept)
            self._start = border
        self.kept, self._covered, self.cut = frame, frame.time, cut is not None
        return sample

    @property
    def mark(self) -> bytes:
        """A digest of all that decides what is chosen from here on: two samplers of equal marks choose alike."""
        digest = blake2b(digest_size=16)
        if self.kept is not None:
            digest.update(self.kept.luma.tobytes())
        digest.update(repr((self.kept and self.kept.time, self._start, self._covered)).encode())
        self._looks.mark(digest)
        return digest.digest()


class _Grid:
    """A frame every so often and behind each cut."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._cuts = _Cuts()
        self._due, self._taken = 0.0, -inf
        self._cut: float | None = None

    def take(self, frame: Frame) -> _Candidate | None:
        seen = self._cuts.take(frame)
        return self._look(*seen) if seen is not None else None

    def end(self) -> Iterator[_Candidate | None]:
        for frame, cut in self._cuts.end():
            yield self._look(frame, cut)

    def _look(self, frame: Frame, cut: float | None) -> _Candidate | None:
        if cut is not None:
            self._cut = cut
            self._due = max(frame.time, self._taken + min(_HURRY, self._every))
        if frame.time < self._due - _SLACK:
            return None
        candidate = frame, self._cut
        self._due, self._taken, self._cut = frame.time + self._every, frame.time, None
        return candidate

    def mark(self, digest: blake2b) -> None:
        digest.update(repr((self._due, self._taken, self._cut)).encode())
        self._cuts.mark(digest)


class _KeyFrames:
    """Key frames no closer than `every`, unless the picture changed.

    Encoders put key frames at even distances, and others where the picture changes at once; one that comes early and
    looks different is therefore taken as the beginning of a shot.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._previous: Frame | None = None
        self._taken, self._longest = -inf, 0.0

    def take(self, frame: Frame) -> _Candidate | None:
        previous = self._previous
        gap = frame.time - previous.time if previous is not None else 0.0
        changed = previous is not None and _difference(frame.luma, previous.luma) > _BIG_JUMP
        cut = frame.time if changed and gap < 0.9 * self._longest else None
        self._longest, self._previous = max(self._longest, gap), frame
        if frame.time >= self._taken + self._every - _SLACK or (changed and frame.time >= self._taken + _HURRY):
            self._taken = frame.time
            return frame, cut
        return None

    def end(self) -> Iterator[_Candidate | None]:
        return iter(())

    def mark(self, digest: blake2b) -> None:
        if self._previous is not None:
            digest.update(self._previous.luma.tobytes())
        digest.update(repr((self._taken, self._longest)).encode())


def distance(a: UInt8, b: UInt8) -> float:
    """How different two lumas look, in grey levels: the mean over all cells, or a sixth of the worst hundredth.

    The second term sees a small thing move in a still scene, which the mean does not.
    """
    difference = np.abs(a.astype(np.int16) - b).ravel()
    worst = max(difference.size // 100, 1)
    top = np.partition(difference, -worst)[-worst:]
    return max(float(difference.mean()), float(top.mean()) / 6)


class _Cuts:
    """Each frame, and the time of the cut if it is the first clean one behind a cut; blends of two shots are left out.

    A cut is a jump that stands out against the motion before or behind it, as in PySceneDetect's AdaptiveDetector, but
    on one small luma instead of HSV; and one that stays, which a flash does not.
    """

    def __init__(self) -> None:
        self._ahead: deque[tuple[Frame, float]] = deque()  # frames not given yet, with their jump from the one before
        self._past: deque[float] = deque(maxlen=_PAST)
        self._jumps: deque[tuple[float, float]] = deque(maxlen=2)  # the latest that stood out: time and size
        self._before: UInt8 | None = None
        self._previous: UInt8 | None = None
        self._blended = 0  # frames that may still be mixed of both shots
        self._since = 0.0  # time of the cut behind which they are

    def take(self, frame: Frame) -> _Candidate | None:
        """Accept a frame; gives the one before those that are looked ahead, unless it is a blend."""
        jump = _difference(frame.luma, self._previous) if self._previous is not None else 0.0
        self._previous = frame.luma
        self._ahead.append((frame, jump))
        if len(self._ahead) <= _LOOK:
            return None
        head, jump = self._ahead.popleft()
        if self._blended:
            self._blended -= 1
        elif self._before is not None and _is_cut(self._before, jump, self._past, self._ahead):
            if not _is_cadence(jump, head.time, self._jumps):
                self._past.clear()  # the jump is no motion
                self._since, self._blended = head.time, _LOOK
            self._jumps.append((head.time, jump))
        else:
            self._past.append(jump)
        self._before = head.luma
        if not self._blended:
            return head, None
        if self._ahead[0][1] < _MIXED * jump or self._blended == 1:
            self._blended = 0
            return head, self._since
        return None

    def end(self) -> Iterator[_Candidate]:
        for frame, _ in self._ahead:
            yield frame, self._since if self._blended else None
            self._blended = 0

    def mark(self, digest: blake2b) -> None:
        now = self._ahead[0][0].time if self._ahead else 0.0
        for luma in (self._before, *(frame.luma for frame, _ in self._ahead)):
            if luma is not None:
                digest.update(luma.tobytes())
        jumps = [each for each in self._jumps if now - each[0] < _CADENCE]  # the others decide nothing any more
        ahead = [(frame.time, jump) for frame, jump in self._ahead]
        blend = (self._blended, self._since if self._blended else 0.0)
        digest.update(repr((ahead, list(self._past), jumps, blend)).encode())


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
