"""Which files there are, and what the library already knows of them."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from footage.errors import MediaNotFound
from footage.types import Failure, MediaFile, Video

if TYPE_CHECKING:
    from footage.sampling import SamplingSettings

# In a folder, a file with another suffix that turns out to hold no video is passed over in silence (a note, a
# photograph); with one of these it is reported. Whether a file IS a video is decided by its content alone.
VIDEO_SUFFIXES = frozenset(
    (
        ".3g2 .3gp .amv .asf .avi .divx .dv .f4v .flv .h264 .h265 .hevc .ivf .m1v .m2t .m2ts .m2v .m4v .mjpeg .mjpg "
        ".mk3d .mkv .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf .nut .ogm .ogv .qt .rm .rmvb .ts .vob .webm .wmv .y4m"
    ).split()
)
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Job:
    """One file to look at."""

    file: MediaFile
    named: bool  # the user named this very file, so that whatever is wrong with it is reported


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that cannot be indexed."""

    job: Job
    failure: Failure


def absolute(path: str | Path) -> Path:
    """The path from the root, without `..` and `~`; links stay as they are, since their names are the user's."""
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - pathlib's absolute() keeps the `..`


def scan(paths: Iterable[str | Path], *, skip: Path | None = None) -> Iterator[Job | Refused]:
    """List the files under the paths, sorted; hidden ones, links in circles and `skip` are left out.

    A path that does not exist is an item of its own, so that it does not stop the others.
    """
    seen: set[str] = set()
    for given in paths:
        path = absolute(given)
        if path.is_dir():
            found: Iterable[Path] = _walk(path, skip)
        elif path.exists():
            found = (path,)
        else:
            error = MediaNotFound(f"no such file or folder: {given}", uri=str(given))
            yield Refused(Job(MediaFile(path.as_posix(), 0, 0), True), Failure(str(given), error))
            continue
        for file in found:
            try:
                facts = file.stat()
            except OSError:  # removed since it was listed, or a dangling link
                continue
            name = file.as_posix()
            if name not in seen and (stat.S_ISREG(facts.st_mode) or file == path):
                seen.add(name)
                yield Job(MediaFile(name, facts.st_size, facts.st_mtime_ns), file == path)


def _walk(root: Path, skip: Path | None) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(root), key=lambda e: e.name)
    except OSError:  # a folder that may not be read: its files are not ours to judge
        return
    for entry in entries:
        if entry.name.startswith("."):  # also the ._* companions that macOS leaves on other disks
            continue
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if path != skip:
                yield from _walk(path, skip)
        else:
            yield path


def digest(path: str, beat: Callable[[], None]) -> str:
    """Identity of a content: the first 128 bits of its SHA-256 (FIPS 180-4), in hex. The whole file is read."""
    hasher = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - unbuffered
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
                beat()
    except OSError as error:
        raise MediaNotFound(f"cannot read: {path}: {error.strerror}", uri=path) from error
    return hasher.hexdigest()[:32]


class Catalog:
    """What the library knows of paths and contents; shared by the loaders, so it is locked."""

    def __init__(self, videos: Iterable[Video]) -> None:
        self._lock = threading.Lock()
        self.videos = {v.id: v for v in videos}
        self.paths = {f.path: (f, v.id) for v in self.videos.values() for f in v.files}
        self._claimed: set[str] = set()

    def unchanged(self, job: Job, sampling: SamplingSettings) -> str | None:
        """The video of a file that is as it was at the last run, by size and modification time."""
        file, video_id = self.paths.get(job.file.path, (None, ""))
        return video_id if file == job.file and satisfies(self.videos[video_id].sampling, sampling) else None

    def claim(self, video_id: str, sampling: SamplingSettings) -> bool:
        """Whether this content is to be indexed now, by the caller; False if it is known or another file's job."""
        with self._lock:
            known = self.videos.get(video_id)
            if video_id in self._claimed or (known and satisfies(known.sampling, sampling)):
                return False
            self._claimed.add(video_id)
            return True

    def assign(self, file: MediaFile, video_id: str) -> tuple[list[Video], list[str], bool]:
        """Note that this path holds this content now.

        Returns the video rows to write, the ids of videos that no path holds any more because this file's content
        changed, and whether another path of the same content has vanished (so that the file was moved).
        """
        changed: list[Video] = []
        orphans: list[str] = []
        with self._lock:
            _, before = self.paths.get(file.path, (None, video_id))
            if before != video_id and (old := self.videos.get(before)):
                left = tuple(f for f in old.files if f.path != file.path)
                if left:
                    self.videos[before] = replace(old, files=left)
                    changed.append(self.videos[before])
                else:
                    orphans.append(before)
                    del self.videos[before]
            video = self.videos[video_id]
            others = [f for f in video.files if f.path != file.path]
            there = [f for f in others if os.path.exists(f.path)]  # noqa: PTH110
            for gone in set(others) - set(there):
                self.paths.pop(gone.path, None)
            self.paths[file.path] = (file, video_id)
            files = tuple(sorted([*there, file], key=lambda f: f.path))
            if files != video.files:
                self.videos[video_id] = replace(video, files=files)
                changed.append(self.videos[video_id])
            return changed, orphans, len(there) < len(others)

    def forget(self, path: str) -> Video | None:
        """Remove a path; returns the video without it."""
        with self._lock:
            _, video_id = self.paths.pop(path)
            video = self.videos[video_id]
            self.videos[video_id] = replace(video, files=tuple(f for f in video.files if f.path != path))
            return self.videos[video_id]


def satisfies(stored: str, wanted: SamplingSettings) -> bool:
    """Whether samples made with the stored settings will do: the same, or a full pass where a fast one is asked."""
    return stored in (wanted.fingerprint, replace(wanted, fast=False).fingerprint)
