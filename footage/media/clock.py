"""Presentation times: from a stream's time stamps to seconds on a player's clock.

Zero is the start of the container (the earliest of its audio and video streams), as mpv, browsers and `ffmpeg -ss` have
it, so that a time given here is the time to which a player seeks. A video that begins after its sound therefore begins
later than 0; edit lists were applied by the demuxer before the stamps reach this file.
"""

from __future__ import annotations

from fractions import Fraction

# A clock that steps back by more than this was restarted (joined recordings, a wrapped counter); by less, two frames
# were stamped in the wrong order and a player would never show the late one.
RESTART = 1.0
# So many late frames in a row are no slip of the muxer: the stamps stand still, and frames are counted instead.
STUCK = 4
# No pause between two frames is this long; a broken stamp is.
GAP = 3600.0


class Clock:
    """Turn (pts, dts) of the frames of one stream, in the order of the decoder, into increasing seconds."""

    def __init__(self, time_base: Fraction, start: int | None, step: float) -> None:
        """`start` is the stamp of time 0 (None: the first frame's own); `step` the usual seconds between frames."""
        self._num, self._den = time_base.numerator, time_base.denominator
        self._start = start
        self._step = step
        self._shift = 0.0
        self._last: float | None = None
        self._late = 0
        self._last_pts = self._last_dts = -(1 << 63)
        self._bad_pts = self._bad_dts = 0

    def time(self, pts: int | None, dts: int | None) -> float | None:
        """The seconds of the next frame, or None for a frame that comes too late to be shown."""
        stamp = self._stamp(pts, dts)
        if stamp is None:
            return self._advance(self._last + self._step if self._last is not None else 0.0)
        if self._start is None or (self._last is None and stamp < self._start):
            self._start = stamp
        raw = (stamp - self._start) * self._num / self._den
        now = raw + self._shift
        if self._last is None or self._last < now <= self._last + GAP:
            return self._advance(now)
        self._late += 1
        if now <= self._last and self._last - now < RESTART and self._late < STUCK:
            return None
        self._shift = self._last + self._step - raw
        return self._advance(self._last + self._step)

    def reach(self, pts: int, ticks: int) -> float:
        """The seconds at which a packet ends that is not decoded; 0 where its stamps tell nothing."""
        if pts < 0 or self._start is None or self._last is None:
            return 0.0
        end = (pts - self._start) * self._num / self._den + self._shift + self.seconds(ticks)
        return end if end < self._last + GAP else 0.0

    def seconds(self, ticks: int | None) -> float:
        """A duration of the stream in seconds; 0 where it is not known."""
        return ticks * self._num / self._den if ticks and ticks > 0 else 0.0

    def _advance(self, now: float) -> float:
        self._late = 0
        self._last = now
        return now

    def _stamp(self, pts: int | None, dts: int | None) -> int | None:
        """Choose pts or dts, whichever stepped back less often so far (libav's best-effort time stamp)."""
        if dts is not None:
            self._bad_dts += dts <= self._last_dts
            self._last_dts = dts
        elif pts is not None:
            self._last_dts = pts
        if pts is not None:
            self._bad_pts += pts <= self._last_pts
            self._last_pts = pts
        elif dts is not None:
            self._last_pts = dts
        if pts is not None and (self._bad_pts <= self._bad_dts or dts is None):
            return pts
        return dts
