"""Make what any browser plays: a range of a video as H.264 and AAC in fragmented MP4, and single frames.

Rotation, pixel aspect, interlacing, alpha and HDR are resolved in the pictures, so that a player need not know of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
import numpy as np

from footage.errors import CorruptMedia, QueryError
from footage.media.pixels import Scaler
from footage.media.source import Source

if TYPE_CHECKING:
    from footage.types import UInt8

MAX_HEIGHT = 1080
_TICKS = 90_000  # a second: every usual frame rate comes out even
_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # of AAC
# empty_moov and fragments: written front to back, so that half a file is still one; the index in front is for seeking.
_FLAGS = "frag_keyframe+empty_moov+default_base_moof+global_sidx"


def still(path: Path, at: float, *, duration: float = 0.0) -> UInt8:
    """The very frame that a player shows at this time, upright: RGB uint8 (h, w, 3).

    Raises MediaNotFound, UnsupportedMedia or CorruptMedia.
    """
    source = Source(path, duration=duration)
    shown: av.VideoFrame | None = None
    for time, frame in source.frames(max(0.0, at)):
        if shown is not None and time > at + 1e-4:
            break
        shown = frame
    if shown is None:
        raise CorruptMedia(f"no frame of it can be decoded: {path}", uri=str(path))
    width, height = source.info.shown
    return Scaler(str(path)).rgb(shown, source.turn, width, height)


def render(
    path: Path,
    target: Path,
    start: float,
    end: float,
    *,
    duration: float = 0.0,
    height: int = MAX_HEIGHT,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Write the frames of [start, end) to `target`; its time 0 is `start`. `beat` is called at every frame.

    Frames keep their times, whether the rate is constant or not. A failure leaves an unfinished file behind.
    Raises MediaNotFound, UnsupportedMedia, CorruptMedia, or QueryError when there is no frame in the range.
    """
    source = Source(path, duration=duration)
    width, height = _fitted(*source.info.shown, height)
    scaler = Scaler(str(path))
    with av.open(str(target), "w", format="mp4", options={"movflags": _FLAGS}) as out:
        rate = source.info.rate
        options = {"preset": "veryfast", "crf": "23", "profile": "high", "sc_threshold": "0"}
        video = out.add_stream("libx264", rate=rate if 1 <= rate <= 240 else 25, options=options)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.time_base = Fraction(1, _TICKS)
        video.codec_context.gop_size = max(1, round(2 * float(rate))) if 1 <= rate <= 240 else 50
        for name, value in (("color_primaries", 1), ("color_trc", 1), ("colorspace", 1), ("color_range", 1)):
            setattr(video.codec_context, name, value)
        sound = _Sound(path, start, end, out)
        written = 0
        last = -1
        for time, frame in _shown(source, start, end):
            beat()
            sound.write_until(time)
            picture = scaler.rgb(frame, source.turn, width, height)
            ready = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            last = max(last + 1, round(max(0.0, time - start) * _TICKS))
            ready.pts, ready.time_base = last, Fraction(1, _TICKS)
            out.mux(video.encode(ready))
            written += 1
        if not written:
            raise QueryError(f"there is no picture between {start:g} and {end:g} s", hint="the video is shorter")
        sound.write_until(end)
        sound.finish()
        out.mux(video.encode(None))


def _shown(source: Source, start: float, end: float) -> Iterator[tuple[float, av.VideoFrame]]:
    """The frame that stands at `start`, and those that follow before `end`."""
    before: tuple[float, av.VideoFrame] | None = None
    for time, frame in source.frames(start):
        if time >= end - 1e-6:
            break
        if time <= start + 1e-6:
            before = (time, frame)
            continue
        if before is not None:
            yield before
            before = None
        yield time, frame
    if before is not None:
        yield before


def _fitted(width: int, height: int, limit: int) -> tuple[int, int]:
    """Scale down to the height, and to even sides, which 4:2:0 needs."""
    scale = min(1.0, limit / height, 3840 / width)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


class _Sound:
    """The sound of a range, on its way from one file into another; silent where there is none or it is damaged."""

    def __init__(self, path: Path, start: float, end: float, out: Any) -> None:
        self._start, self._end, self._out = start, end, out
        self._stream: Any = None
        self._source = self._decoded(path)
        self._next = next(self._source, None)
        if self._next is not None:
            frame = self._next[1]
            rate = min(_RATES, key=lambda r: (abs(r - frame.sample_rate), -r))
            layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
            self._stream = out.add_stream("aac", rate=rate, layout=layout)
            self._stream.bit_rate = 128_000
            self._resampler = av.AudioResampler("fltp", layout, rate)
            self._rate = rate
            self._written = 0  # samples

    def write_until(self, time: float) -> None:
        """Write what sounds before this time of the source."""
        while self._next is not None and self._next[0] < time:
            self._write(*self._next)
            self._next = next(self._source, None)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None:
            self._out.mux(self._stream.encode(None))

    def _write(self, time: float, frame: av.AudioFrame) -> None:
        frame.pts = None
        for part in self._resampler.resample(frame):
            samples = part.to_ndarray()
            offset = round((time - self._start) * self._rate)
            gap = offset - self._written
            if gap < -self._rate // 10 or gap > self._rate // 10:  # more than a clock's jitter
                if gap > 0:
                    samples = np.concatenate([np.zeros((samples.shape[0], gap), samples.dtype), samples], axis=1)
                else:
                    samples = samples[:, -gap:]
            elif self._written == 0 and gap:
                samples = samples[:, -gap:] if gap < 0 else np.pad(samples, ((0, 0), (gap, 0)))
            room = round((self._end - self._start) * self._rate) - self._written
            samples = np.ascontiguousarray(samples[:, : max(0, room)])
            if not samples.shape[1]:
                continue
            ready = av.AudioFrame.from_ndarray(samples, "fltp", part.layout.name)
            ready.sample_rate, ready.pts = self._rate, self._written
            ready.time_base = Fraction(1, self._rate)
            self._written += samples.shape[1]
            self._out.mux(self._stream.encode(ready))

    def _decoded(self, path: Path) -> Iterator[tuple[float, av.AudioFrame]]:
        """(seconds on the player's clock, frame) from a little before the range to its end."""
        try:
            with closing(
                av.open(f"file:{path}", metadata_errors="ignore", options={"protocol_whitelist": "file"})
            ) as c:
                stream = cast("Any", c.streams.best("audio"))
                if stream is None or stream.codec_context is None or not stream.time_base:
                    return
                zero = (c.start_time or 0) / av.time_base
                if self._start > 1:
                    c.seek(round((self._start + zero - 0.5) * av.time_base))
                yield from self._from(c.demux(stream), stream, zero)
        except (av.error.FFmpegError, ValueError):
            return

    def _from(self, packets: Any, stream: Any, zero: float) -> Iterator[tuple[float, av.AudioFrame]]:
        for packet in packets:
            try:
                frames = stream.codec_context.decode(packet)
            except av.error.FFmpegError:
                continue
            for frame in frames:
                if frame.pts is None:
                    continue
                time = float(frame.pts * frame.time_base) - zero
                if time >= self._end:
                    return
                if time + frame.samples / frame.sample_rate > self._start:
                    yield time, frame
