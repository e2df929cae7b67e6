"""What the classics see in one picture: RGB uint8 (h, w, 3) of any size -> float32 (dim,) of unit length, or zeros.

Hashes are vectors of -1 and 1, scaled to unit length, so that their cosine is 1 - 2 x (differing bits) / bits.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.encoders.opencv.door import opencv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.types import Float32, UInt8

_GRID = 3  # cells of the picture, each way, with a colour histogram each
_HUES, _SATURATIONS, _VALUES = 8, 4, 4
_HOG_SIDE, _HOG_CELL, _HOG_BINS = 112, 16, 8  # blocks of 2 x 2 cells, one cell apart: 6 x 6 blocks x 4 cells x 8 bins
_DHASH_SIDE = 8
_PDQ_SIDE, _PDQ_KEPT = 64, 16
_PDQ_LEAST = 5  # pixels: the reference hashes nothing smaller


def colours(image: UInt8) -> Float32:
    """HSV histograms (Swain and Ballard 1991) of 3 x 3 cells: (1152,).

    The root of the shares is taken, so that the cosine of two pictures is the mean Bhattacharyya coefficient of
    their cells: few pixels of a colour say more, and large plain areas do not drown them.
    """
    cv = opencv()
    height, width = image.shape[:2]
    if min(height, width) < _GRID:
        image = cv.resize(image, (max(width, _GRID), max(height, _GRID)), interpolation=cv.INTER_NEAREST)
    hsv: UInt8 = cv.cvtColor(image, cv.COLOR_RGB2HSV)
    rows, columns = ([round(n * step / _GRID) for step in range(_GRID + 1)] for n in hsv.shape[:2])
    cells: list[Any] = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            cell = np.ascontiguousarray(hsv[top:bottom, left:right])
            sizes, ranges = [_HUES, _SATURATIONS, _VALUES], [0, 180, 0, 256, 0, 256]
            counts = cv.calcHist([cell], [0, 1, 2], None, sizes, ranges)
            cells.append(counts.reshape(-1) / counts.sum())
    return _unit(np.sqrt(np.concatenate(cells)))


def edges(image: UInt8) -> Float32:
    """Histograms of oriented gradients (Dalal and Triggs 2005) of the picture squeezed to 112 x 112: (1152,)."""
    square = _averaged(image, _HOG_SIDE, _HOG_SIDE)
    return _unit(_hog().compute(square).reshape(-1))


def dhash(image: UInt8) -> Float32:
    """Difference hash (Krawetz 2013), along rows and along columns: is the next of 9 x 8 grey cells lighter? (128,)."""
    grey = _grey(image)
    across = np.diff(_averaged(grey, _DHASH_SIDE + 1, _DHASH_SIDE), axis=1) > 0
    down = np.diff(_averaged(grey, _DHASH_SIDE, _DHASH_SIDE + 1), axis=0) > 0
    return _signs(np.concatenate([across.reshape(-1), down.reshape(-1)]))


def pdq(image: UInt8) -> Float32:
    """PDQ as a vector, see `pdq_hash`; zeros for a picture of quality 0, which is like any other plain one: (256,)."""
    bits, quality = pdq_hash(image)
    return _signs(bits) if quality else np.zeros(bits.size, np.float32)


def pdq_hash(image: UInt8) -> tuple[NDArray[np.bool_], int]:
    """Hash a picture with PDQ (Facebook 2019, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing
    algorithm"): 256 bits, the lowest frequency first, and the quality, 0..100, by how much gradient there is.

    Grey is filtered by two passes of a box, taken at 64 x 64 points and transformed; a bit tells whether one of the
    16 x 16 frequencies from the second on is above their median. The reference scales to 512 x 512 first or not at
    all, as its caller likes; so do we.
    """
    cv = opencv()
    if min(image.shape[:2]) < _PDQ_LEAST:
        return np.zeros(_PDQ_KEPT**2, np.bool_), 0
    small = _points(_grey(image))
    kept = cv.dct(small)[1 : _PDQ_KEPT + 1, 1 : _PDQ_KEPT + 1].reshape(-1)
    steps = [np.diff(small, axis=axis) * np.float32(100) / np.float32(255) for axis in (0, 1)]
    # Only whole per cents count: many small gradients are noise.
    quality = sum(int(np.abs(step).astype(np.int64).sum()) for step in steps) // 90
    return kept > np.median(kept), min(quality, 100)


def _points(grey: Float32) -> Float32:
    """The 64 x 64 points of PDQ: smoothed by two passes of a box filter (Jarosz), then the nearest pixels."""
    height, width = grey.shape
    if (height, width) != (_PDQ_SIDE, _PDQ_SIDE):
        # A box is half a point's share of the picture, rounded up: two passes then cover the whole share.
        box = [-(-side // (2 * _PDQ_SIDE)) for side in (width, height)]
        anchor = [side - (side + 2) // 2 for side in box]
        inside = _box(np.ones_like(grey), box, anchor)
        for _ in range(2):
            grey = _box(grey, box, anchor) / inside
    rows, columns = (((np.arange(_PDQ_SIDE) + 0.5) * n / _PDQ_SIDE).astype(int) for n in (height, width))
    return np.ascontiguousarray(grey[np.ix_(rows, columns)])


def _box(grey: Float32, size: list[int], anchor: list[int]) -> Float32:
    """Sums over a box; outside of the picture there is nothing."""
    cv = opencv()
    return cv.boxFilter(grey, cv.CV_32F, size, anchor=anchor, normalize=False, borderType=cv.BORDER_CONSTANT)


def _grey(image: UInt8) -> Float32:
    """Rec. ITU-R BT.601 luma, not rounded: float32 (h, w)."""
    cv = opencv()
    return cv.cvtColor(image.astype(np.float32), cv.COLOR_RGB2GRAY)


def _averaged(image: Any, width: int, height: int) -> Any:
    cv = opencv()
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    return cv.resize(image, (width, height), interpolation=cv.INTER_AREA if shrinks else cv.INTER_LINEAR)


def _signs(bits: NDArray[np.bool_]) -> Float32:
    return (np.where(bits, 1.0, -1.0) / np.sqrt(bits.size)).astype(np.float32)


def _unit(vector: Any) -> Float32:
    flat = np.asarray(vector, np.float32)
    length = float(np.linalg.norm(flat))
    return flat / length if length > 1e-6 else np.zeros_like(flat)


@lru_cache(maxsize=1)
def _hog() -> Any:
    side, cell = (_HOG_SIDE, _HOG_SIDE), (_HOG_CELL, _HOG_CELL)
    return opencv().HOGDescriptor(side, (2 * _HOG_CELL, 2 * _HOG_CELL), cell, cell, _HOG_BINS)
