"""Whether a file ends before its own structure does: copied in part, or recorded until the disk was full.

Only the outermost sizes are looked at, so that it costs two reads. Whether any of the video is missing is another
matter: often only an index behind the last picture is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, BinaryIO, cast

import av

from footage.places import Place, Remote

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # RFC 8794 and 9559
_PACKETS = (188, 192, 204)  # bytes of a transport packet: plain, with arrival time (Blu-ray), with parity
_CHAIN = 8  # transport packets in a row that show where packets begin
_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")  # a Matroska tag of most writers
_TAIL = 64  # index entries that are looked at: the last one in time need not be the last one in the file


def cut_off(path: Place, container: str, stream: VideoStream) -> bool | None:
    """True if the end of the file is missing, False if it is there, None if the structure does not tell.

    `stream` must have been read to its end: an index in pieces is known only then.
    """
    try:
        size = path.size_bytes if isinstance(path, Remote) else path.stat().st_size
        if container.startswith("mov,"):
            return _index_end(stream) > size or None
        look = next((look for name, look in _STRUCTURES.items() if container.startswith(name)), None)
        if look is None:
            return None
        with path.open("rb") as file:
            return look(cast("BinaryIO", file), size)
    except OSError:  # it was there a moment ago
        return None


def told_end(container: InputContainer, stream: VideoStream, *, cut: bool) -> float:
    """Where the video should end by its headers, in seconds from the start of the file; 0 where they do not say.

    The length of the whole file, which may be that of its sound, is taken only for a file that is `cut` off.
    """
    name, base = container.format.name, float(stream.time_base or 0)
    if name == "avi":
        return stream.frames * base  # libav shortens the duration to what the file has
    if name == "mpegts":
        return 0.0  # libav measures it from what is there
    if stream.duration:
        return stream.duration * base
    tag = _TAG.fullmatch(stream.metadata.get("DURATION", ""))
    if tag:
        told = int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    else:
        told = (container.duration or 0) / av.time_base if cut else 0.0
    return max(0.0, told - max(0, cast("int | None", container.start_time) or 0) / av.time_base)


def _index_end(stream: VideoStream) -> int:
    entries = stream.index_entries
    return max((entries[i].pos + entries[i].size for i in range(max(0, len(entries) - _TAIL), len(entries))), default=0)


def _riff(file: BinaryIO, size: int) -> bool | None:
    """Walk the RIFF chunks: an AVI of more than a gigabyte has several (OpenDML 1.02)."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        if head[:4] != b"RIFF":
            return False
        length = int.from_bytes(head[4:], "little")
        if not length:  # never finished by the recorder
            return None
        at += 8 + length + length % 2
    return at > size + 1  # the padding of the last chunk may be left out


def _matroska(file: BinaryIO, size: int) -> bool | None:
    at = 0
    for wanted in (_EBML, _SEGMENT):
        file.seek(at)
        head = file.read(12)
        if head[:4] != wanted:
            return None
        found = _vint(head[4:])
        if found is None:
            return None
        width, value = found
        at += 4 + width + value
    return at > size


def _vint(data: bytes) -> tuple[int, int] | None:
    """(bytes, value) of a variable-size integer (RFC 8794, 4); None where the size is told to be unknown."""
    width = 9 - data[0].bit_length() if data else 9
    if width > 8 or len(data) < width:
        return None
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return None if value == (1 << 7 * width) - 1 else (width, value)


def _transport(file: BinaryIO, size: int) -> bool | None:
    """Find where the last packets begin (ISO/IEC 13818-1, 2.4.3.2: each with 0x47), and what is left behind them."""
    file.seek(max(0, size - (_CHAIN + 2) * max(_PACKETS)))
    tail = file.read()
    for length in _PACKETS:
        for start in range(length):
            marks = tail[start::length]
            if len(marks) > _CHAIN and not marks.strip(b"\x47"):
                whole = length if length != 192 else 188  # the arrival time stands before the packet
                return (len(tail) - start - 1) % length + 1 < whole
    return None


def _flash(file: BinaryIO, size: int) -> bool:
    """Each tag is followed by its length (Video File Format 10.1, E.3), so that the end of the file tells."""
    file.seek(max(0, size - 4))
    length = int.from_bytes(file.read(4), "big")
    if not 11 <= length <= size - 13:
        return True
    file.seek(size - 4 - length)
    head = file.read(4)
    return int.from_bytes(head[1:], "big") != length - 11


_STRUCTURES: Mapping[str, Callable[[BinaryIO, int], bool | None]] = {
    "avi": _riff,
    "matroska": _matroska,
    "mpegts": _transport,
    "flv": _flash,
}
