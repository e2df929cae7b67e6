"""Verification: a query and a video decoded densely, compared through one geometry, aligned, and judged."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from footage.copies.align import FASTEST, SPEEDS, Segment, stretches
from footage.copies.edges import cut
from footage.copies.facts import CALM, MOTION, Found, Sides, agreeing, measured, nearest
from footage.copies.geometry import MIRROR, PLAIN, Warp, agreement, refined
from footage.copies.queries import FULL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from footage.copies.dense import Dense
    from footage.copies.queries import Chunk
    from footage.copies.register import Placed
    from footage.media.greys import Greys
    from footage.types import Float64, UInt8, Video

_ALONG = 16  # pictures of a segment that the geometry is refined with
_FEW = 4  # by which another time is tried
_STEPS, _STEP = 7, 0.2  # of seconds of the video, each way
_BETTER = 0.04  # agreement that another time must gain
_LEAST_ALIKE = 0.35  # of a segment whose time is doubted
_SURE, _SURE_ALIKE = 0.9, 0.85  # probability and likeness of one whose is not
_MAPPED, _UNLIKELY = 0.85, 0.5  # likeness through a map that is right; probability
_LEAST_PART, _SURE_PART = 1.0, 0.8  # seconds, and probability, of a part that is told by that
_LEAST_ALIKE_PART = 0.6  # of the segment that it is a part of
_SURE_CLOSELY, _CLOSELY = 0.95, 20.0  # probability, and seconds, below which a segment is measured on every picture
_MOST = 12  # segments of one placement
_HOPELESS = 0.02  # probability
OFF = 3.0
"""Seconds of the video by which a segment may miss the place where vectors have it."""


def verified(placed: Placed, chunk: Chunk, dense: Dense, *, reach: float = 0.0) -> list[Found]:
    """The segments that a chunk and a video have in common through one geometry.

    `reach`: seconds of the video, each way, that are looked at; without it all that may lie beside some of the chunk.
    """
    reach = reach or (chunk.end - chunk.start) * FASTEST + 2.0
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
    if _odd(max(out, key=lambda found: found.segment.gain)):
        # Where little moves, many a speed fits; that a copy runs at 1 is known before.
        out = _likelier(out, _with(out[0].warp, placed.video, chunk, video, speeds=np.ones(1)))
    return [_closer(found, chunk, dense) for found in out]


def verified_there(placed: Placed, chunk: Chunk, dense: Dense, *, reach: float = 0.0) -> list[Found]:
    """Those of them that are likely, and lie where the placement has them."""
    found = verified(placed, chunk, dense, reach=reach)
    off = (abs(f.segment.at(placed.query_at) - placed.at) for f in found)
    return [f for f, by in zip(found, off, strict=True) if f.probability >= _UNLIKELY and by < OFF]


def _likelier(one: list[Found], other: list[Found]) -> list[Found]:
    return other if max((f.probability for f in other), default=-1.0) > max(f.probability for f in one) else one


def _odd(found: Found) -> bool:
    """Whether the speed may be told by what stands still: beside 1, or such that nothing fits that moves."""
    off = abs(found.segment.speed - 1)
    return off > 0.01 and (off < 0.15 or (found.facts.alike > _MAPPED and found.probability < _UNLIKELY))


def _closer(found: Found, chunk: Chunk, dense: Dense) -> Found:
    """A doubtful segment, measured on every picture of the video: what moves fast is another one in a twentieth."""
    s = found.segment
    if not _HOPELESS < found.probability < _SURE_CLOSELY or found.facts.motion < MOTION or s.seconds > _CLOSELY:
        return found
    query = chunk.greys.between(s.query_start - 0.05, s.query_end + 0.05)
    video = dense.exact(found.video, s.start - 0.2, s.end + 0.2, FULL)
    sides = Sides.of(found.warp, query, video) if video is not None and len(video) > 1 and len(query) > 1 else None
    if sides is None or video is None:
        return found
    facts, track = measured(s, sides, query.times, video.times)
    closer = replace(found, facts=facts, track=track)
    return closer if closer.probability > found.probability else found


def _doubtful(found: Found) -> bool:
    facts = found.facts
    sure = found.probability >= _SURE and facts.alike >= _SURE_ALIKE
    return facts.alike > _LEAST_ALIKE and facts.motion > MOTION and not sure


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
            found = Found(record, warp, segment, *measured(segment, sides, chunk.greys.times, video.times))
            out.append(_without_other_takes(found, sides, chunk.greys.times, video.times))
        doubtful = 0 if out[-1].probability > _HOPELESS else doubtful + 1
        # Lines come best first: behind two that are chance there is nothing.
        if len(out) >= _MOST or doubtful > 1 or all(f.probability < _HOPELESS for f in out):
            break
    return out


def _without_other_takes(found: Found, sides: Sides, query: Float64, video: Float64) -> Found:
    """The part of an unlikely segment in which all that moves agrees, where that is a copy by itself.

    A scene may go on in another take: what stands still in it tells of no end.
    """
    if found.track is None or found.probability >= _UNLIKELY or found.facts.alike < _LEAST_ALIKE_PART:
        return found
    whole = found.segment
    start, end = agreeing(found.track)
    if not _LEAST_PART <= end - start < 0.85 * whole.seconds:
        return found
    segment = replace(
        whole,
        query_start=whole.query_start if start - whole.query_start < CALM else start,
        query_end=whole.query_end if whole.query_end - end < CALM else end,
    )
    facts, track = measured(segment, sides, query, video)
    part = replace(found, segment=segment, facts=facts, track=track)
    return part if part.probability >= _SURE_PART else found


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
    best, best_score = None, agreement(found.warp, one, video.pictures[nearest(video.times, times)]) + _BETTER
    for way in (-1, 1):
        warp = found.warp
        for number in range(_STEPS + 1):
            wanted = times + way * number * _STEP
            if wanted[0] < video.times[0] - _STEP or wanted[-1] > video.times[-1] + _STEP:
                break
            other = video.pictures[nearest(video.times, wanted)]
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
    other = video.pictures[nearest(video.times, times)]
    few = slice(None, None, max(1, len(one) // 4))
    better = refined(warp, one[few], other[few])
    if better == warp or agreement(better, one, other) < agreement(warp, one, other) + 0.01:
        return None
    return better
