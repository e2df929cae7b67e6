"""Cut a clip out of a video, and take single frames out of it.

    cut_clip(path, target, start, end)             frame-exact: decoded, and encoded as H.264 and AAC
    cut_clip(path, target, start, end, fast=True)  copied as it is, from the key frame at or before the start
    frame_at(path, at)                             the picture on the screen at a time, in full size

A range takes in the frames from the one that is nearest to its start (or that is still shown there, where the rate
varies) up to the one before the frame nearest to its end: the same frames that `SourceInfo.frame_at` names in an edit
list. The sound is cut at the same two places, to the sample.
"""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
import numpy as np
from av.filter import Graph
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from PIL import Image

from footage.errors import ConfigError, MediaError, QueryError, UnsupportedMedia
from footage.media import hdr
from footage.media.pixels import Scaler, full_range, matrix
from footage.media.remux import copy_clip
from footage.media.sound import Sound
from footage.media.source import Clip, Source, turned
from footage.places import Place

if TYPE_CHECKING:
    from footage.types import UInt8

MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""What an exact clip can be written to."""
COPY_MUXERS = {
    **MUXERS,
    **{".webm": "webm", ".ts": "mpegts", ".mts": "mpegts", ".mpg": "mpeg", ".3gp": "3gp", ".flv": "flv", ".ogv": "ogg"},
    **{".mxf": "mxf"},
}
"""What a fast clip can be written to, if the codecs of the source may lie in it."""
_TICKS = 12_000  # at least so many time steps in a second
_SNAP = 0.1  # frames: nearer to the steady grid than this, a frame lies on it
_KEYS = 0.001  # seconds; a time of a search is rounded to a thousandth
_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")


def frame_at(path: str | Place, at: float, *, duration: float = 0.0) -> UInt8:
    """The picture on the screen at a time in seconds: upright, square pixels, SDR, RGB uint8 (h, w, 3), full size.

    `duration` is that of the whole video, if known; then more kinds of files are read from the middle.

    Raises:
        MediaError: it cannot be read.
        QueryError: nothing is shown at this time.
    """
    source = Source(path, duration=duration)
    wanted = max(at, source.info.first) + _KEYS / 2
    found: av.VideoFrame | None = None
    shown_to = 0.0
    for time, frame in source.frames(at):
        if time > wanted:
            shown_to = max(shown_to, wanted)
            break
        found = frame
        shown_to = time + max(float(1 / source.info.rate), float((frame.duration or 0) * (frame.time_base or 0)))
    if found is None or shown_to <= at - _KEYS:
        raise QueryError(f"nothing is shown at {at:.3f} s: {path}", hint=f"it ends at {shown_to:.3f} s")
    return Scaler(str(path)).rgb(found, source.turn, *source.info.shown)


def cut_clip(
    path: str | Place,
    target: str | Path,
    start: float,
    end: float,
    *,
    fast: bool = False,
    duration: float = 0.0,
    max_height: int = 0,
    quality: int = 18,
    speed: str = "fast",
) -> Clip:
    """Write seconds [start, end) of a video to `target`; its suffix says the container, an existing file is replaced.

    Exact clips are H.264 in yuv420p, upright, progressive, SDR and with square pixels, with AAC. `quality` is x264's
    CRF, `speed` its preset, `max_height` (pixels, 0: as it is) a limit. `fast` copies instead, which keeps all as it
    was but begins at the key frame at or before `start`. If the source has a timecode, the clip carries its own.
    The file is written under another name and put in place when it is whole.

    Raises:
        MediaError: the source cannot be read, or (fast) holds what the container cannot.
        QueryError: the range is empty, or outside of the video.
        ConfigError: no such container, or `target` cannot be written.
    """
    target = Path(target)
    muxers = COPY_MUXERS if fast else MUXERS
    muxer = muxers.get(target.suffix.lower())
    if muxer is None:
        known = ", ".join(muxers)
        raise ConfigError(f"a clip cannot be written to {target.suffix or target.name}", hint=f"it can to: {known}")
    if not 0 <= start < end:
        raise QueryError(f"not a range: {start:.3f} to {end:.3f} s", hint="it must start at 0 or later, before its end")
    source = Source(path, duration=duration)
    partial = target.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        if fast:
            clip = copy_clip(source, partial, muxer, start, end)
        else:
            clip = _Encoding(source, start, end, max_height).write(partial, muxer, quality, speed)
        partial.replace(target)
    except MediaError:  # of the source, and an OSError too where it is gone
        raise
    except OSError as error:  # libav's errors are not
        if isinstance(error, av.error.FFmpegError):
            raise _cannot(source, target, error) from None
        raise ConfigError(f"cannot write {target}: {error.strerror or error}") from None
    except (av.error.FFmpegError, ValueError) as error:
        raise _cannot(source, target, error) from None
    finally:
        partial.unlink(missing_ok=True)
    return Clip(target, clip.start, clip.end, clip.frames)


def _cannot(source: Source, target: Path, error: Exception) -> UnsupportedMedia | ConfigError:
    # A muxer that refuses a codec may call it "not permitted" too.
    if isinstance(error, (FileNotFoundError, PermissionError)) and not os.access(target.parent, os.W_OK):
        return ConfigError(f"cannot write {target}: {error.strerror}")
    return UnsupportedMedia(
        f"cannot be cut into {target.suffix}: {source.path}: {getattr(error, 'strerror', None) or error}",
        uri=str(source.path),
        hint="cut it exactly, which works always, or into another container: .mkv holds most",
    )


class _Encoding:
    """One frame-exact clip."""

    def __init__(self, source: Source, start: float, end: float, max_height: int) -> None:
        self._source, self._start, self._end = source, start, end
        info = source.info
        self._half = float(1 / info.rate) / 2
        width, height = info.shown
        scale = min(1.0, max_height / height) if max_height else 1.0
        # 4:2:0 halves the colour planes, so that both sides are even.
        self._size = (max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2))
        self._scaler = Scaler(str(source.path))
        self._convert = VideoReformatter()
        self._smooth: _Deinterlacer | None = None
        self._matrix: Colorspace | None = None

    def write(self, target: Path, muxer: str, quality: int, speed: str) -> Clip:
        info = self._source.info
        rate = info.rate
        step = rate.denominator * -(-_TICKS // rate.numerator)  # ticks from frame to frame at the steady rate
        ticks = rate * step
        options = {"movflags": "+faststart"} if muxer in ("mp4", "mov") else {}
        shown = self._shown()
        first = next(shown, None)
        if first is None:
            raise QueryError(f"nothing between {self._start:.3f} and {self._end:.3f} s: {self._source.path}")
        # Where the rate varies, a picture that was shown before the start is still shown there.
        begin = first[0] if first[0] >= self._start - self._half else self._start
        with av.open(f"file:{target}", "w", format=muxer, container_options=options) as container:
            out: Any = container
            video: Any = _h264(out, rate, quality, speed)
            video.width, video.height = self._size
            video.pix_fmt = "yuv420p"
            video.codec_context.time_base = 1 / ticks
            if info.has_timecode:
                video.metadata["timecode"] = info.timecode_of(info.frame_at(begin))
            sound = Sound(self._source, out, begin) if info.audio_channels else None
            frames, last, until = 0, -1, begin
            for time, until, frame in chain((first,), shown):
                picture = self._picture(frame)
                if not frames:
                    self._tag(video)
                picture.pts = last = max(last + 1, _tick(time - begin, rate, step))
                picture.time_base = 1 / ticks
                out.mux(video.encode(picture))
                frames += 1
                if sound:
                    sound.write(until)
            out.mux(video.encode(None))
            if sound:
                sound.finish(until)
        return Clip(target, begin, until, frames)

    def _shown(self) -> Iterator[tuple[float, float, av.VideoFrame]]:
        """(from, to, frame) for the frames of the range, in seconds of the source; each is held until the next."""
        before: tuple[float, av.VideoFrame] | None = None
        until = self._end - self._half + 1e-6
        for time, frame in self._progressive():
            if before is not None and time > self._start + self._half + 1e-6 and before[0] <= until:
                yield before[0], time if time <= self._end + self._half else self._end, before[1]
            if time > until:
                return
            before = (time, frame)
        if before is not None:
            lasts = float((before[1].duration or 0) * (before[1].time_base or 0)) or 2 * self._half
            if self._start - self._half < before[0] + lasts - 2 * self._half:
                yield before[0], before[0] + lasts, before[1]
            elif before[0] + lasts > self._start + self._half:
                yield before[0], min(before[0] + lasts, self._end), before[1]

    def _progressive(self) -> Iterator[tuple[float, av.VideoFrame]]:
        # A deinterlacer looks at the frame before.
        for time, frame in self._source.frames(max(0.0, self._start - 3 * self._half)):
            if self._smooth is None and frame.interlaced_frame and time <= self._end:
                self._smooth = _Deinterlacer(frame)
            if self._smooth is None:
                yield time, frame
            else:
                yield from self._smooth.push(time, frame)
        if self._smooth is not None:
            yield from self._smooth.finish()

    def _picture(self, frame: av.VideoFrame) -> av.VideoFrame:
        """As an encoder of H.264 wants it: upright yuv420p of the size of the clip."""
        width, height = self._size
        turn = self._source.turn
        if hdr.transfer(frame) is not None or any(part.is_alpha for part in frame.format.components):
            # Tone mapping and transparency are done where pictures are made for the encoders.
            rgb = av.VideoFrame.from_ndarray(self._scaler.rgb(frame, turn, width, height), format="rgb24")
            return self._yuv(rgb, width, height)
        picture = self._yuv(frame, *turned(turn, self._size))
        if not (turn.transpose or turn.mirror_x or turn.mirror_y):
            return picture
        upright = av.VideoFrame(width, height, "yuv420p")
        for old, new in zip(picture.planes, upright.planes, strict=True):
            pixels = np.frombuffer(cast("Any", old), np.uint8).reshape(old.height, old.line_size)[:, : old.width]
            into = np.frombuffer(cast("Any", new), np.uint8).reshape(new.height, new.line_size)
            into[:, : new.width] = turn.apply(pixels)
        upright.colorspace, upright.color_range = picture.colorspace, picture.color_range
        return upright

    def _yuv(self, frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        known = matrix(frame)
        if frame.format.is_rgb:
            known = Colorspace.ITU709
        self._matrix = self._matrix or known
        return self._convert.reformat(
            frame,
            width,
            height,
            "yuv420p",
            src_colorspace=None if frame.format.is_rgb else known,
            dst_colorspace=self._matrix,
            src_color_range=ColorRange.JPEG if full_range(frame) else ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
        )

    def _tag(self, video: Any) -> None:
        """Write down how the numbers become colours, since players guess it from the size otherwise."""
        context = video.codec_context
        context.color_range = ColorRange.MPEG
        # ITU-T H.273; BT.601 has two sets of primaries, so they are left to the source.
        if self._matrix in (None, Colorspace.ITU709):
            context.colorspace = context.color_primaries = context.color_trc = 1
        else:
            context.colorspace = 9 if self._matrix == Colorspace.BT2020 else 6


class _Deinterlacer:
    """bwdif (the deinterlacer of Weston and others): a frame for every frame, one frame late."""

    def __init__(self, like: av.VideoFrame) -> None:
        self._graph = Graph()
        base = Fraction(1, 1_000_000)
        source = self._graph.add_buffer(width=like.width, height=like.height, format=like.format, time_base=base)
        work, sink = self._graph.add("bwdif", "mode=send_frame:deint=interlaced"), self._graph.add("buffersink")
        self._graph.link_nodes(source, work, sink).configure()
        self._times: list[float] = []
        self._base = base

    def push(self, time: float, frame: av.VideoFrame) -> Iterator[tuple[float, av.VideoFrame]]:
        self._times.append(time)
        frame.pts, frame.time_base = round(time / self._base), self._base
        self._graph.vpush(frame)
        yield from self._ready()

    def finish(self) -> Iterator[tuple[float, av.VideoFrame]]:
        self._graph.vpush(None)
        yield from self._ready()

    def _ready(self) -> Iterator[tuple[float, av.VideoFrame]]:
        while self._times:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield self._times.pop(0), frame


def _tick(time: float, rate: Fraction, step: int) -> int:
    """Seconds in time steps; on the steady grid if it is near."""
    count = time * float(rate)
    return round(count) * step if abs(count - round(count)) < _SNAP else round(count * step)


def _h264(out: Any, rate: Fraction, quality: int, speed: str) -> Any:
    name = next((n for n in _ENCODERS if n in av.codecs_available), None)
    if name is None:
        raise ConfigError("no encoder for H.264 in this build of PyAV", hint="use a fast cut, which copies")
    options = {"crf": str(quality), "preset": speed} if name == "libx264" else {}
    return out.add_stream(name, rate=rate, options=options)


def picture_bytes(picture: UInt8, suffix: str) -> bytes:
    """RGB uint8 (h, w, 3) as a PNG file, or for `.jpg` and `.jpeg` as a JPEG.

    Raises ConfigError: another suffix.
    """
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    kind = kinds.get(suffix.lower())
    if kind is None:
        raise ConfigError(f"a frame cannot be written to {suffix or 'that'}", hint=f"it can to {', '.join(kinds)}")
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind, **({"quality": 92, "subsampling": 0} if kind == "JPEG" else {}))
    return out.getvalue()
