"""Boxes within a picture: between black bars, inside of a border, or the window of a picture in picture.

What moves in a clip changes its edges; the sides of a box stay. So edges are averaged over frames of the whole clip,
and boxes are taken whose four sides are all lines that stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.copies.geometry import Box
    from footage.types import Float32, Float64, UInt8

_FRAMES = 24  # that are averaged
_LEAST = 0.22  # of a side
_LINES = 18  # candidates for a side, across and down
_APART = 0.04  # two boxes are the same when no side differs more
_FLAT = 7.0  # grey levels of spread: a row with less is part of a bar
_CLEAR = 3.0  # how much a box's weakest side must stand out


def bars(pictures: UInt8, flat: float = _FLAT) -> Box | None:
    """What is left when even bars at the edges of all pictures (n, h, w) are taken away; None if there are none.

    `flat`: grey levels of spread that a row of a bar may have.
    """
    chosen = _spread(pictures).astype(np.float32)
    rows = np.percentile(chosen.std(axis=2), 80, axis=0)
    columns = np.percentile(chosen.std(axis=1), 80, axis=0)
    top, bottom = _trim(rows, flat)
    left, right = _trim(columns, flat)
    height, width = len(rows), len(columns)
    if (bottom - top) < _LEAST * height or (right - left) < _LEAST * width:
        return None
    if bottom - top > 0.97 * height and right - left > 0.97 * width:
        return None
    return left / width, top / height, right / width, bottom / height


def _trim(spread: Float32, flat: float) -> tuple[int, int]:
    busy = np.flatnonzero(spread > flat)
    return (int(busy[0]), int(busy[-1]) + 1) if len(busy) else (0, 0)


def boxes(pictures: UInt8, most: int = 3) -> list[Box]:
    """The clearest boxes of pictures (n, h, w) of one clip, the best first."""
    chosen = _spread(pictures).astype(np.float32)
    _, height, width = chosen.shape
    if min(height, width) < 24:
        return []
    across = _staying(np.diff(chosen, axis=2))  # (h, w-1): sides that stand upright
    down = _staying(np.diff(chosen, axis=1).swapaxes(1, 2))  # (w, h-1): sides that lie
    xs, ys = _lines(across), _lines(down)
    sizes = (width, height)
    tops, bottoms = _pairs(ys, height)
    if not len(tops):
        return []
    upright, lying = _cumulated(across), _cumulated(down)
    found: list[tuple[float, Box]] = []
    for left, right in zip(*_pairs(xs, width), strict=True):
        found += _between(int(left), int(right), (tops, bottoms), (upright, lying), sizes)
    out: list[Box] = []
    for _, box in sorted(found, reverse=True):
        if all(max(abs(a - b) for a, b in zip(box, other, strict=True)) > _APART for other in out):
            out.append(box)
        if len(out) >= most:
            break
    return out


def _pairs(lines: list[int], size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Two lines each, far enough apart for a box."""
    both = [(a, b) for i, a in enumerate(lines) for b in lines[i + 1 :] if b - a >= _LEAST * size]
    pairs = np.array(both, np.intp).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _between(
    left: int,
    right: int,
    ys: tuple[NDArray[np.intp], NDArray[np.intp]],
    staying: tuple[Float64, Float64],
    size: tuple[int, int],
) -> list[tuple[float, Box]]:
    """The boxes with these two upright sides."""
    (width, height), (tops, bottoms), (upright, lying) = size, ys, staying
    weakest = np.full(len(tops), np.inf)
    count = np.zeros(len(tops))
    for x in (left, right):
        if 0 <= x < width - 1:
            mean = (upright[x][bottoms + 1] - upright[x][tops + 1]) / (bottoms - tops)
            weakest, count = np.minimum(weakest, mean), count + 1
    means = (lying[:, right + 1] - lying[:, left + 1]) / (right - left)
    for y in (tops, bottoms):
        there = (y >= 0) & (y < height - 1)
        mean = np.where(there, means[np.clip(y, 0, height - 2)], np.inf)
        weakest, count = np.minimum(weakest, mean), count + there
    # More sides that stay are harder to come by chance.
    good = np.flatnonzero((count > 0) & (weakest >= _CLEAR))
    return [
        (
            float(weakest[i] * count[i]),
            ((left + 1) / width, float(tops[i] + 1) / height, (right + 1) / width, float(bottoms[i] + 1) / height),
        )
        for i in good.tolist()
    ]


def _spread(pictures: UInt8) -> UInt8:
    if len(pictures) <= _FRAMES:
        return pictures
    return pictures[np.linspace(0, len(pictures) - 1, _FRAMES).round().astype(int)]


def _staying(edges: Float32) -> Float32:
    """How strong the edges of (n, h, w) are in most frames, beside those next to them, in units of their noise."""
    strength = np.percentile(np.minimum(np.abs(edges), 60), 35, axis=0)
    near = (np.roll(strength, 2, axis=1) + np.roll(strength, -2, axis=1)) / 2
    out = strength - near
    return (out / (np.abs(out).mean() + 0.3)).astype(np.float32)


def _lines(staying: Float32) -> list[int]:
    """Where sides may lie: the picture's own, and the strongest columns."""
    sums = np.sort(staying, axis=0)[len(staying) // 2 :].mean(axis=0)
    order = np.argsort(-sums)[:_LINES].tolist()
    return sorted({-1, staying.shape[1], *order})


def _cumulated(staying: Float32) -> Float64:
    """Running sums along each column: (w, h + 1)."""
    total = np.zeros((staying.shape[1], staying.shape[0] + 1))
    np.cumsum(np.minimum(staying, 12).T, axis=1, out=total[:, 1:])
    return total
