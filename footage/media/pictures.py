"""Still pictures: any source to upright RGB, and scaling."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from footage.errors import CorruptMedia, UnsupportedMedia
from footage.media import sniff
from footage.places import Place, Remote, place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from footage.types import UInt8

# Far above any camera (a 200-megapixel phone has 0.2 Gpx), far below what exhausts memory: 0.3 Gpx are 0.9 GB as RGB.
MAX_PIXELS = 300_000_000
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError, KeyError, TypeError, AttributeError)


def read_picture(source: str | Place | bytes | Image.Image | Any) -> UInt8:
    """Read a picture as a viewer shows it: uint8 (h, w, 3) RGB.

    `source` is a path, encoded bytes, a PIL image, or an array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), of integers
    on their full scale or floats 0..1. EXIF orientation is applied, alpha laid over black, 16-bit and floating-point
    grey scaled; of an animation the first frame is taken.

    Raises MediaNotFound, UnsupportedMedia (not a picture, or too large) or CorruptMedia.
    """
    if isinstance(source, Image.Image):
        return _rgb(source, "the given image")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _open(io.BytesIO(cast("bytes", source)), "the given bytes", None)
    if isinstance(source, (str, Path, Remote)):
        path = place(source)
        sniff.regular_file(path)
        with path.open("rb") as file:
            return _open(file, str(path), path)
    return _from_array(np.asarray(source))


def resize(picture: UInt8, width: int, height: int) -> UInt8:
    """Scale uint8 (h, w, 3) or (h, w) to (height, width, ...): area average down, bilinear up."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height < picture.shape[0] and width < picture.shape[1]
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture).resize((width, height), how, reducing_gap=3.0))


def animation(path: Place) -> Iterator[tuple[UInt8, float]]:
    """Frames of an animated WebP, which libav cannot decode: uint8 (h, w, 4) RGBA, and seconds shown.

    Raises CorruptMedia.
    """
    try:
        with path.open("rb") as file, Image.open(file) as image:
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                rgba = np.asarray(image.convert("RGBA"))
                # Browsers show a frame that claims less than 11 ms for 100 ms.
                shown = float(image.info.get("duration", 0)) / 1000
                yield rgba, shown if shown > 0.0105 else 0.1
    except _BROKEN as error:
        raise CorruptMedia(f"damaged animation: {path}: {error}", uri=str(path)) from None


def frame_count(path: Place) -> int:
    """Frames of a picture file as Pillow counts them; 0 when it cannot be read."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            return int(getattr(image, "n_frames", 1))
    except _BROKEN:
        return 0


def _open(file: Any, name: str, path: Place | None) -> UInt8:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file)
    except Image.DecompressionBombError:
        raise UnsupportedMedia(f"picture too large: {name}", uri=name, hint=_TOO_LARGE) from None
    except UnidentifiedImageError:
        kind = sniff.kind_of(path) if path else "unknown content"
        if kind == "a still picture":
            raise CorruptMedia(f"damaged picture: {name}", uri=name) from None
        hint = "give a video with --video" if kind == "video" else "give a picture: JPEG, PNG, WebP, GIF, TIFF, BMP"
        raise UnsupportedMedia(f"not a picture ({kind}): {name}", uri=name, hint=hint) from None
    except _BROKEN as error:
        raise CorruptMedia(f"damaged picture: {name}: {error}", uri=name) from None
    with image:
        return _rgb(image, name)


_TOO_LARGE = f"at most {MAX_PIXELS // 1_000_000} megapixels; scale it down first"


def _rgb(image: Image.Image, name: str) -> UInt8:
    if image.width * image.height > MAX_PIXELS:
        raise UnsupportedMedia(
            f"picture too large: {name}: {image.width}x{image.height} pixels", uri=name, hint=_TOO_LARGE
        )
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
    except _BROKEN as error:
        raise CorruptMedia(f"damaged picture: {name}: {error}", uri=name) from None
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        return _from_array(_deep_grey(upright))
    if upright.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return np.asarray(Image.alpha_composite(black, rgba).convert("RGB"))
    return np.asarray(upright.convert("RGB"))


def _deep_grey(image: Image.Image) -> Any:
    """Grey of more than eight bits as floats 0..1; a scale beyond 16 bits is taken from the picture itself."""
    values = np.asarray(image, np.float32)
    top = float(values.max(initial=0))
    scale = 1.0 if image.mode == "F" and top <= 1 else 65535.0 if image.mode != "F" and top <= 65535 else max(top, 1.0)
    return np.clip(values / scale, 0, 1)


def _from_array(values: Any) -> UInt8:
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)) or 0 in values.shape:
        raise UnsupportedMedia(
            f"not a picture: an array of shape {values.shape}",
            uri="the given array",
            hint="give (height, width), (height, width, 3) RGB or (height, width, 4) RGBA",
        )
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * 255
    elif np.issubdtype(values.dtype, np.floating):
        values = (np.clip(np.nan_to_num(values), 0, 1) * 255 + 0.5).astype(np.uint8)
    elif values.dtype == np.uint16:
        values = (values >> 8).astype(np.uint8)
    elif np.issubdtype(values.dtype, np.integer):
        values = np.clip(values, 0, 255).astype(np.uint8)
    else:
        raise UnsupportedMedia(f"not a picture: an array of {values.dtype}", uri="the given array")
    if values.ndim == 2:
        return np.ascontiguousarray(np.repeat(values[..., None], 3, axis=2))
    if values.shape[2] == 4:
        alpha = values[..., 3:].astype(np.uint16)
        return ((values[..., :3] * alpha + 127) // 255).astype(np.uint8)
    return cast("UInt8", np.ascontiguousarray(values))
