"""Temporal alignment: which seconds of a query run beside which seconds of a video, and how fast.

Aligned frames lie on straight lines in the similarity matrix of the two (Hough voting: Douze et al. 2010; temporal
network: Tan et al. 2009; VCSL: He et al. 2022). A line is an offset and a speed; of each line the stretch with the
largest sum above a threshold is taken (Kadane's), the best of all lines first, then the best of what is left of the
query. So one pair may have several segments: cut, spliced, looped, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from footage.types import Float32, Float64

SLOWEST, FASTEST = 0.48, 2.1
SPEEDS: Float64 = np.geomspace(SLOWEST, FASTEST, 49, dtype=np.float64)
"""That lines may have: 3 % apart, and refined by 2 %."""
ROUGH_SPEEDS: Float64 = SPEEDS[::2]
"""For samples a second apart, which tell no finer."""
_FINE = 13  # steps in which a line is refined, of speed and of offset
_LEVEL = 0.3  # of the similarity: below it a frame speaks against the line
_AGAINST = 0.35  # a frame of fade or flash must not break a segment
_CELLS = 4_000_000  # of one question in memory
_UNUSUAL = 0.04  # of similarity: how much better a line must be whose speed is not 1
_LEAST_GAIN = 0.12  # seconds times similarity: less is chance
_SHORTEST = 0.35  # seconds of a piece that a line is split into
_JUMP = 3.0  # seconds of the video between two pieces that may be taken for one line
_WORTH = 0.06  # seconds times similarity that a split must gain
_MOST = 12  # segments of one pair


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a line: t' = offset + speed t."""

    query_start: float
    query_end: float
    speed: float
    shift: float  # video time of query time 0
    gain: float  # seconds times similarity above the threshold

    def at(self, time: float) -> float:
        """The video's time of a query time."""
        return self.shift + self.speed * time

    @property
    def seconds(self) -> float:
        """Of the query."""
        return self.query_end - self.query_start

    def shared(self, other: Segment) -> float:
        """Seconds of the query that both have."""
        return max(0.0, min(self.query_end, other.query_end) - max(self.query_start, other.query_start))

    @property
    def start(self) -> float:
        """In the video."""
        return self.at(self.query_start)

    @property
    def end(self) -> float:
        """In the video."""
        return self.at(self.query_end)


def segments(
    similarity: Float32,
    query: Float64,
    video: Float64,
    *,
    least: float = _LEAST_GAIN,
    most: int = _MOST,
    speeds: Float64 = SPEEDS,
) -> list[Segment]:
    """The best stretches, best first; `similarity` (q, v) is of frames at the times `query` (q,) and `video` (v,)."""
    found: list[Segment] = []
    for each in stretches(similarity, query, video, least=least, speeds=speeds):
        found += each
        if len(found) >= most:
            break
    return found


def stretches(
    similarity: Float32, query: Float64, video: Float64, *, least: float = _LEAST_GAIN, speeds: Float64 = SPEEDS
) -> Iterator[list[Segment]]:
    """The same one after the other, while they are asked for; several together are what a line over a jump was."""
    if len(query) < 2 or len(video) < 2:
        return
    step = float(np.median(np.diff(query)))
    even = _Even.of(np.clip(similarity - _LEVEL, -_AGAINST, None).astype(np.float32), video)
    coarse = _coarse(query, even, speeds if query[-1] - query[0] > 0.5 else np.ones(1))
    while (best := coarse.best()) is not None and best.gain >= least:
        refined = _refined(best, query, even)
        yield [_refined(part, query, even) for part in _split(refined, query, even)]
        coarse.without(refined, best, step)


@dataclass(frozen=True, slots=True, eq=False)
class _Even:
    """The gain of each frame of the query at the video's times; on an even grid too, where it is found quickly."""

    exact: Float32  # (q, v) at the video's own times
    video: Float64
    values: Float32  # (q, w) on the grid
    start: float
    step: float

    @staticmethod
    def of(gain: Float32, video: Float64) -> _Even:
        step = max(float(np.median(np.diff(video))), 1e-3)
        grid = np.arange(video[0], video[-1] + step / 2, step)
        near = np.clip(np.searchsorted(video, grid), 1, len(video) - 1)
        near -= (grid - video[near - 1]) < (video[near] - grid)
        return _Even(gain, video, np.ascontiguousarray(gain[:, near]), float(grid[0]), step)

    def rough(self, rows: slice, query: Float64, speed: float, shift: Float64) -> Float32:
        """Gain at some rows' times, of lines with some shifts: (q, lines), of the column next to each."""
        place = np.rint((shift[None] + speed * query[:, None] - self.start) / self.step).astype(np.intp)
        width = self.values.shape[1]
        chosen = np.take_along_axis(self.values[rows], np.clip(place, 0, width - 1), axis=1)
        return np.where((place < 0) | (place >= width), np.float32(-_AGAINST), chosen)

    def along(self, rows: NDArray[np.intp], query: Float64, speed: float, shift: Float64) -> Float32:
        """The same between the two columns around each time, by their distance; `rows` are numbers of rows."""
        wanted = shift[None] + speed * query[:, None]
        place = np.interp(wanted, self.video, np.arange(len(self.video)))
        low = np.minimum(place.astype(np.intp), len(self.video) - 2)
        part = (place - low).astype(np.float32)
        one, two = self.exact[rows[:, None], low], self.exact[rows[:, None], low + 1]
        outside = (wanted < self.video[0] - self.step) | (wanted > self.video[-1] + self.step)
        return np.where(outside, np.float32(-_AGAINST), one * (1 - part) + two * part)


@dataclass(slots=True, eq=False)
class _Lines:
    """All lines of some speeds, and the gain of each frame on them."""

    query: Float64
    gains: list[Float32]  # for each speed (q, lines)
    shifts: list[Float64]
    speeds: Float64
    step: float
    tops: list[tuple[float, int, int, int]]  # for each speed: gain, line, first frame, frame behind the last

    def best(self) -> Segment | None:
        number = max(range(len(self.tops)), key=lambda i: self.tops[i][0])
        gain, line, first, last = self.tops[number]
        if gain <= 0:
            return None
        end = self.query[last - 1] + self.step
        return Segment(
            float(self.query[first]), float(end), float(self.speeds[number]), float(self.shifts[number][line]),
            gain * self.step,
        )  # fmt: skip

    def without(self, refined: Segment, segment: Segment, step: float) -> None:
        """Take the frames of a segment, as it was refined, out of all lines."""
        gone, own = (
            (self.query > s.query_start - step / 2) & (self.query < s.query_end - step / 2) for s in (refined, segment)
        )
        if not (gone & own).any():  # between two of the rows that are looked at: the same line would come for ever
            gone |= own
        for number, values in enumerate(self.gains):
            values[gone] = -_AGAINST * 4
            _, _, first, last = self.tops[number]
            if gone[first:last].any():
                self.tops[number] = _stretch(values)


def _coarse(query: Float64, even: _Even, speeds: Float64) -> _Lines:
    step = float(np.median(np.diff(query)))
    width = even.values.shape[1]
    # A line may begin as long before the video as the query lasts: of a long one beside a short one that is nearly all.
    lines = np.maximum(1.5 * width, width + speeds * (query[-1] - query[0]) / even.step).sum()
    stride = max(1, int(np.ceil((len(query) * lines / _CELLS) ** 0.5)))
    rows = slice(None, None, stride)
    query = query[rows]
    gains: list[Float32] = []
    shifts: list[Float64] = []
    end = even.start + even.step * width
    for speed in speeds:
        shift = np.arange(even.start - speed * query[-1], end - speed * query[0], even.step * stride)
        shifts.append(shift)
        # Of two lines that fit alike, as in a still scene, the one at a usual speed.
        unusual = _UNUSUAL * min(1.0, abs(float(np.log2(speed))) * 8) if abs(speed - 1) > 0.012 else 0.0
        gains.append(even.rough(rows, query, float(speed), shift) - np.float32(unusual))
    return _Lines(query, gains, shifts, speeds, step * stride, [_stretch(values) for values in gains])


def _stretch(values: Float32) -> tuple[float, int, int, int]:
    """The largest sum of consecutive rows in any column: (sum, column, first row, row behind the last)."""
    total = np.zeros((len(values) + 1, values.shape[1]), np.float32)
    np.cumsum(values, axis=0, out=total[1:])
    least = np.minimum.accumulate(total, axis=0)
    above = total[1:] - least[:-1]
    last, column = np.unravel_index(int(above.argmax()), above.shape)
    first = int(total[: last + 1, column].argmin())
    return float(above[last, column]), int(column), first, int(last) + 1


def _refined(segment: Segment, query: Float64, even: _Even) -> Segment:
    """Move speed and shift a little, then cut the stretch anew, halfway between what it has and the threshold."""
    step = float(np.median(np.diff(query)))
    for round_ in range(2):
        inside = (query > segment.query_start - step / 2) & (query < segment.query_end - step / 2)
        times = query[inside]
        if len(times) < 2:
            break
        middle = (times[0] + times[-1]) / 2
        reach = 0.02 / (1 + 3 * round_) if len(times) > 4 else 0.0
        speeds = segment.speed * (1 + np.linspace(-reach, reach, _FINE if reach else 1))
        offsets = np.linspace(-2, 2, 2 * _FINE - 1) * even.step / (1 + 3 * round_)
        at = segment.at(middle)
        best = (-np.inf, segment.speed, segment.shift)
        for speed in speeds:
            shifts = at - speed * middle + offsets
            sums = even.along(np.flatnonzero(inside), times, float(speed), shifts).sum(axis=0)
            top = int(sums.argmax())
            best = max(best, (float(sums[top]), float(speed), float(shifts[top])))
        segment = replace(segment, speed=best[1], shift=best[2])
        segment = _recut(segment, query, even)
    return segment


def _split(segment: Segment, query: Float64, even: _Even, depth: int = 3) -> list[Segment]:
    """A line that only averages over a jump as the two that it stands for.

    Two pieces with a gap between them lie near one line of another speed; as two lines, at the speed of one of them or
    at the true one, they fit much better.
    """
    step = float(np.median(np.diff(query)))
    inside = (query > segment.query_start - step / 2) & (query < segment.query_end - step / 2)
    times = query[inside]
    if depth == 0 or len(times) * step < 2 * _SHORTEST or len(times) < 8:
        return [segment]
    offsets = np.arange(-_JUMP, _JUMP + 1e-6, even.step / 2)
    sums: list[Float32] = []
    lines: list[tuple[float, float]] = []
    for speed in dict.fromkeys((1.0, segment.speed)):
        for pivot in (times[0], times[-1]):  # shifts around where the line has the ends of the segment
            shifts = segment.at(pivot) - speed * pivot + offsets
            sums.append(even.along(np.flatnonzero(inside), times, speed, shifts))
            lines += [(speed, float(shift)) for shift in shifts]
    values = np.concatenate(sums, axis=1)
    whole = float(even.along(np.flatnonzero(inside), times, segment.speed, np.array([segment.shift])).sum())
    total = np.cumsum(values, axis=0)
    rest = total[-1:] - total
    least = max(3, round(_SHORTEST / step))
    cuts = np.arange(least - 1, len(times) - least)
    if not len(cuts):
        return [segment]
    both = total[cuts].max(axis=1) + rest[cuts].max(axis=1)
    cut = int(cuts[both.argmax()])
    (speed1, shift1), (speed2, shift2) = lines[int(total[cut].argmax())], lines[int(rest[cut].argmax())]
    # A cut at the usual speed is as likely as an odd speed, and fits a clip that was sped up no better.
    usual = speed1 == speed2 == 1.0 and abs(segment.speed - 1) > 0.05
    least_gain = 0.02 * whole * step if usual else max(_WORTH, 0.06 * whole * step)
    if (float(both.max()) - whole) * step < least_gain:
        return [segment]
    border = float(times[cut] + times[cut + 1]) / 2
    one = replace(segment, query_end=border, speed=speed1, shift=shift1)
    two = replace(segment, query_start=border, speed=speed2, shift=shift2)
    if abs(one.at(border) - two.at(border)) < 0.15:
        return [segment]
    return [part for each in (one, two) for part in _split(each, query, even, depth - 1)]


def _recut(segment: Segment, query: Float64, even: _Even) -> Segment:
    step = float(np.median(np.diff(query)))
    values = even.along(np.arange(len(query)), query, segment.speed, np.array([segment.shift]))[:, 0]
    inside = (query > segment.query_start - step / 2) & (query < segment.query_end - step / 2)
    if not inside.any():
        return segment
    level = float(np.percentile(values[inside], 60))
    below = np.clip(values - 0.4 * max(level, 0.0), -_AGAINST, None)
    middle = np.where(inside, below, below.min() - 1) if not (below[inside] > 0).any() else below
    first, last = _around(middle, inside)
    if last <= first:
        return segment
    total = float(values[first:last].sum()) * step
    return replace(segment, query_start=float(query[first]), query_end=float(query[last - 1] + step), gain=total)


def _around(values: Float32, inside: np.ndarray) -> tuple[int, int]:
    """The stretch with the largest sum among those that touch what was inside."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.flatnonzero(inside)
    low, high = int(places[0]), int(places[-1]) + 1
    reach = max(4, (high - low) // 2)
    first = max(0, low - reach)
    starts = np.arange(first, high)
    begin = int(starts[total[starts].argmin()])
    ends = np.arange(max(begin + 1, low), min(len(values), high + reach) + 1)
    return begin, int(ends[total[ends].argmax()])
