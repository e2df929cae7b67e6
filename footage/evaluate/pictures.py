"""Attacks on pictures: pure functions of one frame, RGB uint8 (h, w, 3), and of where it stands in the clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from footage.evaluate import drawing

if TYPE_CHECKING:
    from footage.types import Float32, UInt8


@dataclass(frozen=True, slots=True, eq=False)
class At:
    """Where a frame stands in the clip, and what plays beside it."""

    index: int
    share: float  # 0..1 of the clip
    behind: UInt8 | None = None  # the frame of the other video of a picture in picture, of the same shape


Effect: TypeAlias = Callable[["UInt8", At], "UInt8"]


def crop(picture: UInt8, _: At, *, keep: float, x: float, y: float) -> UInt8:
    """Keep a window that is `keep` of each side, at `x`, `y` of the room that there is."""
    height, width = picture.shape[:2]
    down, across = max(2, round(height * keep)), max(2, round(width * keep))
    top, left = round((height - down) * y), round((width - across) * x)
    return picture[top : top + down, left : left + across]


def flip(picture: UInt8, _: At) -> UInt8:
    """Mirror left and right."""
    return picture[:, ::-1]


def rotate(picture: UInt8, _: At, *, degrees: float) -> UInt8:
    """Turn over black."""
    return drawing.turned(picture, degrees)


def letterbox(picture: UInt8, _: At, *, room: float, across: bool) -> UInt8:
    """Put black bars above and below (or at the sides), which take `room` of the result."""
    height, width = picture.shape[:2]
    more = round((width if across else height) * room / (1 - room) / 2)
    return np.pad(picture, ((0, 0), (more, more), (0, 0)) if across else ((more, more), (0, 0), (0, 0)))


def border(picture: UInt8, _: At, *, width: float, seed: int) -> UInt8:
    """Draw a coloured frame all around, `width` of the shorter side thick."""
    thick = max(2, round(min(picture.shape[:2]) * width))
    high, wide = picture.shape[0] + 2 * thick, picture.shape[1] + 2 * thick
    out = np.empty((high, wide, 3), np.uint8)
    out[:] = np.random.default_rng(seed).integers(0, 256, 3)
    out[thick:-thick, thick:-thick] = picture
    return out


def scale(picture: UInt8, _: At, *, factor: float, squeeze: float) -> UInt8:
    """Make it smaller, and squeeze its width beside."""
    height, width = picture.shape[:2]
    return drawing.scaled(picture, max(32, round(width * factor * squeeze)), max(32, round(height * factor)))


def blur(picture: UInt8, _: At, *, share: float) -> UInt8:
    """Blur by `share` of the shorter side."""
    return drawing.blurred(picture, share * min(picture.shape[:2]))


def noise(picture: UInt8, at: At, *, sigma: float, seed: int) -> UInt8:
    """Add noise that is new in every frame; `sigma` of 255."""
    grain = _grain(seed)
    rng = np.random.default_rng((seed, at.index))
    height, width = picture.shape[:2]
    down, across = (int(n) for n in rng.integers(len(grain), size=2))
    tall = np.take(grain, range(down, down + height), axis=0, mode="wrap")
    more = np.round(np.take(tall, range(across, across + width), axis=1, mode="wrap") * sigma).astype(np.int16)
    return np.clip(picture + more[..., None], 0, 255).astype(np.uint8)


@lru_cache(maxsize=4)
def _grain(seed: int) -> Float32:
    return np.random.default_rng(seed).standard_normal((512, 512), np.float32)


def colour(picture: UInt8, _: At, *, brightness: float, contrast: float, gamma: float, saturation: float) -> UInt8:
    """Change how light, how hard, how deep and how colourful it is; (0, 1, 1, 1) changes nothing."""
    levels = np.arange(256, dtype=np.float32) / 255
    curve = np.clip((np.clip((levels - 0.5) * contrast + 0.5 + brightness, 0, 1)) ** gamma, 0, 1) * 255 + 0.5
    out = curve.astype(np.uint8)[picture]
    return out if saturation == 1 else _saturated(out, saturation)


def grey(picture: UInt8, _: At, *, left: float) -> UInt8:
    """Take the colours away, but for `left` of them."""
    return _saturated(picture, left)


def _saturated(picture: UInt8, factor: float) -> UInt8:
    values = picture.astype(np.float32)
    luma = (values @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    return np.clip(luma + (values - luma) * np.float32(factor), 0, 255).astype(np.uint8)


def text(picture: UInt8, _: At, *, words: str, share: float, x: float, y: float, seed: int) -> UInt8:
    """Write words over it, in letters of `share` of the height."""
    height, width = picture.shape[:2]
    return drawing.laid_over(picture, _lettered(width, height, words, share, (x, y), seed))


def logo(picture: UInt8, _: At, *, share: float, x: float, y: float, seed: int) -> UInt8:
    """Put a sign over it, `share` of the height large."""
    height, width = picture.shape[:2]
    return drawing.laid_over(picture, _sign(width, height, seed, share, (x, y)))


_lettered = lru_cache(maxsize=8)(drawing.lettered)
_sign = lru_cache(maxsize=8)(drawing.sign)


def picture_in_picture(picture: UInt8, at: At, *, size: float, x: float, y: float) -> UInt8:
    """Show it as a window of `size` of each side within the other video; without one, over grey."""
    height, width = picture.shape[:2]
    out = np.full_like(picture, 90) if at.behind is None else drawing.scaled(at.behind, width, height).copy()
    small = drawing.scaled(picture, max(16, round(width * size)), max(16, round(height * size)))
    top, left = round((height - small.shape[0]) * y), round((width - small.shape[1]) * x)
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


def fade(picture: UInt8, at: At, *, length: float) -> UInt8:
    """Come from black and go to black, over `length` of the clip each."""
    light = min(1.0, at.share / length, (1 - at.share) / length)
    return picture if light >= 1 else (picture * np.float32(max(light, 0.0))).astype(np.uint8)


def even(picture: UInt8) -> UInt8:
    """Without the last row or column where their number is odd, as encoders want it."""
    return picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
