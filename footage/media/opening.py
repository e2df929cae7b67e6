"""Open a file as libav sees it: its container, its video stream, a decoder, and where a player's zero lies."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
from av.codec import Codec
from av.packet import Packet
from av.stream import Disposition

from footage.errors import MediaError, UnsupportedMedia
from footage.media import pictures, sniff
from footage.places import Place, Remote

if TYPE_CHECKING:
    from av.codec.context import CodecContext
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

# Formats that libav makes of a file which only lists other files, or of plain text (as terminal art).
_PLAYLISTS = frozenset(("hls", "dash", "concat", "sdp", "imf", "ffmetadata", "webvtt", "image2"))
_TEXT = frozenset(("tty", "bin", "xbin", "adf", "idf", "ass", "srt", "subviewer", "microdvd", "lrc"))
_ANIMATIONS = frozenset(("gif", "apng", "webp_pipe", "webp", "webp_anim"))
_STILL_BRANDS = frozenset(("avif", "heic", "heix", "heim", "heis", "mif1"))  # ISO/IEC 23008-12; sequences: avis, hevc
_GEN_PTS = 1  # AVFMT_FLAG_GENPTS
_ATTEMPTS = 16  # failures in a row after which a demuxer will not recover


def open_container(path: Place) -> InputContainer:
    """Open by content. The protocol prefix keeps a name such as `http:x` a file, and playlists from reaching out.

    A URL is read through a file object of ours, so that libav itself never reaches out.
    """
    source = path.open() if isinstance(path, Remote) else f"file:{path}"
    try:
        container = av.open(source, "r", metadata_errors="ignore", container_options={"protocol_whitelist": "file"})
    except MediaError:  # the service failed while the head was read
        raise
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise sniff.refusal(path, getattr(error, "strerror", None) or str(error)) from None
    # PyAV asks libav to invent missing stamps, which is wrong for AVI with B-frames by up to three frames.
    container.flags &= ~_GEN_PTS
    return container


def video_stream(container: InputContainer, path: Place) -> VideoStream:
    """The stream a player would show; raises UnsupportedMedia where there is none, or none that we can decode."""
    uri, name = str(path), container.format.name
    if name in _TEXT or name in _PLAYLISTS:
        raise sniff.no_video(uri, sniff.kind_of(path))
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        sound = any(s.type == "audio" for s in container.streams)
        raise sniff.no_video(uri, "audio only" if sound else "no video in it")
    still = name.endswith("_pipe") and name not in _ANIMATIONS
    still = still or container.metadata.get("major_brand", "").strip() in _STILL_BRANDS
    if still or (name in _ANIMATIONS and pictures.frame_count(path) <= 1):
        raise sniff.no_video(uri, "a still picture")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if "ASF_Protection_Type" in container.metadata or "enc_key_id" in stream.metadata:
        raise encrypted(path)
    if cast("Any", stream.codec_context) is None:
        raise UnsupportedMedia(
            f"no decoder for its video: {uri}", uri=uri, hint="convert it first, for instance to H.264 with ffmpeg"
        )
    return cast("VideoStream", stream)


def encrypted(path: Place) -> UnsupportedMedia:
    """The refusal of a file that is protected."""
    return UnsupportedMedia(
        f"encrypted (DRM): {path}", uri=str(path), hint="Footage cannot decrypt; give it a copy without protection"
    )


def make_decoder(stream: VideoStream, fast: bool) -> VideoCodecContext:
    """A decoder for the stream, on threads; `fast` skips all but key frames."""
    decoder: CodecContext = stream.codec_context
    if stream.metadata.get("alpha_mode") == "1" and decoder.name in ("vp8", "vp9"):
        # Only libvpx reads the alpha of WebM.
        name = "libvpx" if decoder.name == "vp8" else "libvpx-vp9"
        if name in av.codecs_available:
            extradata = decoder.extradata
            decoder = Codec(name, "r").create()
            decoder.extradata = extradata
    decoder.thread_type = "AUTO"
    if fast:
        decoder.skip_frame = "NONKEY"
    return cast("VideoCodecContext", decoder)


def packets(container: InputContainer, streams: list[Any]) -> Iterator[Any]:
    """Packets of some streams, going on after damage; ends with an empty one that flushes."""
    failures = 0
    while failures < _ATTEMPTS:
        try:
            for packet in container.demux(streams):
                failures = 0
                yield packet
            return
        except av.error.FFmpegError:
            failures += 1
    yield Packet()


def player_zero(container: InputContainer, stream: VideoStream) -> int | None:
    """The stamp of a player's zero, in units of the stream."""
    start = cast("int | None", container.start_time)
    if stream.start_time is None or start is None or not stream.time_base:
        return stream.start_time
    zero = round(Fraction(start, av.time_base) / stream.time_base)
    lead = float((stream.start_time - zero) * stream.time_base)
    return zero if lead > 0.001 else stream.start_time  # the container rounds to microseconds, the stream does not


def codec_name(stream: VideoStream) -> str:
    """The codec by its common name, whichever decoder was chosen for it."""
    codec = stream.codec_context.codec
    return getattr(codec, "canonical_name", codec.name)
