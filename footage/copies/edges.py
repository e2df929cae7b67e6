"""Where a segment begins and ends, to the frame of the query."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from footage.copies.geometry import Warp, both, grid, local
from footage.media.greys import Greys

if TYPE_CHECKING:
    from footage.copies.align import Segment
    from footage.copies.queries import Chunk
    from footage.types import Float32, Float64, Video

_REACH = 0.45  # seconds around an edge that are looked at
_BEYOND = 0.18  # seconds outside of it, where the level of what is no copy is taken
_ENDS = 0.16  # seconds: nearer to an end of the query, an edge is that end unless frames say otherwise


def cut(segment: Segment, warp: Warp, chunk: Chunk, video: Greys, record: Video) -> Segment:
    """Move both edges to where the pictures stop being alike, and into the video."""
    start = _edge(segment, warp, chunk, video, begins=True)
    end = _edge(segment, warp, chunk, video, begins=False)
    if end <= start:
        return segment
    return _within(replace(segment, query_start=start, query_end=end), record)


def _within(segment: Segment, record: Video) -> Segment:
    """Without what would lie before or behind the video."""
    start = max(segment.query_start, (0.0 - segment.shift) / segment.speed)
    end = min(segment.query_end, (record.duration - segment.shift) / segment.speed)
    return replace(segment, query_start=start, query_end=end) if end > start else segment


def _edge(segment: Segment, warp: Warp, chunk: Chunk, video: Greys, *, begins: bool) -> float:
    edge = segment.query_start if begins else segment.query_end
    reach = min(_REACH, segment.seconds / 2)
    inner = (edge, edge + reach) if begins else (edge - reach, edge)
    near = chunk.full.between(min(inner[0], edge - _REACH), max(inner[1], edge + _REACH))
    if len(near) < 3:
        return edge
    times = near.times
    inside = (times >= inner[0]) & (times < inner[1])
    alike = _alike(segment, warp, near, video)
    if alike is None or not inside.any():  # of a slow stream there may be no frame so near to an edge
        return edge
    good = float(np.median(alike[inside]))
    outside = (times < edge - _BEYOND) if begins else (times >= edge + _BEYOND)
    bad = min(float(np.median(alike[outside])), good - 0.1) if outside.any() else good - 0.4
    votes = alike - (good + bad) / 2
    total = np.concatenate([[0.0], np.cumsum(votes)])
    # Frames behind the edge should speak for it, those before against it.
    number = int((2 * total - total[-1]).argmin()) if begins else int((2 * total - total[-1]).argmax())
    if number < len(times):
        found = float(times[number])
    else:
        found = min(float(times[-1] + np.median(np.diff(times))), chunk.end)
    if begins and chunk.full.times[0] >= found - 1e-6:
        found = chunk.start
    if not begins and found > chunk.full.times[-1] + 1e-6:
        found = chunk.end
    return found


def _alike(segment: Segment, warp: Warp, query: Greys, video: Greys) -> Float32 | None:
    """How alike each frame of the query is to the video's at its time; the better of the two next to it."""
    laid = grid(warp)
    if laid is None or not len(video):
        return None
    wanted = segment.shift + segment.speed * query.times
    after = np.clip(np.searchsorted(video.times, wanted), 0, len(video) - 1)
    before = np.clip(after - 1, 0, len(video) - 1)
    low, high = int(before.min()), int(after.max()) + 1
    some = Greys(video.times[low:high], video.pictures[low:high])
    one, other = both(laid, warp, query.pictures, some.pictures)
    one, other = local(one, laid), local(other, laid)
    values = np.maximum((one * other[before - low]).sum(axis=1), (one * other[after - low]).sum(axis=1))
    outside = _outside(wanted, video.times)
    return np.where(outside, np.float32(-0.2), values).astype(np.float32)


def _outside(wanted: Float64, times: Float64) -> np.ndarray:
    return (wanted < times[0] - 0.06) | (wanted > times[-1] + 0.15)
