"""Pixels of one decoded frame: upright, square, progressive, SDR RGB over black, and a small grey copy for comparing.

Nothing is converted before it is asked for; a picture costs one pass of swscale straight from the decoder's planes.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from footage.errors import UnsupportedMedia
from footage.media import hdr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.types import UInt8

LUMA_ROWS, LUMA_COLS = 36, 64
# Samples a cell, down and across: enough to average noise away, few enough to cost some 40 us of a 1080p frame (what
# costs is fetching the rows from memory).
_DOWN, _ACROSS = 2, 4
# swscale: true area averaging, chroma at full resolution (by default it is halved across), correct rounding.
_SCALING = Interpolation.AREA | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND

_MATRICES = {  # AVColorSpace (ITU-T H.273 MatrixCoefficients) -> swscale's name
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.SMPTE170M,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}


@dataclass(frozen=True, slots=True)
class Orientation:
    """How stored pixels become displayed ones: transpose first, then mirror."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    def apply(self, pixels: UInt8) -> UInt8:
        """Turn (h, w, ...) as stored into what is displayed, contiguous."""
        if self.transpose:
            pixels = pixels.swapaxes(0, 1)
        if self.mirror_x:
            pixels = pixels[:, ::-1]
        if self.mirror_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


def orientation(frame: av.VideoFrame) -> Orientation:
    """Read the display matrix of a frame, to the nearest quarter turn; a senseless matrix means upright."""
    data: Any
    try:
        data = cast("Any", frame.side_data).get(SideDataType.DISPLAYMATRIX)
    except ValueError:  # another kind of side data that this PyAV has no name for
        turns = round(-frame.rotation / 90) % 4 if abs(frame.rotation) <= 360 else 0
        return (
            Orientation(),
            Orientation(transpose=True, mirror_x=True),
            Orientation(mirror_x=True, mirror_y=True),
            Orientation(transpose=True, mirror_y=True),
        )[turns]
    if data is None or data.buffer_size < 36:
        return Orientation()
    # Row-major [a b u; c d v; x y w], 16.16 fixed point: x' = a x + c y, y' = b x + d y (ISO/IEC 14496-12, 8.3.2).
    a, b, _, c, d = struct.unpack("<5i", bytes(data)[:20])
    if max(abs(b), abs(c)) > max(abs(a), abs(d)):
        return Orientation(transpose=True, mirror_x=c < 0, mirror_y=b < 0)
    return Orientation(mirror_x=a < 0, mirror_y=d < 0)


def luma(frame: av.VideoFrame, scaler: Scaler) -> UInt8:
    """A grey copy as stored, (36, 64) uint8: means of evenly spread samples of the brightness plane."""
    layout = _luma_layout(frame.format.name)
    if layout is None:
        return scaler.small_grey(frame)
    wide, shift = layout
    plane = frame.planes[0]
    if plane.line_size <= 0:  # stored bottom up
        return scaler.small_grey(frame)
    samples = np.frombuffer(cast("Any", plane), np.uint16 if wide else np.uint8)
    rows, skip = (frame.height // 2, 2) if frame.interlaced_frame else (frame.height, 1)  # one field only
    cells = samples.take(_grid(max(rows, 1), frame.width, skip * plane.line_size >> wide))
    total = cells.sum(axis=0, dtype=np.uint32 if wide else np.uint16) // ((_DOWN * _ACROSS) << shift)
    return total.astype(np.uint8).reshape(LUMA_ROWS, LUMA_COLS)


@lru_cache(maxsize=8)
def _grid(height: int, width: int, stride: int) -> NDArray[np.intp]:
    """Where in a plane of `stride` samples a row to look: (samples a cell, cells), evenly spread over the picture."""
    down, across = LUMA_ROWS * _DOWN, LUMA_COLS * _ACROSS
    y = (np.arange(down) * 2 + 1) * height // (2 * down)
    x = (np.arange(across) * 2 + 1) * width // (2 * across)
    grid = (y[:, None] * stride + x).reshape(LUMA_ROWS, _DOWN, LUMA_COLS, _ACROSS)
    return np.ascontiguousarray(grid.transpose(1, 3, 0, 2).reshape(_DOWN * _ACROSS, -1), np.intp)


def _luma_layout(name: str) -> tuple[bool, int] | None:
    """(two bytes a sample, bits above eight) of the first plane, or None where it is not plain brightness."""
    if name in _EIGHT_BIT:
        return False, 0
    if name in _SIXTEEN_BIT:
        return True, _SIXTEEN_BIT[name]
    return None


_PLANAR = ("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p")
_EIGHT_BIT = frozenset((*_PLANAR, "yuvj420p", "yuvj422p", "yuvj444p", "yuvj440p", "nv12", "nv21", "nv16", "gray"))
_SIXTEEN_BIT = {f"{name}{bits}le": bits - 8 for name in (*_PLANAR, "gray") for bits in (9, 10, 12, 14, 16)} | {
    "p010le": 8,
    "p016le": 8,
}


class Scaler:
    """Convert frames to RGB of any size. Safe to call from several threads; contexts are kept per thread and size."""

    def __init__(self, uri: str) -> None:
        """`uri` names the file in errors."""
        self._uri = uri
        self._local = threading.local()

    def rgb(self, frame: av.VideoFrame, turn: Orientation, width: int, height: int) -> UInt8:
        """What a viewer sees of `frame`, scaled: uint8 (height, width, 3)."""
        across, down = (height, width) if turn.transpose else (width, height)
        source = one_field(frame) if frame.interlaced_frame else frame
        transfer = hdr.transfer(frame)
        if transfer is not None:
            # Planar: into rgb48, swscale wraps saturated colours around where it need not scale 4:2:0 in height.
            deep = self._convert(source, across, down, "gbrp16le").to_ndarray()
            out = hdr.to_sdr(cast("Any", deep), transfer, frame.color_primaries)
        elif _has_alpha(frame.format):
            out = over_black(cast("Any", self._convert(source, across, down, "rgba").to_ndarray()))
        else:
            out = cast("UInt8", self._convert(source, across, down, "rgb24").to_ndarray())
        return turn.apply(out)

    def small_grey(self, frame: av.VideoFrame) -> UInt8:
        """(36, 64) uint8 by way of RGB, for layouts whose brightness is not a plane of its own."""
        small = self.rgb(frame, Orientation(), LUMA_COLS, LUMA_ROWS).astype(np.uint16)
        return ((small[..., 0] * 77 + small[..., 1] * 150 + small[..., 2] * 29) >> 8).astype(np.uint8)

    def _convert(self, frame: av.VideoFrame, width: int, height: int, layout: str) -> av.VideoFrame:
        cache: dict[tuple[int, int, str], VideoReformatter] | None = getattr(self._local, "cache", None)
        if cache is None:
            cache = self._local.cache = {}
        key = (width, height, layout)
        if key not in cache:
            if len(cache) > 4:  # a caller who asks for ever new sizes gets them, not our memory
                cache.clear()
            cache[key] = VideoReformatter()
        try:
            return cache[key].reformat(
                frame,
                width,
                height,
                layout,
                src_colorspace=matrix(frame),
                src_color_range=ColorRange.JPEG if full_range(frame) else ColorRange.MPEG,
                dst_color_range=ColorRange.JPEG,
                interpolation=_SCALING,
                threads=1,
            )
        except (av.error.FFmpegError, ValueError):
            raise UnsupportedMedia(
                f"cannot convert pixels of the kind {frame.format.name}: {self._uri}", uri=self._uri
            ) from None


def matrix(frame: av.VideoFrame) -> Colorspace:
    """The YCbCr matrix; untagged video is BT.709 from HD size on and BT.601 below, as players have it."""
    known = _MATRICES.get(frame.colorspace)
    if known is not None:
        return known
    return Colorspace.ITU709 if frame.width >= 1280 or frame.height > 576 else Colorspace.ITU601


def full_range(frame: av.VideoFrame) -> bool:
    """Whether samples use the whole scale, 0..255."""
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj") or frame.format.is_rgb


def one_field(frame: av.VideoFrame) -> av.VideoFrame:
    """The upper field of an interlaced frame as a frame of half the height: no combs, and cheap.

    A scaled picture seldom has as many lines as a field, so nothing is lost that would have been seen.
    """
    field = av.VideoFrame(frame.width, max(frame.height // 2, 1), frame.format.name)
    for source, target in zip(frame.planes, field.planes, strict=True):
        if source.line_size <= 0:
            return frame
        upper = np.frombuffer(cast("Any", source), np.uint8).reshape(-1, source.line_size)[::2]
        into = np.frombuffer(cast("Any", target), np.uint8).reshape(-1, target.line_size)
        rows, cols = min(len(upper), len(into)), min(upper.shape[1], into.shape[1])
        into[:rows, :cols] = upper[:rows, :cols]
        into[rows:, :cols] = into[rows - 1, :cols]  # an odd line of chroma
    field.colorspace, field.color_range = frame.colorspace, frame.color_range
    return field


def over_black(rgba: UInt8) -> UInt8:
    """Lay (h, w, 4) over black: (h, w, 3)."""
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)


def _has_alpha(layout: Any) -> bool:
    return layout.name == "pal8" or any(part.is_alpha for part in layout.components)
