"""Read pieces of a video as arrays, and write arrays as a video: what a benchmark makes its copies with.

    pictures_from(path, start, size) -> (seconds, uint8 (h, w, 3)) ...   from the frame shown at `start` on
    sound_of(path, start, end)       -> float32 (n,) or None             mono, 48 kHz, silence where there is none
    Writer(path, size, rate, coding) .picture(rgb) .sound(samples)       one picture a frame, time 0 is the first

Nothing here holds more than one picture, or the sound that was asked for.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av
import av.error
import numpy as np

from footage.errors import ConfigError
from footage.media.pixels import Scaler
from footage.media.sound import mono
from footage.media.source import Source

if TYPE_CHECKING:
    from footage.types import Float32, UInt8

SOUND_RATE = 48_000  # the one rate that every encoder of sound here takes
_SOUNDS = {".webm": "libopus"}
_SOUND_BITS = 96_000


@dataclass(frozen=True, slots=True)
class Coding:
    """How pictures are encoded: libav's name of the encoder, its options, and the suffix of a file that may hold it."""

    codec: str = "libx264"
    suffix: str = ".mp4"
    options: tuple[tuple[str, str], ...] = (("crf", "20"), ("preset", "superfast"))
    bit_rate: int = 0  # bits per second; 0: what the options say
    quantiser: int = 0  # fixed, of the older codecs, 1 (best) to 31; 0: what the options say


def can_write(codec: str) -> bool:
    """Tell whether this build of libav has the encoder."""
    return codec in av.codecs_available


def pictures_from(path: str | Path, start: float, size: tuple[int, int]) -> Generator[tuple[float, UInt8]]:
    """Yield (seconds, RGB uint8 (h, w, 3)) from the frame that is shown at `start` on, fitted into a size (width,
    height) with black around it.

    Raises MediaNotFound, UnsupportedMedia or CorruptMedia.
    """
    source = Source(path)
    scaler = Scaler(str(path))
    width, height = source.info.shown
    scale = min(size[0] / width, size[1] / height)
    # Sides are rounded to even numbers: bars of a pixel are no bars.
    fit = [
        side if side - own * scale <= 2 else max(1, round(own * scale))
        for side, own in zip(size, (width, height), strict=True)
    ]
    edges = [(side - inner) // 2 for side, inner in zip(size, fit, strict=True)]

    def picture(frame: av.VideoFrame) -> UInt8:
        rgb = scaler.rgb(frame, source.turn, *fit)
        if tuple(fit) == tuple(size):
            return rgb
        out = np.zeros((size[1], size[0], 3), np.uint8)
        out[edges[1] : edges[1] + fit[1], edges[0] : edges[0] + fit[0]] = rgb
        return out

    before: tuple[float, av.VideoFrame] | None = None
    for time, frame in source.frames(start):
        if before is not None and time > start:
            yield before[0], picture(before[1])
        before = time, frame
    if before is not None:
        yield before[0], picture(before[1])


def sound_of(path: str | Path, start: float, end: float) -> Float32 | None:
    """Seconds [start, end) of the first audio track, mixed to mono at 48 kHz: float32 (n,); None without a track.

    Raises MediaNotFound, UnsupportedMedia or CorruptMedia.
    """
    source = Source(path)
    if not source.info.audio_channels:
        return None
    return mono(source, start, end, SOUND_RATE)


class Writer:
    """A video being written; pictures of one size come at a steady rate, sound in any pieces. Close it, or use `with`.

    Raises ConfigError where the encoder or the place cannot be used.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], rate: Fraction, coding: Coding | None = None, *, sound: bool = False
    ) -> None:
        """`size` is (width, height), both even; `path` must have the suffix of the coding."""
        coding = coding or Coding()
        self._rate, self._frames, self._samples = rate, 0, 0
        if not path.parent.is_dir():  # libav would tell at the first packet
            raise ConfigError(f"cannot write {path}: no such folder")
        try:
            # Without the flag, Matroska gets a random number of its own.
            self._out: Any = av.open(f"file:{path}", "w", options={"fflags": "+bitexact"})
            video = self._out.add_stream(coding.codec, rate=rate, options=dict(coding.options))
            video.width, video.height = size
            video.pix_fmt = "yuvj420p" if coding.codec == "mjpeg" else "yuv420p"
            # More threads change the bits that some encoders write; copies of a seed are always the same.
            video.codec_context.thread_count = 1
            if coding.bit_rate:
                video.codec_context.bit_rate = coding.bit_rate
            if coding.quantiser:
                video.codec_context.qmin = video.codec_context.qmax = coding.quantiser
            self._video, self._audio = video, None
            if sound:
                name = _SOUNDS.get(path.suffix, "aac")
                self._audio = self._out.add_stream(name, rate=SOUND_RATE, layout="mono")
                self._audio.codec_context.bit_rate = _SOUND_BITS
        except (av.error.FFmpegError, ValueError) as error:  # an unknown codec is a ValueError
            raise ConfigError(f"cannot write {path} with {coding.codec}: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def picture(self, picture: UInt8) -> None:
        """Write the next frame, RGB uint8 (h, w, 3)."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base = self._frames, 1 / self._rate
        self._frames += 1
        self._out.mux(self._video.encode(frame))

    def sound(self, samples: Float32) -> None:
        """Write mono samples at 48 kHz behind those before."""
        if self._audio is None or not len(samples):
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, self._samples, Fraction(1, SOUND_RATE)
        self._samples += len(samples)
        self._out.mux(self._audio.encode(frame))

    def close(self) -> None:
        """Finish the file."""
        for stream in (self._video, self._audio):
            if stream is not None:
                self._out.mux(stream.encode(None))
        self._out.close()
