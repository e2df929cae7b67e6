"""What a benchmark is made from: videos that can be read, looked at once, and told apart from their natural copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from footage.errors import MediaError
from footage.media import open_video

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.copies.geometry import Box
    from footage.types import Float32, Float64

SHORTEST = 1.5  # seconds; less has no excerpt
LONGEST = 600.0  # seconds of a video that are looked at and used
_EVERY = 0.25  # seconds between the pictures that are remembered
_PLAIN = 6.0  # standard deviation of grey; below it a picture shows nothing


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A video that was decoded once."""

    path: str
    duration: float  # as measured, or LONGEST
    size: tuple[int, int]  # (width, height) as displayed
    fps: float
    at: Float64  # (n,) seconds
    small: Float32  # (n, 144) small grey pictures with mean 0 and length 1; zeros where a picture is plain
    has_audio: bool
    lead: float = 0.0  # seconds at its start that it shares with others
    parts: Float32 | None = None  # (n, PARTS, 144) the same of parts of the pictures; None: not looked at
    dense: Float32 | None = None  # (m, 144) small pictures, ten a second of the first minute

    def shows(self, start: float, end: float) -> bool:
        """Tell whether there is something to see for most of the time."""
        inside = self.small[(self.at >= start) & (self.at < end)]
        return bool(np.count_nonzero(inside.any(axis=1)) > 0.75 * len(inside))


def look(path: str | Path) -> Known | None:
    """Decode a video once; None if it is broken, too short, or no video."""
    at: list[float] = []
    small: list[Float32] = []
    parts: list[Float32] = []
    dense: list[Float32] = []
    due = 0.0
    end, last = LONGEST, 0.0
    try:
        with open_video(path) as reader:
            for frame in reader.frames():
                if frame.time >= LONGEST:
                    break
                last = frame.time
                if due <= last + 1e-3 and last < _DENSE_UNTIL:
                    dense.append(_small(frame.luma))
                    due = max(due + _DENSE, last + _DENSE / 2)
                if not at or frame.time >= at[-1] + _EVERY - 1e-3:
                    at.append(frame.time)
                    small.append(_small(frame.luma))
                    parts.append(np.stack([_small(_part(frame.luma, box)) for box in _PARTS]))
            else:
                end = reader.duration
            info, broken = reader.info, reader.broken_at is not None or bool(reader.warning)
    except MediaError:
        return None
    if broken or last < SHORTEST or not any(s.any() for s in small):
        return None
    size = info.width, info.height
    known = Known(str(path), end, size, info.fps, np.array(at), np.array(small), info.has_audio)
    return replace(known, parts=np.array(parts), dense=np.array(dense))


def _part(luma: NDArray[np.uint8], box: Box) -> Float32:
    """A part of a picture in the shape of the whole, float32 (36, 64)."""
    height, width = luma.shape
    y = np.clip((box[1] + _ROWS * (box[3] - box[1])) * height - 0.5, 0, height - 1.001)[:, None]
    x = np.clip((box[0] + _COLUMNS * (box[2] - box[0])) * width - 0.5, 0, width - 1.001)[None]
    top, left = y.astype(np.intp), x.astype(np.intp)
    down, right = y - top, x - left
    above = luma[top, left] * (1 - right) + luma[top, left + 1] * right
    below = luma[top + 1, left] * (1 - right) + luma[top + 1, left + 1] * right
    return (above * (1 - down) + below * down).astype(np.float32)


def _small(luma: NDArray[np.uint8 | np.float32]) -> Float32:
    """(36, 64) to 9 x 16 means, centred, of unit length."""
    cells = luma.reshape(9, 4, 16, 4).mean(axis=(1, 3), dtype=np.float32).reshape(-1)
    cells -= cells.mean()
    return cells / np.linalg.norm(cells) if cells.std() > _PLAIN else np.zeros_like(cells)


_PARTS: tuple[Box, ...] = (
    *((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)),
    *((0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 1.0, 0.5), (0.0, 0.5, 0.5, 1.0), (0.5, 0.5, 1.0, 1.0)),
    *((0.125, 0.0, 0.875, 1.0), (0.0, 0.125, 1.0, 0.875)),
)
"""What a screen in parts shows of a video, and what is left between the pictures of 4:3 and of 16:9."""
_ROWS, _COLUMNS = (np.arange(36) + 0.5) / 36, (np.arange(64) + 0.5) / 64

_SAME = 0.995  # correlation of two pictures of one moment, encoded twice
_SAME_PART = 0.985  # the same of a part; takes of one scene reach 0.98, and only the whole beside the whole
_DENSE, _DENSE_UNTIL = 0.1, 60.0  # seconds between pictures in which quick movement is the same, and how many
_ALL = 0.9  # share of them that must be the same
_TWIN = 0.3  # share of the pictures of the shorter video that have such a partner; takes of one scene reach 0.29


def twins(videos: Sequence[Known]) -> list[list[int]]:
    """Groups of videos that show the same already, as indices; what a benchmark must not call a false match.

    Two videos are twins if many pictures of the shorter have the very picture in the other, or in a part of it: one
    half of a screen in parts, or what another shape of the picture leaves.
    """
    parent = list(range(len(videos)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i, first in enumerate(videos):
        for j in range(i):
            if root(i) != root(j) and alike(first, videos[j]) > _TWIN:
                parent[root(i)] = root(j)
    groups: dict[int, list[int]] = {}
    for i in range(len(videos)):
        groups.setdefault(root(i), []).append(i)
    return [group for group in groups.values() if len(group) > 1]


def alike(first: Known, second: Known) -> float:
    """The share of pictures of the shorter video that are in the other too, one perhaps as a part of the other."""
    if first.dense is not None and second.dense is not None and _share(first.dense, second.dense, _SAME) > _ALL:
        return 1.0  # another clip of the same footage: pictures a quarter of a second apart may all miss each other
    shares = [_share(first.small, second.small, _SAME)]
    for one, other in ((first, second), (second, first)):
        if one.parts is not None:
            shares += _shares(one.parts, other.small, _SAME_PART)
    return max(shares)


def _shares(parts: Float32, other: Float32, same: float) -> list[float]:
    """The same for each part (n, PARTS, 144) of one video's pictures, beside the whole of another's."""
    alike = (parts.reshape(-1, parts.shape[2]) @ other.T).reshape(*parts.shape[:2], -1)
    shorter_is_one = len(parts) <= len(other)
    best = alike.max(axis=2 if shorter_is_one else 0)
    best = best if shorter_is_one else best.T
    shown = parts.any(axis=2) if shorter_is_one else np.tile(np.any(other, axis=1), (parts.shape[1], 1)).T
    count = np.maximum(shown.sum(axis=0), 1)
    return (((best > same) & shown).sum(axis=0) / count).tolist()


def _share(first: Float32, second: Float32, same: float) -> float:
    """The share of the shorter one's rows that have the same in the other."""
    short, other = (first, second) if len(first) <= len(second) else (second, first)
    shown = short[short.any(axis=1)]
    if not len(shown) or not len(other):
        return 0.0
    best: Float32 = (shown @ other.T).max(axis=1)
    return np.count_nonzero(best > same) / len(best)
