"""The picture of one match: how alike each moment around it in the clip is to each moment around it in the video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from footage.copies.candidates import Candidate, Pair
from footage.copies.dense import RATE, SIDE, Dense, at_hand
from footage.copies.facts import Sides
from footage.copies.geometry import MIRROR, PLAIN, agreement, grid, refined
from footage.copies.queries import Chunk, views
from footage.copies.register import Register
from footage.errors import NotIndexed, QueryError
from footage.frames import thumbnail_size
from footage.media import resize
from footage.media.cut import frame_at
from footage.media.greys import Greys, greys

if TYPE_CHECKING:
    from footage.copies.geometry import Warp
    from footage.frames import FrameStore
    from footage.places import Place
    from footage.types import Float32, Float64, Match

CELLS = 96  # moments of each side
LONGEST = 1300.0  # seconds of either side: a clip of ten minutes at twice the speed
_AROUND = 0.35  # of the match's length, before and behind it
_LEAST, _MOST = 1.5, 30.0  # seconds of it
_PLAIN = 0.7  # agreement of the pictures with which no other map is looked for
_PICTURES = 3  # by which the map is found


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """A similarity matrix: a row a moment of the clip, a column a moment of the video."""

    query_times: Float64  # (q,)
    video_times: Float64  # (v,)
    similarity: Float32  # (q, v), -1..1


def alignment(path: str | Place, match: Match, frames: FrameStore) -> Alignment:
    """Compare what lies around a match in the clip with what lies around it in the video.

    Through the map between the two pictures (crop, mirror, inset), which is found anew: a match does not carry it.

    Raises:
        QueryError: the ranges are empty, too long, or outside of the clip or video.
        MediaError: the clip cannot be decoded.
        NotIndexed: neither the video's file nor its key frames are there.
    """
    speed = _checked(match)
    around = min(max(_AROUND * (match.query_end - match.query_start), _LEAST), _MOST)
    first, last = max(0.0, match.query_start - around), match.query_end + around
    query = _even(path, first, last)
    begin, end = max(0.0, match.start - around * speed), min(match.end + around * speed, match.video.duration)
    video = _of_video(match, begin, end, frames)
    warp = _warp(path, match, query, video, frames)
    sides = Sides.of(warp, query, video)
    assert sides is not None  # the plain maps can be compared, and others were only taken if they can
    return Alignment(query.times, video.times, sides.similarity())


def _checked(match: Match) -> float:
    """The speed."""
    length, there = match.query_end - match.query_start, match.end - match.start
    if length <= 0 or there <= 0:
        raise QueryError("a match has a range of the clip and one of the video", hint="each start lies before its end")
    if max(length, there) > LONGEST:
        raise QueryError(f"a range of {max(length, there):.0f} s, but at most {LONGEST:.0f} s are compared")
    if match.start >= match.video.duration:
        raise QueryError(f"{match.start:g} s lies behind the end of the video, {match.video.duration:g} s")
    return there / length


def _even(path: str | Place, start: float, end: float, duration: float = 0.0) -> Greys:
    return greys(path, start, end, rate=min(RATE, CELLS / (end - start)), side=SIDE, duration=duration)


def _of_video(match: Match, start: float, end: float, frames: FrameStore) -> Greys:
    file = at_hand(match.video)
    if file is not None:
        return _even(file, start, end, match.video.duration)
    found = Dense(frames).range(match.video, start, end)
    if found is None or not len(found):
        raise NotIndexed("neither the file of the video nor its key frames are there", hint="plug in its disk")
    few = np.linspace(0, len(found) - 1, min(len(found), CELLS)).round().astype(int)
    return Greys(found.times[few], found.pictures[few])


def _warp(path: str | Place, match: Match, query: Greys, video: Greys, frames: FrameStore) -> Warp:
    """The map under which aligned pictures agree best."""
    plain = MIRROR if match.mirrored else PLAIN
    one, other = _aligned(match, query, video)
    if not len(one) or agreement(plain, one, other) >= _PLAIN:
        return plain
    tried = [plain, *(w for w in _hypotheses(path, match, query, frames) if w.mirrored == match.mirrored)]
    few = slice(None, None, max(1, len(one) // 4))
    tried += [refined(warp, one[few], other[few]) for warp in tried]
    return max((w for w in tried if grid(w) is not None), key=lambda w: agreement(w, one, other), default=plain)


def _aligned(match: Match, query: Greys, video: Greys) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of the clip in the match, and those of the video at their times."""
    inside = np.flatnonzero((query.times >= match.query_start) & (query.times < match.query_end))
    inside = inside[np.linspace(0, len(inside) - 1, min(len(inside), 16)).round().astype(int)]
    speed = (match.end - match.start) / (match.query_end - match.query_start)
    wanted = match.start + speed * (query.times[inside] - match.query_start)
    there = np.abs(video.times[None] - wanted[:, None]).argmin(axis=1) if len(inside) else inside
    return query.pictures[inside], video.pictures[there]


def _hypotheses(path: str | Place, match: Match, query: Greys, frames: FrameStore) -> list[Warp]:
    """The maps that copy search would try for this video, at the key frames that lie in the match."""
    try:
        times = np.array(frames.times(match.video.id))
    except NotIndexed:
        return []
    times = times[(times >= match.start) & (times < match.end)]
    if not len(times):
        return []
    times = times[np.linspace(0, len(times) - 1, min(len(times), _PICTURES)).round().astype(int)]
    speed = (match.end - match.start) / (match.query_end - match.query_start)
    there = np.maximum(match.query_start + (times - match.start) / speed - 0.005, 0.0)
    pictures = [frame_at(path, float(t)) for t in there]
    small = [resize(p, *thumbnail_size(p.shape[1], p.shape[0])) for p in pictures]
    chunk = Chunk(float(query.times[0]), float(query.times[-1]), query, query, there, small)
    ways = views(chunk)
    pairs = [Pair(n, float(at), 10.0, view, exact=True) for n, at in enumerate(times) for view in ways]
    register, found = Register.make(Dense(frames)), [Candidate(match.video, 1.0, pairs)]
    everything = np.ones(len(there), bool)
    placed = [p for points in (False, True) for p in register.placed(chunk, found, points=points, wanted=everything)]
    return [each.warp for each in placed]
