"""Verification: a query and a video decoded densely, compared through one geometry, aligned, and judged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.copies.align import FASTEST, SPEEDS, Segment, stretches
from footage.copies.edges import cut
from footage.copies.geometry import GRID, MIRROR, PLAIN, Grid, Warp, agreement, both, grid, local, refined
from footage.copies.probability import probability
from footage.copies.queries import FULL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from footage.copies.dense import Dense
    from footage.copies.queries import Chunk
    from footage.copies.register import Placed
    from footage.media.greys import Greys
    from footage.types import Float32, Float64, UInt8, Video

_ALONG = 16  # pictures of a segment that the geometry is refined with
_FEW = 4  # by which another time is tried
_STEPS, _STEP = 7, 0.2  # of seconds of the video, each way
_BETTER = 0.04  # agreement that another time must gain
_LEAST_ALIKE = 0.35  # of a segment whose time is doubted
_SURE, _SURE_ALIKE = 0.9, 0.85  # probability and likeness of one whose is not
_SURE_CLOSELY, _CLOSELY = 0.95, 20.0  # probability, and seconds, below which a segment is measured on every picture
_WINDOW = 1.5  # seconds around a frame, over which what stays is taken away
_MOST = 12  # segments of one placement
_HOPELESS = 0.02  # probability
_INSET = 0.08  # seconds at the ends of a segment that are not measured: they may show a blend
_CALM = 0.3  # seconds over which pictures are averaged before what changes is compared
_COARSE, _KNOWN, _LEAST_KNOWN = 0.25, 0.12, 3  # seconds between pictures, and next to one; how many say anything
_SKETCH = 48  # numbers that a picture is remembered by
_MOTION = 0.08  # of the contrast: where less moves, motion says little


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
        changing = (change @ change_video.T) / (sizes + _MOTION)
        return (0.5 * alike + 0.5 * changing).astype(np.float32)


def verified(placed: Placed, chunk: Chunk, dense: Dense) -> list[Found]:
    """The segments that a chunk and a video have in common through one geometry."""
    length = chunk.end - chunk.start
    reach = length * FASTEST + 2.0
    start, end = placed.at - reach, placed.at + reach
    video = dense.range(placed.video, max(0.0, start), end)
    if video is None or len(video) < 1:
        return []
    warp = placed.warp
    query = chunk.greys
    sides = Sides.of(warp, query, video)
    if sides is None:
        return []
    lines = stretches(sides.similarity(), query.times, video.times)
    best = next(lines, None)
    if best is None:
        return []
    better = _geometry(warp, best[0], query, video)
    if better is not None:
        out = _with(better, placed.video, chunk, video)
    else:
        out = _segments(placed.video, warp, sides, chunk, video, chain([best], lines))
    if not out:
        return []
    first = max(out, key=lambda found: found.segment.gain)
    if _doubtful(first):
        moved = _retimed(first, placed.origin, query, video)
        again = _settled(moved, placed.video, chunk, video) if moved is not None else []
        out = _likelier(out, again)
    if _odd(max(out, key=lambda found: found.segment.gain).segment):
        # Where little moves, many a speed fits; that a copy runs at 1 is known before.
        out = _likelier(out, _with(out[0].warp, placed.video, chunk, video, speeds=np.ones(1)))
    return [_closer(found, chunk, dense) for found in out]


def _likelier(one: list[Found], other: list[Found]) -> list[Found]:
    return other if max((f.probability for f in other), default=-1.0) > max(f.probability for f in one) else one


def _odd(segment: Segment) -> bool:
    return 0.01 < abs(segment.speed - 1) < 0.15


def _closer(found: Found, chunk: Chunk, dense: Dense) -> Found:
    """A doubtful segment, measured on every picture of the video: what moves fast is another one in a twentieth."""
    s = found.segment
    if not _HOPELESS < found.probability < _SURE_CLOSELY or found.facts.motion < _MOTION or s.seconds > _CLOSELY:
        return found
    query = chunk.greys.between(s.query_start - 0.05, s.query_end + 0.05)
    video = dense.exact(found.video, s.start - 0.2, s.end + 0.2, FULL)
    sides = Sides.of(found.warp, query, video) if video is not None and len(video) > 1 and len(query) > 1 else None
    if sides is None or video is None:
        return found
    facts, track = _facts(s, sides, query.times, video.times)
    closer = replace(found, facts=facts, track=track)
    return closer if closer.probability > found.probability else found


def _doubtful(found: Found) -> bool:
    facts = found.facts
    sure = found.probability >= _SURE and facts.alike >= _SURE_ALIKE
    return facts.alike > _LEAST_ALIKE and facts.motion > _MOTION and not sure


def _settled(warp: Warp, record: Video, chunk: Chunk, video: Greys) -> list[Found]:
    """The segments through a map, or through what it is refined to on them."""
    out = _with(warp, record, chunk, video)
    if not out:
        return []
    better = _geometry(warp, max(out, key=lambda found: found.segment.gain).segment, chunk.greys, video)
    return (_with(better, record, chunk, video) if better is not None else []) or out


def _with(warp: Warp, record: Video, chunk: Chunk, video: Greys, speeds: Float64 = SPEEDS) -> list[Found]:
    sides = Sides.of(warp, chunk.greys, video)
    if sides is None:
        return []
    lines = stretches(sides.similarity(), chunk.greys.times, video.times, speeds=speeds)
    return _segments(record, warp, sides, chunk, video, lines)


def _segments(
    record: Video, warp: Warp, sides: Sides, chunk: Chunk, video: Greys, lines: Iterator[list[Segment]]
) -> list[Found]:
    """The segments of lines through one map."""
    out: list[Found] = []
    doubtful = 0
    for group in lines:
        for each in group:
            segment = cut(each, warp, chunk, video, record)
            facts, track = _facts(segment, sides, chunk.greys.times, video.times)
            out.append(Found(record, warp, segment, facts, track))
        doubtful = 0 if out[-1].probability > _HOPELESS else doubtful + 1
        # Lines come best first: behind two that are chance there is nothing.
        if len(out) >= _MOST or doubtful > 1 or all(f.probability < _HOPELESS for f in out):
            break
    return out


def _retimed(found: Found, origin: Warp | None, query: Greys, video: Greys) -> Warp | None:
    """The map at another time of the video, where it fits better; None where it is best as it is.

    While a camera pans, a wrong time and a wrong place make up for each other in all that stands still. So the map
    that was found moves along, and that from before it was refined, and none at all, are tried at each time.
    """
    pairs = _aligned(found.segment, query, video, _FEW)
    if pairs is None:
        return None
    one, times = pairs
    at_hand = [MIRROR if found.warp.mirrored else PLAIN, *([origin] if origin is not None else [])]
    best, best_score = None, agreement(found.warp, one, video.pictures[_nearest(video.times, times)]) + _BETTER
    for way in (-1, 1):
        warp = found.warp
        for number in range(_STEPS + 1):
            wanted = times + way * number * _STEP
            if wanted[0] < video.times[0] - _STEP or wanted[-1] > video.times[-1] + _STEP:
                break
            other = video.pictures[_nearest(video.times, wanted)]
            warp = refined(warp, one, other) if number else warp
            for tried in (warp, *at_hand):
                score = agreement(tried, one, other)
                if score > best_score:
                    best, best_score = tried, score
    return best


def _aligned(segment: Segment, query: Greys, video: Greys, most: int) -> tuple[UInt8, Float64] | None:
    """Some pictures of a segment, and the times in the video that they are aligned with."""
    inside = np.flatnonzero((query.times >= segment.query_start) & (query.times < segment.query_end))
    if not len(inside) or not len(video):
        return None
    chosen = inside[np.linspace(0, len(inside) - 1, min(len(inside), most)).round().astype(int)]
    return query.pictures[chosen], segment.shift + segment.speed * query.times[chosen]


def _geometry(warp: Warp, segment: Segment, query: Greys, video: Greys) -> Warp | None:
    """The map refined on aligned pictures; None where it stays."""
    pairs = _aligned(segment, query, video, _ALONG)
    if pairs is None:
        return None
    one, times = pairs
    other = video.pictures[_nearest(video.times, times)]
    few = slice(None, None, max(1, len(one) // 4))
    better = refined(warp, one[few], other[few])
    if better == warp or agreement(better, one, other) < agreement(warp, one, other) + 0.01:
        return None
    return better


def _nearest(times: Float64, wanted: Float64) -> np.ndarray:
    place = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    place = np.minimum(place, len(times) - 1)
    return place - ((wanted - times[place - 1]) < (times[place] - wanted)) * (place > 0)


def _facts(segment: Segment, sides: Sides, query: Float64, video: Float64) -> tuple[Facts, Float32]:
    """What was measured on a segment, and its track."""
    inset = _INSET if segment.seconds > 8 * _INSET else -0.02
    inside = np.flatnonzero((query >= segment.query_start + inset) & (query < segment.query_end - abs(inset)))
    coarse = len(video) > 1 and float(np.median(np.diff(video))) > _COARSE
    if coarse:  # key frames alone: between them the video is not known
        wanted = segment.shift + segment.speed * query[inside]
        known = np.abs(video[_nearest(video, wanted)] - wanted) < _KNOWN
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
    return max(1, min(round(_CALM / max(float(np.median(np.diff(times))), 1e-3)), len(times) // 3))


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
    return float((one[there] * rows[_nearest(video, wanted[there])]).sum(axis=1).mean())
