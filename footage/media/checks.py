"""What a file from a stranger would cost, told before anything large is decoded."""

from __future__ import annotations

import warnings
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
from PIL import Image, UnidentifiedImageError

from footage.errors import CorruptMedia, UnsupportedMedia
from footage.media import sniff
from footage.media.opening import open_container
from footage.media.reader import probe
from footage.places import Place

if TYPE_CHECKING:
    from collections.abc import Callable

_BROKEN = (OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError, KeyError, TypeError, AttributeError)
_FASTEST = 240.0  # pictures a second


@dataclass(frozen=True, slots=True)
class Tracks:
    """What a player must be able to decode."""

    container: str
    doctype: str  # of Matroska: webm or matroska; else ''
    codec: str
    pixels: str  # name of the pixel format
    audio: str  # codec, '' if there is none


def picture_size(path: Place) -> tuple[int, int]:
    """(width, height) from the head of a picture file; its pixels are not decoded.

    Raises:
        UnsupportedMedia: it is no picture.
        CorruptMedia: its head is damaged.
    """
    sniff.regular_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with path.open("rb") as file, Image.open(file) as image:
                return image.size
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise UnsupportedMedia(f"not a picture ({sniff.kind_of(path)}): {path}", uri=str(path)) from None
    except _BROKEN as error:
        raise CorruptMedia(f"damaged picture: {path}: {error}", uri=str(path)) from None


def clip_extent(path: Place, beat: Callable[[], None]) -> tuple[float, int, int, int]:
    """(seconds, pictures, width, height) of a video, by its packets and not by what its head claims.

    Nothing is decoded but the first picture. `beat` is called at every packet and may raise.
    Raises MediaNotFound, UnsupportedMedia or CorruptMedia.
    """
    info = probe(path)
    count, seconds = 0, 0.0
    try:
        with closing(open_container(path)) as file:
            stream = file.streams.best("video")
            if stream is not None and stream.time_base:
                first: int | None = None
                for packet in file.demux(stream):
                    beat()
                    if not packet.size:
                        continue
                    count += 1
                    if packet.pts is not None:
                        first = packet.pts if first is None else min(first, packet.pts)
                        end = (packet.pts - first + (packet.duration or 0)) * float(stream.time_base)
                        seconds = max(seconds, end)
    except (av.error.FFmpegError, ValueError):
        pass  # damaged further on: what was readable counts
    # A bare stream has no stamps, and a broken one may have the same all over: then its pictures tell.
    rate = info.fps if 1 <= info.fps <= _FASTEST else _FASTEST
    return max(seconds, count / rate), count, info.width, info.height


def tracks(path: Place) -> Tracks:
    """Read what a player must know.

    Raises MediaNotFound, UnsupportedMedia or CorruptMedia.
    """
    info = probe(path)
    try:
        with closing(open_container(path)) as file:
            video = cast("Any", file.streams.best("video"))
            sound = cast("Any", file.streams.best("audio"))
            pixels = str(video.codec_context.pix_fmt or "") if video is not None else ""
            audio = str(sound.codec_context.name) if sound is not None and sound.codec_context else ""
            if sound is not None and not audio:
                audio = "unknown"
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise CorruptMedia(f"cannot be opened again: {path}: {error}", uri=str(path)) from None
    with path.open("rb") as head:
        start = head.read(64)
    doctype = "" if not start.startswith(b"\x1aE\xdf\xa3") else "webm" if b"webm" in start else "matroska"
    return Tracks(info.container, doctype, info.codec, pixels, audio)
