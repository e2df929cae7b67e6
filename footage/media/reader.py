"""Open a video and decode it frame by frame, for as long as anything decodes."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

import av
import av.error
from av.packet import Packet
from av.stream import Discard

from footage.errors import CorruptMedia, MediaError, UnsupportedMedia
from footage.media import dolby, pictures, sniff
from footage.media.clock import Clock
from footage.media.opening import codec_name, encrypted, make_decoder, open_container, player_zero, video_stream
from footage.media.pixels import Orientation, Scaler, luma, orientation
from footage.media.whole import cut_off, told_end
from footage.places import Place, place
from footage.types import Frame, MediaInfo

Beat = Callable[[], None]

# A demuxer that fails so often in a row will not recover; each failure that it does recover from moved it on.
_READ_ATTEMPTS = 16
_DEFAULT_STEP = 0.04
_MILLISECOND = Fraction(1, 1000)


def probe(path: str | Place) -> MediaInfo:
    """Read what the container says of its video; decodes one frame, whose side data tell how it is shown.

    Raises MediaNotFound, UnsupportedMedia or CorruptMedia.
    """
    with open_video(path) as reader:
        return reader.info


def open_video(path: str | Place, *, fast: bool = False, beat: Beat | None = None, start: float = 0.0) -> VideoReader:
    """Open a video and decode its first frame.

    `fast` decodes the container's key frames only. `beat` is called at every packet, so that a watchdog sees progress.
    From `start` on (seconds) the first frame is a key frame, the last one before it if the container can tell.
    Raises MediaNotFound, UnsupportedMedia or CorruptMedia; once open, a reader raises nothing any more, but for a URL
    MediaUnreachable: what a service does not send says nothing of the video.
    """
    return VideoReader(place(path), fast, beat or (lambda: None), start)


class VideoReader:
    """One open video. `frames()` may be iterated once; close it, or use it as a context manager.

    While iterating, `broken_at` (seconds) and `warning` are filled at the first damage; decoding goes on behind it as
    far as the decoder can. `duration` is the end of the last frame, exact once iteration has ended.
    """

    info: MediaInfo
    broken_at: float | None
    warning: str
    duration: float

    def __init__(self, path: Place, fast: bool, beat: Beat, start: float = 0.0) -> None:
        self._sought = start
        self.broken_at, self.warning, self.duration = None, "", 0.0
        self._path, self._fast, self._beat = path, fast, beat
        self._scaler = Scaler(str(path))
        self._turn = Orientation()
        self._shape: tuple[int, int] = (0, 0)
        self._first: Frame | None = None
        self._packets_seen = False
        self._skipped = (-1, 0)  # (pts, duration) of the last packet that was not decoded
        sniff.regular_file(path)
        self._container = open_container(path)
        try:
            self._stream = video_stream(self._container, path)
            self._begin()
        except BaseException:  # a beat may raise anything
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and the decoder. Frames that were handed out stay valid."""
        self._source = iter(())
        self._container.close()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in the order they are shown, with strictly increasing times."""
        frame, self._first = self._first, None
        while frame is not None:
            yield frame
            frame = next(self._source, None)

    def _begin(self) -> None:
        stream, container = self._stream, self._container
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all
        rate = float(stream.average_rate or 0)
        self._step = 1 / rate if 0.01 < rate < 1000 else _DEFAULT_STEP
        if self._is_webp():
            self._clock = Clock(_MILLISECOND, 0, self._step)
        else:
            zero = player_zero(container, stream)
            self._clock = Clock(stream.time_base or _MILLISECOND, zero, self._step)
            if self._sought:
                self._seek(zero or 0)
        self._source: Iterator[Frame] = self._shown()
        self._first = next(self._source, None)
        if self._first is None:
            raise self._no_frames()
        self.info = self._describe(self._first)

    def _seek(self, zero: int) -> None:
        try:
            self._container.seek(
                zero + round(self._sought / (self._stream.time_base or _MILLISECOND)), stream=self._stream
            )
        except av.error.FFmpegError:
            self._sought = 0.0  # it begins at its beginning, which its first time tells

    def _shown(self) -> Iterator[Frame]:
        """Decoded frames with their times and lazy pictures."""
        scaler = self._scaler
        previous: float | None = None
        for frame in self._decoded():
            if self._sought and previous is None and not frame.key_frame:
                continue  # it refers to others that were not decoded
            time = self._clock.time(frame.pts, frame.dts)
            if time is None:
                continue
            if previous is None and dolby.has_only_dolby_colours(frame, self._stream.codec_context.codec_tag):
                self.warning = dolby.WARNING
            if frame.key_frame or self._shape != (frame.width, frame.height):
                self._turn = orientation(frame)
                self._size = self._displayed(frame)
                self._shape = (frame.width, frame.height)
            lasts = self._clock.seconds(frame.duration)
            if not lasts:
                lasts = min(time - previous, 1.0) if previous is not None else self._step
            self.duration = max(self.duration, time + lasts)
            previous = time
            width, height = self._size
            yield Frame(
                time, frame.key_frame, width, height, luma(frame, scaler), partial(scaler.rgb, frame, self._turn)
            )
        self.duration = max(self.duration, self._clock.reach(*self._skipped))
        self._check_end()

    def _check_end(self) -> None:
        """Note a file that was cut off: shorter than it says, by more than a container may be wrong."""
        if self.broken_at is not None or not self.duration:
            return
        cut = cut_off(self._path, self._container.format.name, self._stream)
        if cut is False:
            return  # what a complete file says of its length is now and then longer, for the sound or a last still
        told = told_end(self._container, self._stream, cut=bool(cut))
        if self.duration < told - (max(0.1, 2 * self._step) if cut else 0.1 * told + 1):
            self._break(f"ends at {self.duration:.1f} s, though it says that it has {told:.1f} s")
        elif cut and not told:
            self._break(f"cut off at {self.duration:.1f} s: the file ends in the middle of a packet")

    def _displayed(self, frame: av.VideoFrame) -> tuple[int, int]:
        """(width, height) with square pixels, turned upright."""
        ratio = self._stream.sample_aspect_ratio or self._decoder.sample_aspect_ratio or Fraction(1)
        wide = frame.width * float(ratio) if 0.1 <= ratio <= 10 else frame.width
        width = max(round(wide), 1)
        return (frame.height, width) if self._turn.transpose else (width, frame.height)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        self._decoder = make_decoder(self._stream, self._fast)
        if self._is_webp():
            yield from self._webp()
            return
        for packet in self._packets():
            self._beat()
            if packet.has_sidedata("encryption_info"):
                if not self.duration:
                    raise encrypted(self._path)
                self._damage("encrypted from here on")
                return
            repeats = not packet.size and packet.pts is not None  # Theora, AVI: the last picture stays
            if repeats or (self._fast and packet.size and not packet.is_keyframe):
                if packet.pts is not None and packet.pts >= self._skipped[0]:
                    self._skipped = (packet.pts, packet.duration or 0)
                continue
            try:
                frames: list[av.VideoFrame] = cast("Any", self._decoder).decode(packet)
            except av.error.FFmpegError as error:
                self._damage(error.strerror)
                continue
            for frame in frames:
                self._beat()
                yield frame

    def _packets(self) -> Iterator[Any]:
        """Packets of the video stream; goes on after a damaged one, ends with the one that flushes the decoder."""
        failures = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    self._packets_seen = self._packets_seen or packet.size > 0
                    yield packet
                return
            except av.error.FFmpegError as error:
                self._damage(error.strerror)
                failures += 1
                if failures >= _READ_ATTEMPTS:
                    break
        yield Packet()  # empty: flushes the decoder

    def _damage(self, reason: str | None) -> None:
        if self.broken_at is None:
            self._break(f"damaged at {self.duration:.1f} s: {reason or 'unknown reason'}")

    def _break(self, message: str) -> None:
        self.broken_at = self.duration
        self.warning = "; ".join(filter(None, (message, self.warning)))

    def _no_frames(self) -> MediaError:
        uri = str(self._path)
        if self.broken_at is None and not self._packets_seen:
            return UnsupportedMedia(f"its video track is empty: {uri}", uri=uri)
        return CorruptMedia(f"no frame of it can be decoded: {uri}", uri=uri)

    def _is_webp(self) -> bool:
        return self._container.format.name.startswith("webp")

    def _webp(self) -> Iterator[av.VideoFrame]:
        shown = 0
        try:
            for rgba, seconds in pictures.animation(self._path):
                self._beat()
                frame = av.VideoFrame.from_ndarray(rgba, format="rgba")
                frame.pts, frame.time_base = shown, _MILLISECOND
                frame.duration = round(seconds * 1000)
                cast("Any", frame).key_frame = True
                shown += frame.duration
                yield frame
        except CorruptMedia as error:
            self._damage(error.message)

    def _describe(self, first: Frame) -> MediaInfo:
        container, stream = self._container, self._stream
        duration = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        if not duration and container.duration:
            duration = container.duration / av.time_base
        return MediaInfo(
            container=container.format.name,
            codec=codec_name(stream),
            width=first.width,
            height=first.height,
            fps=float(stream.average_rate or 0),
            duration=max(duration, 0.0),
            recorded_at=_recorded_at(container.metadata),
            has_audio=any(other.type == "audio" for other in container.streams),
            has_subtitles=any(other.type == "subtitle" for other in container.streams),
        )


def _recorded_at(metadata: dict[str, str]) -> float | None:
    """Unix time of the recording, if the container tells a sane one."""
    for key in ("com.apple.quicktime.creationdate", "creation_time", "date"):
        try:
            moment = datetime.datetime.fromisoformat(metadata.get(key, "").strip())
        except ValueError:
            continue
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        if moment.year > 1971:  # a clock that was never set says 1904 or 1970
            return moment.timestamp()
    return None
