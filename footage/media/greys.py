"""Small grey pictures of a range of a video at an even rate: what copies are aligned by."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import av.error
import numpy as np

from footage.errors import CorruptMedia
from footage.media.pixels import Scaler
from footage.media.source import Source
from footage.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from footage.types import Float32, Float64, UInt8

_LUMA = np.array([77, 150, 29], np.uint16)  # Rec. ITU-R BT.601, in 256ths


@dataclass(frozen=True, slots=True, eq=False)
class Greys:
    """Grey pictures of one video, by time: columns of length n."""

    times: Float64  # (n,) exact times of the frames
    pictures: UInt8  # (n, h, w)

    def __len__(self) -> int:
        return len(self.times)

    def between(self, start: float, end: float) -> Greys:
        """Those at times in [start, end)."""
        low, high = np.searchsorted(self.times, (start, end))
        return Greys(self.times[low:high], self.pictures[low:high])

    @property
    def floats(self) -> Float32:
        """The pictures as float32."""
        return self.pictures.astype(np.float32)


def grey(picture: UInt8) -> UInt8:
    """RGB uint8 (..., 3) as brightness."""
    return ((picture @ _LUMA) >> 8).astype(np.uint8)


def scaled_size(width: int, height: int, side: int) -> tuple[int, int]:
    """(width, height) with a longer side of `side`, up or down."""
    scale = side / max(width, height, 1)
    return max(8, round(width * scale)), max(8, round(height * scale))


def greys(
    path: str | Place, start: float = 0.0, end: float = inf, *, rate: float, side: int, duration: float = 0.0
) -> Greys:
    """Decode seconds [start, end) of a video at up to `rate` pictures a second, the longer side `side` pixels.

    A picture is the first frame at or after each tick. Damage ends the range early.

    Raises:
        MediaError: it cannot be opened, or nothing of the range decodes.
    """
    source = Source(path, duration=duration)
    scaler = Scaler(str(path))
    width, height = scaled_size(*source.info.shown, side)
    times: list[float] = []
    pictures: list[UInt8] = []
    for time, picture in _ticks(source, scaler, (start, end, rate), (width, height)):
        times.append(time)
        pictures.append(picture)
    if not times:
        raise CorruptMedia(f"nothing of {start:.1f} to {end:.1f} s decodes: {path}", uri=str(path), time=start)
    return Greys(np.array(times), np.stack(pictures))


def _ticks(
    source: Source, scaler: Scaler, ticks: tuple[float, float, float], size: tuple[int, int]
) -> Iterator[tuple[float, UInt8]]:
    start, end, rate = ticks
    due = start
    try:
        for time, frame in source.frames(start):
            if time >= end:
                return
            if time < due - 1e-4:
                continue
            yield time, grey(scaler.rgb(frame, source.turn, *size))
            due = max(due + 1 / rate, time + 0.5 / rate)
    except av.error.FFmpegError:
        return
