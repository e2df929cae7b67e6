"""A source for cutting: frames from any time on, and what an editing program must know of the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Discard

from footage.errors import ConfigError, CorruptMedia
from footage.media import pictures, sniff
from footage.media.clock import Clock
from footage.media.opening import make_decoder, open_container, packets, player_zero, video_stream
from footage.media.pixels import Orientation, orientation
from footage.media.timecode import can_drop, exact_rate, frame_of, timecode
from footage.places import Place, place

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Stamps of these count from the start without a break, so that a seek lands where it says.
_INDEXED = frozenset(("mov", "mp4", "matroska", "webm", "mxf"))
# In these a clock may start anew within the file; they are sought only when their length is as it was measured.
_STAMPED = frozenset(("mpegts", "mpeg", "flv", "ogg", "asf", "nut", "gxf"))
_MARGINS = (0.0, 3.0, 15.0, 60.0)  # seconds further back, where a demuxer landed too late
_LOOK, _LOOK_BYTES = 120, 32_000_000  # packets, to tell whether the rate is steady
_OFF_GRID = Fraction(1, 10)  # frames


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What an editing program must know of a source. Frames are counted from its first."""

    rate: Fraction  # frames per second, exact; the nominal one of a variable source
    variable: bool  # the frames do not come at a steady rate
    start_frame: int  # the timecode of the first frame, as frames since 00:00:00:00
    drop: bool  # its timecode counts in drop-frame (SMPTE ST 12-1)
    has_timecode: bool  # the file itself says so; else counting starts at 00:00:00:00
    reel: str  # name of the tape or card, '' if not told
    first: float  # time of the first frame, in seconds from the start of the video
    stored: tuple[int, int]  # (width, height) in pixels before any turning or stretching
    shown: tuple[int, int]  # (width, height) as displayed: upright, with square pixels
    pixel_aspect: Fraction
    audio_rate: int  # samples per second, 0 without sound
    audio_channels: int

    def frame_at(self, time: float) -> int:
        """The frame boundary that is nearest to a time in seconds; 0 is the start of the first frame."""
        return int((time - self.first) * float(self.rate) + 0.5) if time > self.first else 0

    def timecode_of(self, frame: int) -> str:
        """The source timecode of a frame that is counted from the first."""
        return timecode(self.start_frame + frame, self.rate, self.drop)


@dataclass(frozen=True, slots=True)
class Clip:
    """What was cut, in seconds from the start of the source."""

    path: Path
    start: float  # of its first frame
    end: float  # of its last frame
    frames: int  # 0 where they were copied and not counted


class Source:
    """An opened, understood file. Every iteration opens it anew, so nothing needs closing."""

    info: SourceInfo
    can_seek: bool  # stamps count from the start without a break, so that a seek lands where it says

    def __init__(self, path: str | Place, *, duration: float = 0.0) -> None:
        """`duration` is the measured one in seconds, if it is known; with it more kinds of files can be sought.

        Raises MediaNotFound, UnsupportedMedia or CorruptMedia.
        """
        self.path = place(path)
        sniff.regular_file(self.path)
        with closing(open_container(self.path)) as container:
            stream = video_stream(container, self.path)
            rate = float(stream.average_rate or 0)
            self._step = 1 / rate if 0.01 < rate < 1000 else 0.04
            self._webp = container.format.name.startswith("webp")
            self._base = Fraction(1, 1000) if self._webp or not stream.time_base else stream.time_base
            start = 0 if self._webp else player_zero(container, stream)
            told = (container.duration or 0) / av.time_base
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise CorruptMedia(f"no frame of it can be decoded: {self.path}", uri=str(self.path))
            stamp = first.pts if first.pts is not None else first.dts
            self.zero = min(s for s in (start, stamp, 0 if start is stamp is None else None) if s is not None)
            kinds = set(container.format.name.split(","))
            self.can_seek = first.pts is not None and bool(
                kinds & _INDEXED or (kinds & _STAMPED and duration and abs(told - duration) < 0.5)
            )
            self.turn = orientation(first)
            self.info = self._describe(container, stream, first)

    @property
    def zero_seconds(self) -> float:
        """The stamp of time 0, in seconds of the file's own clock."""
        return float(self.zero * self._base)

    def frames(self, start: float = 0.0) -> Iterator[tuple[float, av.VideoFrame]]:
        """Yield (seconds, frame) with increasing times, from a frame at or before `start` if there is one."""
        for margin in _MARGINS if self.can_seek else ():
            if start - margin <= 1.0:
                break
            found = self._run(start - margin)
            first = next(found, None)
            if first is not None and first[0] <= start + 1e-6:
                yield first
                yield from found
                return
            cast("Any", found).close()
        yield from self._run(None)

    def _run(self, start: float | None) -> Iterator[tuple[float, av.VideoFrame]]:
        clock = Clock(self._base, self.zero, self._step)
        with closing(open_container(self.path)) as container:
            stream = video_stream(container, self.path)
            for other in container.streams:
                if other is not stream:
                    other.discard = Discard.all
            if start is not None:
                try:
                    container.seek(self.stamp(start), stream=stream)
                except av.error.FFmpegError:
                    return
            whole = start is None
            for frame in self._decoded(container, stream):
                # Pictures before the first key frame refer to others that were not decoded.
                whole = whole or bool(frame.key_frame)
                time = clock.time(frame.pts, frame.dts) if whole else None
                if time is not None:
                    yield time, frame

    def stamp(self, time: float) -> int:
        """Seconds from the start of the video as a stamp of its stream."""
        return self.zero + round(Fraction(time) / self._base)

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        if self._webp:
            shown = 0
            for rgba, seconds in pictures.animation(self.path):
                frame = av.VideoFrame.from_ndarray(rgba, format="rgba")
                frame.pts, frame.time_base, frame.duration = shown, self._base, round(seconds * 1000)
                shown += frame.duration
                yield frame
            return
        decoder = cast("Any", make_decoder(stream, False))
        for packet in packets(container, [stream]):
            try:
                frames: list[av.VideoFrame] = decoder.decode(packet)
            except av.error.FFmpegError:
                continue
            yield from frames

    def _describe(self, container: InputContainer, stream: VideoStream, first: av.VideoFrame) -> SourceInfo:
        rate, steady = exact_rate(stream.average_rate or stream.guessed_rate or Fraction(0))
        label = _label(container, stream, first)
        start_frame, drop = 0, can_drop(rate)
        if label:
            try:
                start_frame, drop = frame_of(label, rate)
            except ConfigError:  # a label that does not fit the rate tells nothing
                label = ""
        ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1)
        ratio = ratio if 0.1 <= ratio <= 10 else Fraction(1)
        wide = max(round(first.width * float(ratio)), 1)
        audio = next(iter(container.streams.audio), None)
        clock = Clock(self._base, self.zero, self._step)
        return SourceInfo(
            rate=rate,
            variable=not steady,
            start_frame=start_frame,
            drop=drop,
            has_timecode=bool(label),
            reel=_reel(container),
            first=clock.time(first.pts, first.dts) or 0.0,
            stored=(first.width, first.height),
            shown=(first.height, wide) if self.turn.transpose else (wide, first.height),
            pixel_aspect=ratio,
            audio_rate=audio.rate or 0 if audio else 0,
            audio_channels=audio.channels or 0 if audio else 0,
        )


def source_info(path: str | Place) -> SourceInfo:
    """Probe what an editing program must know of a file: exact rate, source timecode, shape, sound.

    The timecode is that of the tmcd track (QuickTime), else of the `timecode` tag of the stream or the container (MXF,
    Matroska, DV), else of the first MPEG group of pictures. Where the file has none, counting starts at 00:00:00:00, in
    drop-frame at 29.97 and 59.94 frames/s, so that the label tells the time on the clock.

    Raises MediaNotFound, UnsupportedMedia or CorruptMedia.
    """
    info = Source(path).info
    return info if info.variable or _steady(place(path), info.rate) else replace(info, variable=True)


def _steady(path: Place, rate: Fraction) -> bool:
    """Whether the first frames lie on the grid of the rate; some containers tell a rate that the frames do not have."""
    stamps: list[int] = []
    size = 0
    with closing(open_container(path)) as container:
        stream = video_stream(container, path)
        base = stream.time_base
        if base is None or container.format.name.startswith("webp"):
            return True
        for packet in packets(container, [stream]):
            if packet.pts is not None:
                stamps.append(packet.pts)
            size += packet.size
            if len(stamps) >= _LOOK or size > _LOOK_BYTES or not packet.size:
                break
    slack = max(_OFF_GRID, 2 * base * rate)  # a clock may be coarser than the frames
    counts = [(s - min(stamps)) * base * rate for s in stamps]
    return all(abs(c - round(c)) <= slack for c in counts)


def turned(turn: Orientation, size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) as stored for one as displayed."""
    return (size[1], size[0]) if turn.transpose else size


def _label(container: InputContainer, stream: VideoStream, first: av.VideoFrame) -> str:
    data = [s for s in container.streams if s.type == "data"]
    for metadata in (stream.metadata, *(d.metadata for d in data), container.metadata):
        for key in ("timecode", "TIMECODE"):
            if metadata.get(key, "").strip():
                return metadata[key].strip()
    try:
        gop: Any = cast("Any", first.side_data).get(SideDataType.GOP_TIMECODE)
    except ValueError:  # another kind of side data that this PyAV has no name for
        return ""
    if gop is None or gop.buffer_size < 8:
        return ""
    # ISO/IEC 13818-2, 6.3.8: drop flag, hours (5 bits), minutes (6), a marker, seconds (6), pictures (6).
    (bits,) = struct.unpack("<q", bytes(gop)[:8])
    drop, hours, minutes = bits >> 24 & 1, bits >> 19 & 31, bits >> 13 & 63
    return f"{hours:02d}:{minutes:02d}:{bits >> 6 & 63:02d}{';' if drop else ':'}{bits & 63:02d}"


def _reel(container: InputContainer) -> str:
    for metadata in (container.metadata, *(s.metadata for s in container.streams)):
        for key in ("reel_name", "com.apple.proapps.reel"):
            if metadata.get(key, "").strip():
                return metadata[key].strip()
    return ""
