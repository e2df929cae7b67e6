"""What is measured on an aligned segment: how alike the pictures are, and what changes in them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.copies.geometry import GRID, Grid, Warp, both, grid, local
from footage.copies.probability import probability, score
from footage.types import Match

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from footage.copies.align import Segment
    from footage.media.greys import Greys
    from footage.types import Float32, Float64, Video

_AGREES = 0.6  # correlation of what moves in a picture: below it, it speaks for another take
_WINDOW = 1.5  # seconds around a frame, over which what stays is taken away
_INSET = 0.08  # seconds at the ends of a segment that are not measured: they may show a blend
CALM = 0.3  # seconds over which pictures are averaged before what changes is compared
_COARSE, _KNOWN, _LEAST_KNOWN = 0.25, 0.12, 3  # seconds between pictures, and next to one; how many say anything
_SKETCH = 48  # numbers that a picture is remembered by
SAME = 0.35  # part of a segment's query time that better ones of the same video may have taken
MOTION = 0.08  # of the contrast: where less moves, motion says little


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured on a segment: what its probability is made of."""

    alike: float  # mean correlation of aligned pictures, evened out locally
    moving: float  # correlation of what changes in them, evened out over 0.3 s
    motion: float  # how much changes, as part of the contrast, in the video
    motion_query: float
    margin: float  # how much less alike the pictures are at other times
    detail: float  # grey levels of contrast that the video's pictures have
    area: float  # of the video's picture, that the query shows
    seconds: float
    covered: float  # part of the segment's frames that are alike
    quick: float | None = None  # correlation of what changes from one 0.3 s to the next; None: not measured
    weakest: float | None = None  # correlation of what changes, in the worse seconds of the segment


@dataclass(frozen=True, slots=True)
class Found:
    """A segment of a chunk and a video."""

    video: Video
    warp: Warp
    segment: Segment
    facts: Facts
    track: Float32 | None = field(default=None, compare=False, repr=False)  # see `_track`
    better: float = 0.0  # by how much another video explains the same seconds better: see `probability`

    @property
    def probability(self) -> float:
        """How likely it is a copy, 0..1."""
        return probability(self.facts, self.segment.speed, self.better)

    def part(self, start: float, end: float) -> Found:
        """The same from and to some times of the query, judged by what is seen there alone."""
        segment = replace(self.segment, query_start=start, query_end=end)
        rows = self.track if self.track is not None else np.zeros((0, 2 + 2 * _SKETCH), np.float32)
        rows = rows[(rows[:, 0] >= start + _INSET) & (rows[:, 0] < end - _INSET)]
        # A cut at one end of the part moves all of the picture on both sides, and is none of it.
        times = rows[:, 0].astype(np.float64)
        one, other = np.split(rows[:, 2:], 2, axis=1)
        query, video = (float((_changing(side, times) ** 2).sum()) for side in (one, other))
        wide = _width(times)
        calm = _averaged(times, wide)
        moving = _correlation(*(_changing(_averaged(side, wide), calm) for side in (one, other)))
        n = max(len(rows), 1)
        facts = replace(
            self.facts,
            alike=float(rows[:, 1].sum() / n),
            moving=moving,
            motion=float((video / n) ** 0.5),
            motion_query=float((query / n) ** 0.5),
            seconds=segment.seconds,
            quick=moving,
            weakest=moving,
        )
        return replace(self, segment=segment, facts=facts)

    def match(self, query: str) -> Match:
        """The same for whoever asked; `query` names the clip."""
        s = self.segment
        query_start, start = max(s.query_start, 0.0), min(max(s.start, 0.0), self.video.duration)
        return Match(
            query=query,
            query_start=query_start,
            query_end=s.query_end,
            video=self.video,
            start=start,
            end=min(max(s.end, start), self.video.duration),
            score=score(self.facts),
            probability=self.probability,
            speed=s.speed,
            offset=start - s.speed * query_start,
            mirrored=self.warp.mirrored,
            evidence=("picture",),
        )


def apart(found: Iterable[Found]) -> list[Found]:
    """Of segments of one video that claim the same time of the query the first ones; the better stand before."""
    out: list[Found] = []
    for each in found:
        taken = sum(each.segment.shared(o.segment) for o in out if o.video.id == each.video.id)
        if taken < SAME * each.segment.seconds:
            out.append(each)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Both sides as rows of unit length, through one geometry."""

    query: Float32  # (q, m)
    video: Float32  # (v, m)
    values: Float32  # (v, m) grey levels of the video's side
    area: float
    laid: Grid

    @staticmethod
    def of(warp: Warp, query: Greys, video: Greys) -> Sides | None:
        """None where the two share too little to be compared."""
        laid = grid(warp)
        if laid is None:
            return None
        one, other = both(laid, warp, query.pictures, video.pictures)
        return Sides(local(one, laid), local(other, laid), other, laid.area, laid)

    def similarity(self) -> Float32:
        """Half of how alike the pictures are, half of how alike what changes in them is: float32 (q, v)."""
        alike = self.query @ self.video.T
        still_query, still_video = self.query.mean(axis=0), self.video.mean(axis=0)
        change, change_video = self.query - still_query, self.video - still_video
        sizes = np.linalg.norm(change, axis=1)[:, None] * np.linalg.norm(change_video, axis=1)[None]
        changing = (change @ change_video.T) / (sizes + MOTION)
        return (0.5 * alike + 0.5 * changing).astype(np.float32)


def agreeing(track: Float32) -> tuple[float, float]:
    """The stretch of a track in which most of what moves agrees (Kadane's), from and to a time of the query."""
    times = track[:, 0].astype(np.float64)
    wide = _width(times)
    rows = (_averaged(side, wide) for side in np.split(track[:, 2:], 2, axis=1))
    calm = _averaged(times, wide)
    one, other = (_changing(side, calm) for side in rows)
    power = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    total = np.concatenate([[0.0], np.cumsum((one * other).sum(axis=1) - _AGREES * power)])
    above = total[1:] - np.minimum.accumulate(total)[:-1]
    last = int(above.argmax())
    first = int(total[: last + 1].argmin())
    return float(times[first]), float(times[min(last + wide, len(times) - 1)])


def nearest(times: Float64, wanted: Float64) -> NDArray[np.intp]:
    """The numbers of the times next to those that are wanted."""
    place = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    place = np.minimum(place, len(times) - 1)
    return place - ((wanted - times[place - 1]) < (times[place] - wanted)) * (place > 0)


def measured(segment: Segment, sides: Sides, query: Float64, video: Float64) -> tuple[Facts, Float32]:
    """What was measured on a segment, and its track."""
    inset = _INSET if segment.seconds > 8 * _INSET else -0.02
    inside = np.flatnonzero((query >= segment.query_start + inset) & (query < segment.query_end - abs(inset)))
    coarse = len(video) > 1 and float(np.median(np.diff(video))) > _COARSE
    if coarse:  # key frames alone: between them the video is not known
        wanted = segment.shift + segment.speed * query[inside]
        known = np.abs(video[nearest(video, wanted)] - wanted) < _KNOWN
        inside = inside[known] if known.sum() >= _LEAST_KNOWN else inside
    one = sides.query[inside]
    there = _best_of_two(one, sides.video, video, segment.shift + segment.speed * query[inside])
    other = sides.video[there]
    alike = (one * other).sum(axis=1)
    power = tuple(float((_changing(side, query[inside]) ** 2).sum()) for side in (one, other))
    # Noise and coding change each picture in another way: an average over some of them has little of that, and all
    # that a person or a camera does.
    wide = 1 if coarse else _width(query[inside])
    calm, times = (_averaged(one, wide), _averaged(other, wide)), _averaged(query[inside], wide)
    change, change_video = (_changing(side, times) for side in calm)
    moving = _correlation(change, change_video)
    away = [_shifted(one, sides.video, video, segment, query[inside], by) for by in (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)]
    elsewhere = max((a for a in away if a is not None), default=0.0)
    n = max(len(inside), 1)
    facts = Facts(
        alike=float(alike.mean()) if len(alike) else 0.0,
        moving=moving,
        motion=(power[1] / n) ** 0.5,
        motion_query=(power[0] / n) ** 0.5,
        margin=float(alike.mean()) - elsewhere if len(alike) else 0.0,
        detail=float(sides.values[there].std(axis=1).mean()) if len(there) else 0.0,
        area=sides.area,
        seconds=segment.seconds,
        covered=float((alike > 0.25).mean()) if len(alike) else 0.0,
        quick=moving if coarse else _correlation(*(side[wide + 1 :] - side[: -wide - 1] for side in calm)),
        weakest=moving if coarse else _weakest(change, change_video, times),
    )
    return facts, _track(query[inside], alike, one, other, sides.laid)


def _track(times: Float64, alike: Float32, one: Float32, other: Float32, laid: Grid) -> Float32:
    """Of each frame its time, how alike it is, and sketches of both sides: float32 (n, 2 + 2 * _SKETCH)."""
    axes = _axes()[laid.where]
    return np.column_stack([times, alike, one @ axes, other @ axes]).astype(np.float32)


@lru_cache(maxsize=1)
def _axes() -> Float32:
    """Random directions for the points of a grid, which keep products as they are on average."""
    drawn = np.random.default_rng(20230620).standard_normal((GRID * GRID, _SKETCH))
    return (drawn / _SKETCH**0.5).astype(np.float32)


def _correlation(one: Float32, other: Float32) -> float:
    power = float((one**2).sum()) * float((other**2).sum())
    return float((one * other).sum() / power**0.5) if power > 1e-12 else 0.0


def _weakest(one: Float32, other: Float32, times: Float64) -> float:
    """The correlation of a worse second: that of which only a fifth is worse."""
    if not len(times):
        return 0.0
    slot = ((times - times[0]) / max(1.0, (times[-1] - times[0]) / 12)).astype(int)
    common = np.bincount(slot, (one * other).sum(axis=1))
    power = np.bincount(slot, (one**2).sum(axis=1)) * np.bincount(slot, (other**2).sum(axis=1))
    moves = power > 0.05 * power.max()
    return float(np.percentile(common[moves] / np.sqrt(power[moves] + 1e-12), 20)) if moves.any() else 0.0


def _width(times: Float64) -> int:
    """How many pictures are averaged."""
    if len(times) < 2:
        return 1
    return max(1, min(round(CALM / max(float(np.median(np.diff(times))), 1e-3)), len(times) // 3))


def _averaged(rows: NDArray[Any], wide: int) -> NDArray[Any]:
    """The means of so many neighbouring rows, at each place where there are so many."""
    total = np.concatenate([np.zeros_like(rows[:1], np.float64), np.cumsum(rows, axis=0, dtype=np.float64)])
    return ((total[wide:] - total[:-wide]) / wide).astype(rows.dtype)


def _best_of_two(one: Float32, rows: Float32, times: Float64, wanted: Float64) -> NDArray[np.intp]:
    """Of the two rows around each time the one that is more alike: what moves fast is elsewhere in half a step."""
    after = np.clip(np.searchsorted(times, wanted), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    later = (one * rows[after]).sum(axis=1) >= (one * rows[before]).sum(axis=1)
    return np.where(later, after, before)


def _changing(rows: Float32, times: Float64) -> Float32:
    """Rows without what stays over some seconds around each."""
    total = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0, dtype=np.float64)])
    low = np.searchsorted(times, times - _WINDOW)
    high = np.searchsorted(times, times + _WINDOW, side="right")
    return (rows - (total[high] - total[low]) / (high - low)[:, None]).astype(np.float32)


def _shifted(one: Float32, rows: Float32, video: Float64, segment: Segment, query: Float64, by: float) -> float | None:
    """How alike the pictures are when the video runs earlier or later."""
    wanted = segment.shift + by + segment.speed * query
    there = (wanted >= video[0]) & (wanted <= video[-1])
    if there.mean() < 0.5:
        return None
    return float((one[there] * rows[nearest(video, wanted[there])]).sum(axis=1).mean())
