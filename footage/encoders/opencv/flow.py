"""Motion without weights: histograms of oriented optical flow (HOF) over a window of frames.

Dense flow (DIS: Kroeger et al. 2016) between neighbouring frames on a small grey copy; directions weighted by speed
(Dalal et al. 2006, Laptev et al. 2008), of the whole picture and of a grid over place and time (Lazebnik et al. 2006).
It knows which way things move, where and when, and not what they are; a moving camera moves everything.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from footage.encoders.opencv.door import opencv
from footage.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from footage.encoders import EncoderRow, Options
    from footage.types import Float32, UInt8

VERSION = 1  # changes with the code and its constants

_SIDE = 96  # pixels of the longer side: what moves is seen well enough, and at a millisecond a pair of frames
_LEAST_SIDE = 24  # the patches of DIS need some room
_GRID, _TIMES, _BINS = 3, 2, 8  # places each way, parts of the window, directions; the first one is to the right
_NOISE = 0.15  # pixels from one frame to the next that are taken for grain and rounding
_CUT = 45.0  # grey levels by which neighbouring frames differ on average: no motion, but another shot
_STILL = 0.004  # of the longer side, as a mean over all pixels and the whole window: less than this counts as still
DIM = _BINS * (1 + _GRID * _GRID * _TIMES) + 1
_SEEN = 512  # pairs of frames remembered: windows overlap, and those of a few videos come by turns


class Flow:
    """Which way things move; see `WindowEncoder` for the protocol."""

    def __init__(self, row: EncoderRow) -> None:
        cv = opencv()  # tell at once when it is not installed, and not at the first window
        self._row = row
        self._flow = cv.DISOpticalFlow_create(cv.DISOPTICAL_FLOW_PRESET_MEDIUM)
        # By the bytes of both pictures, so that it cannot matter who asked before.
        self._moved = lru_cache(_SEEN)(self._compare)

    @property
    def row(self) -> EncoderRow:
        """The description of this encoder."""
        return self._row

    @property
    def fingerprint(self) -> str:
        """Changes with the code of the method."""
        return f"{self._row.name}-{VERSION}"

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """A small picture of the same aspect: a squeezed one would turn directions."""
        if width <= 0 or height <= 0:
            raise EncoderError(f"a picture of {width} x {height} pixels has no size")
        scale = _SIDE / max(width, height)
        return max(_LEAST_SIDE, round(width * scale)), max(_LEAST_SIDE, round(height * scale))

    def encode_images(self, images: UInt8) -> dict[str, Float32]:
        """In pictures nothing moves: they are all alike."""
        return self.encode_windows(images[:, None]) if images.ndim == 4 else self.encode_windows(images)

    def encode_windows(self, windows: UInt8) -> dict[str, Float32]:
        """Encode windows, uint8 (n, t, h, w, 3) of any number of frames, as unit vectors.

        Raises:
            EncoderError: they are of another kind.
        """
        if windows.dtype != np.uint8 or windows.ndim != 5 or windows.shape[4] != 3 or 0 in windows.shape[1:]:
            raise EncoderError(f"windows must be uint8 (n, t, h, w, 3), not {windows.dtype} {windows.shape}")
        space = self._row.spaces[0]
        out = np.empty((len(windows), space.dim), np.float32)
        for number, window in enumerate(windows):
            out[number] = self._motion(window)
        return {space.name: out}

    def encode_texts(self, texts: Sequence[str]) -> dict[str, Float32]:
        """It answers no words: an empty dict."""
        return {}

    def _motion(self, window: UInt8) -> Float32:
        """What moves in a window, uint8 (t, h, w, 3): (153,) of unit length.

        Roots of the shares are taken, as for colours, so that small motions are heard beside large ones. The last
        number stands for rest: alone in a window in which nothing moves, and drowned by any motion that one would see.
        """
        total = np.zeros((_TIMES, _GRID, _GRID, _BINS))
        greys = _greys(window)
        shape, pairs = greys[0].shape, list(pairwise(grey.tobytes() for grey in greys))
        for number, (before, after) in enumerate(pairs):
            total[number * _TIMES // len(pairs)] += self._moved(shape, before, after)
        parts = [total.sum(axis=(0, 1, 2)), total.reshape(-1), np.array([2 * _STILL])]
        vector = np.sqrt(np.concatenate(parts))
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def _compare(self, shape: tuple[int, ...], before: bytes, after: bytes) -> NDArray[np.float64]:
        """What moves from one grey picture to the next, as `_directions` tells it."""
        first, second = (np.frombuffer(grey, np.uint8).reshape(shape) for grey in (before, after))
        if np.abs(second.astype(np.int16) - first).mean() >= _CUT:
            return np.zeros((_GRID, _GRID, _BINS))
        return _directions(self._flow.calc(first, second, None))


def build(row: EncoderRow, _options: Options) -> Flow:
    """Make the encoder, as the registry asks for it.

    Raises:
        EncoderUnavailable: OpenCV is not installed.
    """
    return Flow(row)


def _greys(window: UInt8) -> list[UInt8]:
    cv = opencv()
    height, width = window.shape[1:3]
    scale = _SIDE / max(height, width)
    size = max(_LEAST_SIDE, round(width * scale)), max(_LEAST_SIDE, round(height * scale))
    greys = [cv.cvtColor(np.ascontiguousarray(frame), cv.COLOR_RGB2GRAY) for frame in window]
    if size == (width, height):
        return greys
    return [cv.resize(grey, size, interpolation=cv.INTER_AREA if scale < 1 else cv.INTER_LINEAR) for grey in greys]


def _directions(flow: NDArray[np.float32]) -> NDArray[np.float64]:
    """Speed by place and direction, (3, 3, 8): in longer sides a frame, the mean over all pixels.

    A direction between two bins counts for both by its nearness, so that it may turn a little without a jump.
    """
    height, width = flow.shape[:2]
    across, down = flow[..., 0], flow[..., 1]
    speed = np.maximum(np.hypot(across, down) - _NOISE, 0.0) / (max(height, width) * height * width)
    place = np.arctan2(down, across) % (2 * np.pi) / (2 * np.pi / _BINS)
    low = np.floor(place)
    nearness = place - low
    rows: NDArray[np.intp] = np.arange(int(height)) * _GRID // int(height)
    columns: NDArray[np.intp] = np.arange(int(width)) * _GRID // int(width)
    cell: NDArray[np.intp] = (rows[:, None] * _GRID + columns) * _BINS
    out = np.zeros(_GRID * _GRID * _BINS)
    for shift, share in ((0, 1 - nearness), (1, nearness)):
        bins: NDArray[np.intp] = cell + (low.astype(np.intp) + shift) % _BINS
        out += np.bincount(bins.reshape(-1), (speed * share).reshape(-1), out.size)
    return out.reshape(_GRID, _GRID, _BINS)
