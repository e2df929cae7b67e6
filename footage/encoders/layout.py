"""Layout: where the edges of a picture lie. Finds the very frame, where network features find the kind of frame.

A histogram of oriented gradients (Dalal and Triggs 2005) over 8 x 8 cells of the whole picture, whatever its aspect:
it holds under re-encoding, scaling, blur, darkening and small crops, and knows nothing of what is shown. A mirrored
copy has another layout; ask with both.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from footage.encoders import LAYOUT, EncoderRow, Options
from footage.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from footage.types import Float32, UInt8

_SIDE = 64  # pixels to which every picture is averaged
_CELLS = 8
_BINS = 8  # orientations over 180 degrees
_POWER = 0.5  # of the gradient's magnitude: many weak edges say more than a few strong ones
_EMPTY = 0.5  # of the mean of all cells: of pictures with bars one of a hundred has more at its sides
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. ITU-R BT.601


class Layout:
    """The layout encoder; see `Encoder` for the protocol. It has no weights."""

    @property
    def row(self) -> EncoderRow:
        """The description of this encoder."""
        return LAYOUT

    @property
    def fingerprint(self) -> str:
        """Changes with the code above."""
        return "layout-1"

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """Any size will do; the one that is cheapest to make."""
        return (_SIDE, _SIDE) if width > 0 and height > 0 else (1, 1)

    def encode_images(self, images: UInt8) -> dict[str, Float32]:
        """Encode RGB pictures, uint8 (n, h, w, 3) of any size, as `{"layout": float32 (n, 512)}`."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise EncoderError(f"pictures must be uint8 (n, h, w, 3), not {images.dtype} {images.shape}")
        _, height, width, _ = images.shape
        grey: Float32 = images.astype(np.float32) @ _LUMA
        grey = (_averaging(height) @ grey @ _averaging(width).T).astype(np.float32)
        return {LAYOUT.spaces[0].name: _hog(grey)}

    def encode_texts(self, texts: Sequence[str]) -> dict[str, Float32]:
        """It answers no words: an empty dict."""
        return {}


def build(_row: EncoderRow, _options: Options) -> Layout:
    """Make the encoder, as the registry asks for it."""
    return Layout()


def mirrored(vectors: Float32, space: str) -> Float32 | None:
    """The layouts of the mirror images: cells change sides, and slopes their sign. None: the space is another."""
    if space != LAYOUT.spaces[0].name:
        return None
    cells = vectors.reshape(-1, _CELLS, _CELLS, _BINS)[:, :, ::-1]
    return np.ascontiguousarray(cells[..., -np.arange(_BINS) % _BINS]).reshape(len(vectors), -1)


def empty_edges(vectors: Float32) -> NDArray[np.bool_]:
    """Which pictures (n,) may have bars: little but one line goes through their outer columns, or rows."""
    cells = vectors.reshape(-1, _CELLS, _CELLS, _BINS)
    across, down = cells[..., _BINS // 4 : -_BINS // 4].sum(axis=3), cells[..., [0, 1, -2, -1]].sum(axis=3)
    # A bar's own border is upright at the sides, and lies above and below: what else is there is the picture's.
    sides = np.maximum(across[:, :, 0], across[:, :, -1]).mean(axis=1)
    ends = np.maximum(down[:, 0], down[:, -1]).mean(axis=1)
    return (sides < _EMPTY * across.mean(axis=(1, 2))) | (ends < _EMPTY * down.mean(axis=(1, 2)))


@lru_cache(maxsize=64)
def _averaging(size: int) -> Float32:
    """The matrix (64, size) that averages (or repeats) `size` pixels to 64, by area."""
    edges = np.linspace(0, size, _SIDE + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(size)[None]
    overlap = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


def _hog(grey: Float32) -> Float32:
    """Oriented gradients of pictures float32 (n, 64, 64), as unit vectors float32 (n, 512)."""
    n = len(grey)
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, :, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2]
    down[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    magnitude = np.hypot(across, down) ** _POWER
    angle = (np.arctan2(down, across) % np.pi) * (_BINS / np.pi)
    cells = np.empty((n, _CELLS, _CELLS, _BINS), np.float32)
    for number in range(_BINS):  # each gradient is shared between the two orientations next to it
        distance = np.abs(angle - number)
        share = np.clip(1 - np.minimum(distance, _BINS - distance), 0, None) * magnitude
        cells[..., number] = share.reshape(n, _CELLS, _SIDE // _CELLS, _CELLS, _SIDE // _CELLS).sum(axis=(2, 4))
    flat = cells.reshape(n, -1)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
