"""Playing a video in a browser: the file itself where that works, else a rendition of a range of it.

Files are reached by the video's record alone: a path that the library wrote down, and only while the file there still
has the size and the time that were written down with it.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from footage.errors import MediaChanged, MediaError, MediaNotFound, MediaUnreachable, QueryError, StoreError
from footage.media.checks import Tracks, tracks
from footage.media.cut import cut_clip
from footage.places import Place, Remote, place
from footage.types import MediaFile, Video

_MP4_VIDEO = {"h264": "avc1", "av1": "av01", "vp9": "vp09"}
_MP4_AUDIO = frozenset(("", "aac", "mp3", "opus", "flac"))
_WEBM_VIDEO = frozenset(("vp8", "vp9", "av1"))
_WEBM_AUDIO = frozenset(("", "opus", "vorbis"))
_PIXELS = frozenset(("yuv420p", "yuvj420p"))  # decoders in browsers and phones know 8-bit 4:2:0
_DEEP = _PIXELS | {"yuv420p10le"}  # those of VP9 and AV1 also 10 bit


@dataclass(frozen=True, slots=True)
class Way:
    """How a video can be played."""

    mode: Literal["direct", "rendition"]
    type: str  # media type of what is played
    reason: str = ""  # why not directly


def way(found: Tracks) -> Way:
    """Decide whether every current browser plays the file as it is.

    By what Chromium, Firefox and Safari have in common: H.264, VP9 and AV1 in MP4, VP8, VP9 and AV1 in WebM, with
    ordinary pixels and a sound codec that they decode. HEVC, Matroska and QuickTime's PCM sound depend on the system.
    """
    kinds = found.container.split(",")
    if "mp4" in kinds or "mov" in kinds:
        codecs, sounds, media_type = frozenset(_MP4_VIDEO), _MP4_AUDIO, "video/mp4"
    elif found.doctype == "webm":
        codecs, sounds, media_type = _WEBM_VIDEO, _WEBM_AUDIO, "video/webm"
    else:
        return Way("rendition", "video/mp4", f"browsers do not open {kinds[0]}")
    if found.codec not in codecs:
        return Way("rendition", "video/mp4", f"browsers do not decode {found.codec} in {media_type}")
    if found.pixels not in (_PIXELS if found.codec in ("h264", "vp8") else _DEEP):
        return Way("rendition", "video/mp4", f"browsers do not decode {found.codec} with {found.pixels} pixels")
    if found.audio not in sounds:
        return Way("rendition", "video/mp4", f"browsers do not decode {found.audio} sound in {media_type}")
    return Way("direct", media_type)


def open_file(video: Video) -> tuple[IO[bytes], MediaFile]:
    """Open the first of a video's files that is still what was indexed, and tell which one it is.

    Raises:
        MediaNotFound: none of them is there.
        MediaChanged: one is, but with another size or time.
        MediaUnreachable: the service that holds it gives no answer.
    """
    changed = False
    silent: MediaUnreachable | None = None
    for known in video.files:
        try:
            file, now = _opened(known.path)
        except MediaUnreachable as error:
            silent = error
            continue
        except (OSError, ValueError):
            continue
        if now == known:
            return file, known
        file.close()
        changed = True
    name = place(video.path).name or video.id
    if changed:
        raise MediaChanged(f"the file was changed since it was indexed: {name}", uri=name, hint="index it again")
    if silent is not None:
        message = silent.message.replace(silent.uri, name)
        raise MediaUnreachable(message, uri=name, hint=silent.hint)
    raise MediaNotFound(f"the file is not there now: {name}", uri=name, hint="plug in its disk, or index its new place")


def _opened(path: str) -> tuple[IO[bytes], MediaFile]:
    """Open a file, and tell what it is: of one on disk by the handle, whatever lies at its path later."""
    found = place(path)
    if isinstance(found, Remote):
        now = found.look()
        return found.open(), now
    file = found.open("rb")
    facts = os.fstat(file.fileno())
    return file, MediaFile(path, facts.st_size, facts.st_mtime_ns)


def path_of(video: Video) -> Place:
    """Where the first of a video's files lies that is still what was indexed; raises as `open_file` does."""
    file, known = open_file(video)
    file.close()
    return place(known.path)


class Ways:
    """Remembers how each video can be played; a file is looked at once."""

    def __init__(self) -> None:
        self._known: dict[str, Way] = {}

    def __call__(self, video: Video) -> Way:
        """Tell how to play it; raises as `open_file` does, or MediaError."""
        path = path_of(video)
        if video.id not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[video.id] = way(tracks(path))
        return self._known[video.id]


class Renditions:
    """Ranges made playable, kept on disk up to a size; the least recently used go first. Safe between threads."""

    def __init__(self, root: Path, limit_bytes: int, max_seconds: float = 600.0, *, shared: str = "") -> None:
        """`shared` is a URL where several servers leave what they made for each other; nothing is removed there."""
        self.root = root
        self.limit_bytes = limit_bytes
        self.max_seconds = max_seconds
        self.shared = shared
        self.hits = self.builds = self.fetched = 0
        self._lock = threading.Lock()
        self._building: dict[str, threading.Lock] = {}

    def open(self, video: Video, start: float, end: float, *, height: int = 1080) -> IO[bytes]:
        """Open the rendition of [start, end), made now if there is none; others who ask for it meanwhile wait.

        Raises:
            QueryError: the range is empty, too long, or beyond the video.
            MediaError: the file is not there, changed, or cannot be decoded.
            StoreError: there is no room for it.
        """
        if not 0 <= start < end:
            raise QueryError(f"not a range: {start:g} to {end:g} s", hint="start lies before end")
        if end - start > self.max_seconds:
            raise QueryError(f"a range of {end - start:g} s, but at most {self.max_seconds:g} s are made at a time")
        if start >= video.duration:
            raise QueryError(f"{start:g} s lies behind the end of the video, {video.duration:g} s")
        end = min(end, video.duration + 1.0)
        key = f"{video.id}-{round(start * 1000)}-{round(end * 1000)}-{height}.mp4"
        source = path_of(video)
        with self._lock:
            building = self._building.setdefault(key, threading.Lock())
        try:
            with building:
                file = self._ready(key) or self._fetched(key)
                if file is None:
                    self._build(source, key, video, (start, end), height)
                    file = self._ready(key)
                else:
                    self.hits += 1
                if file is None:
                    raise StoreError("the rendition is gone already", hint="raise the limit of the renditions")
                return file
        finally:
            with self._lock:
                if not building.locked():
                    self._building.pop(key, None)

    @property
    def size_bytes(self) -> int:
        """What all of them take."""
        return sum(size for _, _, size in self._files())

    def _ready(self, key: str) -> IO[bytes] | None:
        try:
            file = (self.root / key).open("rb")
        except FileNotFoundError:
            return None
        os.utime(self.root / key)  # used now
        return file

    def _fetched(self, key: str) -> IO[bytes] | None:
        """What another server made."""
        if not self.shared:
            return None
        partial = self.root / f".{uuid.uuid4().hex}.mp4"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with Remote(f"{self.shared}/{key}").open() as there, partial.open("wb") as here:
                shutil.copyfileobj(there, here, 1 << 20)
            self._make_room(partial.stat().st_size)
            partial.replace(self.root / key)
        except (MediaError, OSError):  # not there, or out of reach: it is made here
            return None
        finally:
            partial.unlink(missing_ok=True)
        self.fetched += 1
        return self._ready(key)

    def _build(self, source: Place, key: str, video: Video, span: tuple[float, float], height: int) -> None:
        partial = self.root / f".{uuid.uuid4().hex}.mp4"  # another process may make the same
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            cut_clip(source, partial, *span, duration=video.duration, max_height=height, quality=23, speed="veryfast")
            if self.shared:
                with suppress(MediaError):  # it is here all the same
                    Remote(f"{self.shared}/{key}").put(partial)
            self._make_room(partial.stat().st_size)
            partial.replace(self.root / key)
            self.builds += 1
        except OSError as error:
            raise StoreError(f"cannot keep a rendition: {error.strerror or error}", hint="free some space") from error
        finally:
            partial.unlink(missing_ok=True)

    def _make_room(self, need: int) -> None:
        files = sorted(self._files())
        total = sum(size for _, _, size in files) + need
        for _, path, size in files:
            if total <= self.limit_bytes:
                break
            try:
                path.unlink(missing_ok=True)
                total -= size
            except OSError:  # open elsewhere, on Windows
                continue

    def _files(self) -> list[tuple[float, Path, int]]:
        out: list[tuple[float, Path, int]] = []
        for path in self.root.glob("[!.]*.mp4"):
            try:
                facts = path.stat()
            except OSError:
                continue
            out.append((facts.st_mtime, path, facts.st_size))
        return out
