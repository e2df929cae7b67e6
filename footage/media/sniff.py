"""What a file is when it is no video: the words of the refusal. Looks at content, never at the name."""

from __future__ import annotations

import stat

from footage.errors import CorruptMedia, MediaError, MediaNotFound, UnsupportedMedia
from footage.places import Place, Remote

_HEAD = 4096
# The first bytes of containers that hold video; at offset 4 for the boxes of MP4 and QuickTime.
_CONTAINERS = (b"\x1aE\xdf\xa3", b"OggS", b"FLV\x01", b"\x30\x26\xb2\x75", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp", b"sidx", b"pnot")
_PICTURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"\x00\x00\x01\x00",
    b"8BPS",
)
_SOUNDS = (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"#!AMR")
_DOCUMENTS = (b"%PDF", b"PK\x03\x04", b"\x1f\x8b", b"\x7fELF", b"MZ", b"Rar!", b"7z\xbc\xaf", b"SQLite format 3")


def regular_file(path: Place) -> None:
    """Make sure that it is a file that can be read; raises MediaNotFound, MediaUnreachable or UnsupportedMedia."""
    uri = str(path)
    if isinstance(path, Remote):
        if path.look().size_bytes == 0:
            raise _empty(uri)
        return
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            with path.open("rb"):
                pass
    except FileNotFoundError:
        raise MediaNotFound(f"no such file: {uri}", uri=uri, hint="is the name right?") from None
    except PermissionError:
        raise MediaNotFound(f"not allowed to read: {uri}", uri=uri) from None
    except (OSError, ValueError) as error:  # a name too long, a NUL in it, a disk that fails
        raise MediaNotFound(f"cannot read: {uri}: {error}", uri=uri) from None
    if stat.S_ISDIR(status.st_mode):
        raise UnsupportedMedia(f"a folder, not a file: {uri}", uri=uri)
    if not stat.S_ISREG(status.st_mode):
        raise UnsupportedMedia(f"not an ordinary file (a pipe or a device): {uri}", uri=uri)
    if status.st_size == 0:
        raise _empty(uri)


def _empty(uri: str) -> UnsupportedMedia:
    return UnsupportedMedia(f"an empty file (0 bytes): {uri}", uri=uri, hint="copy it again from its source")


def no_video(uri: str, kind: str) -> UnsupportedMedia:
    """The error for a file of another kind; `kind` as `kind_of` says it, or other words."""
    hint = "its content counts, not its name: give a video"
    if kind == "a still picture":
        hint = "give a video; footage search --image FILE finds what a picture shows"
    return UnsupportedMedia(f"not a video ({kind}): {uri}", uri=uri, hint=hint)


def refusal(path: Place, reason: str) -> MediaError:
    """The error for a file that libav could not open: what it seems to be, or how it is broken."""
    uri = str(path)
    kind = kind_of(path)
    if kind == "video":
        return CorruptMedia(
            f"damaged, cannot be opened: {uri}: {reason}",
            uri=uri,
            hint="the file is cut off or damaged at its start; copy it again from its source, or try to repair it",
        )
    return no_video(uri, kind)


def kind_of(path: Place) -> str:
    """One of: video, a still picture, audio only, a document or program, text, unknown content."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "a still picture"
    if head.startswith(_CONTAINERS) or head[4:8] in _BOXES or (head[:4] == b"RIFF" and head[8:11] == b"AVI"):
        return "video"
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:
        return "video"
    if head.startswith(_SOUNDS) or (head[:4] == b"RIFF" and head[8:12] == b"WAVE"):
        return "audio only"
    if head.startswith(_DOCUMENTS):
        return "a document or program"
    return "text" if is_text(head) else "unknown content"


def is_text(head: bytes) -> bool:
    """Whether bytes read as text: UTF-8 (perhaps cut in a character) or UTF-16, without control characters."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\r\n\f\x1b" for character in text)
