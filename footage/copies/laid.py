"""Two videos laid along each other by their vectors: in parts of a bounded size, whose segments are joined again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from footage.copies.align import ROUGH_SPEEDS, Segment, segments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from footage.types import Embeddings, Float32, Float64

_SMALL = 300  # samples of both: two videos of two minutes are laid along each other as a whole
_GAP = 40.0  # seconds between samples that look the same, which parts may have in common
_LONG = 1200.0  # seconds of a part: two films of two hours have 50 million pairs of samples
_LEAST = 0.35  # seconds times similarity of a segment on vectors
_ALIKE = 0.55  # mean similarity of the vectors of a segment
_BREAK = 10.0  # seconds at the border of two parts that neither found
_OFF = 1.5  # seconds by which two segments may miss each other there and be one: samples are a second apart
_SPEEDS = 0.1  # part by which their speeds may differ: a short one tells its speed roughly


def around(at: Float64, other_at: Float64, times: Float64, other: Float64) -> list[tuple[slice, slice]]:
    """The parts of two videos that are laid along each other: all, or where long ones have samples that look the same.

    `at` and `other_at` (m,) are the times of those samples; what lies far from the others has a part of its own, and
    what is long has several, which overlap.
    """
    if len(times) + len(other) <= _SMALL or not len(at):
        return [(slice(0, len(times)), slice(0, len(other)))]
    return [
        (_part(times, at[tile]), _part(other, other_at[tile]))
        for group in _gathered(at)
        for part in _gathered(other_at[group])
        for tile in _tiles(group[part], at, other_at)
    ]


def _tiles(part: NDArray[np.intp], at: Float64, other_at: Float64) -> list[NDArray[np.intp]]:
    """A part in squares; those off its lines have no samples that look the same, and are left out."""
    here, there = (((t[part] - t[part].min()) // _LONG).astype(np.int64) for t in (at, other_at))
    _, which = np.unique(here << 32 | there, return_inverse=True)
    return [part[which == number] for number in range(int(which.max()) + 1)]


def _gathered(values: Float64) -> list[NDArray[np.intp]]:
    """Which values lie together, without a gap."""
    order = np.argsort(values)
    return np.split(order, np.flatnonzero(np.diff(values[order]) > _GAP) + 1)


def _part(times: Float64, near: Float64) -> slice:
    first, last = np.searchsorted(times, (near.min() - _GAP / 2, near.max() + _GAP / 2))
    return slice(int(first), max(int(last), int(first) + 2))


def along(alike: Float32, times: Float64, other: Float64) -> list[tuple[Segment, float]]:
    """The segments of two videos whose samples are so alike (q, v) at these even times, and how alike each is."""
    found = segments(alike, times, other, least=_LEAST, speeds=ROUGH_SPEEDS)
    levels = [_level(alike, segment, times, other) for segment in found]
    return [(segment, level) for segment, level in zip(found, levels, strict=True) if level >= _ALIKE]


def joined(parts: Sequence[Sequence[tuple[Segment, float]]]) -> list[tuple[Segment, float]]:
    """The segments of all parts; what goes on from one into another as one.

    Within a part two segments stay two: there the cut between them was seen.
    """
    out: list[tuple[Segment, float, set[int]]] = []
    for number, segment, level in sorted(_numbered(parts), key=lambda each: each[1].query_start):
        for place, (known, its, of) in enumerate(out):
            if number not in of and _goes_on(known, segment):
                longer = its if known.seconds >= segment.seconds else level
                out[place] = _one(known, segment), longer, of | {number}
                break
        else:
            out.append((segment, level, {number}))
    return [(segment, level) for segment, level, _ in out]


def _numbered(parts: Sequence[Sequence[tuple[Segment, float]]]) -> Iterator[tuple[int, Segment, float]]:
    for number, found in enumerate(parts):
        yield from ((number, segment, level) for segment, level in found)


def _goes_on(one: Segment, two: Segment) -> bool:
    border = min(one.query_end, two.query_end)
    return (
        two.query_start - one.query_end < _BREAK
        and abs(one.at(border) - two.at(border)) < _OFF
        and abs(one.speed / two.speed - 1) < _SPEEDS
    )


def _one(first: Segment, second: Segment) -> Segment:
    """The line from the start of the first to the end of what ends last."""
    if second.query_end <= first.query_end:
        return first
    speed = (second.end - first.start) / (second.query_end - first.query_start)
    return replace(
        first, query_end=second.query_end, speed=speed, shift=first.start - speed * first.query_start,
        gain=first.gain + second.gain,
    )  # fmt: skip


def even(rows: Embeddings, duration: float) -> tuple[Float64, NDArray[np.intp]]:
    """Even times, and of each the number of the sample that stands for it."""
    step = 1.0 if duration > 8 else max(0.1, duration / 8)
    times = np.arange(0.0, max(duration, 2 * step), step)
    return times, rows.standing(times)


def _level(alike: Float32, segment: Segment, times: Float64, other: Float64) -> float:
    inside = np.flatnonzero((times >= segment.query_start) & (times < segment.query_end))
    if not len(inside):
        return 0.0
    wanted = segment.shift + segment.speed * times[inside]
    there = np.clip(np.rint((wanted - other[0]) / (other[1] - other[0])), 0, len(other) - 1)
    return float(np.median(alike[inside, there.astype(int)]))
