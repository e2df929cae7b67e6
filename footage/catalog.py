"""Which files there are, and what the library already knows of them."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from footage.errors import MediaError, MediaNotFound, UnsupportedMedia
from footage.places import Place, Remote, absolute, folder, is_as_it_was, is_folder, is_gone, is_url, normal, place
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
    video_id: str = ""  # its content, if that is to blame: then every copy of it fails alike


def scan(paths: Iterable[str | Place], *, skip: Path | None = None) -> Iterator[Job | Refused]:
    """List the files under the paths, sorted; hidden ones, links to folders and `skip` are left out.

    A path that cannot be looked at is an item of its own, so that it does not stop the others. Under a URL only names
    with the suffix of a video are listed: to look into each object costs a request and a moment.

    Raises:
        ConfigError: a URL that cannot be read, or holds a secret.
    """
    given = [str(p) if isinstance(p, Remote) else p for p in paths]
    urls = {normal(g): g for g in given if isinstance(g, str) and is_url(g)}
    yield from _scan_paths([g for g in given if not is_url(g)], skip)
    seen: set[str] = set()
    for url, asked in urls.items():
        for item in _scan_url(url, asked, urls):
            path = item.job.file.path if isinstance(item, Refused) else item.file.path
            if path not in seen:
                seen.add(path)
                yield item


def _scan_url(url: str, asked: str, named: Collection[str]) -> Iterator[Job | Refused]:
    try:
        if not is_folder(asked):
            yield Job(Remote(url).look(), True)
            return
        count = 0
        for found in folder(url):
            count += 1
            if found.suffix.lower() in VIDEO_SUFFIXES or found.url in named:
                yield _known(found, found.url in named)
        if not count:
            raise MediaNotFound(f"nothing there: {url}", uri=url, hint="is the name right?")
    except MediaError as error:
        yield Refused(Job(MediaFile(url, 0, 0), True), Failure(url, error))


def _known(found: Remote, named: bool) -> Job | Refused:
    try:
        return Job(found.known, named)
    except MediaError as error:  # a link of an index page that leads nowhere
        return Refused(Job(MediaFile(found.url, 0, 0), named), Failure(found.url, error))


def _scan_paths(paths: Iterable[str | Path], skip: Path | None) -> Iterator[Job | Refused]:
    roots = {absolute(given): given for given in paths}
    seen: set[str] = set()
    for root, given in roots.items():
        try:
            is_folder = stat.S_ISDIR(os.stat(root).st_mode)  # noqa: PTH116
        except (OSError, ValueError) as error:  # ValueError: a null character in it
            yield _refused(root, MediaNotFound(_why_not(root, given, error), uri=str(given), hint="is the name right?"))
            continue
        for file in _walk(root, skip) if is_folder else (root,):
            name, named = file.as_posix(), file in roots
            try:
                facts = file.stat()
                name.encode()
            except OSError:  # removed since it was listed, or a dangling link
                continue
            except UnicodeEncodeError:
                error = UnsupportedMedia(f"its name is not Unicode: {name!a}", uri=name, hint="rename the file")
                yield _refused(file, error, named)
                continue
            if name not in seen and (stat.S_ISREG(facts.st_mode) or named):
                seen.add(name)
                yield Job(MediaFile(name, facts.st_size, facts.st_mtime_ns), named)


def _refused(path: Path, error: MediaError, named: bool = True) -> Refused:
    return Refused(Job(MediaFile(path.as_posix(), 0, 0), named), Failure(path.as_posix(), error))


def _why_not(path: Path, given: str | Path, error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return f"cannot read: {given}: {error.strerror}"
    return f"a link to nothing: {given}" if os.path.islink(path) else f"no such file or folder: {given}"  # noqa: PTH114


def _walk(root: Path, skip: Path | None) -> Iterator[Path]:
    open_folders = [_entries(root)]
    while open_folders:
        entry = next(open_folders[-1], None)
        if entry is None:
            open_folders.pop()
        elif entry.name.startswith("."):  # also the ._* companions that macOS leaves on other disks
            continue
        elif not entry.is_dir(follow_symlinks=False):
            yield Path(entry.path)
        elif skip is None or not _same(entry, skip):
            open_folders.append(_entries(entry.path))


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return iter(sorted(entries, key=lambda e: e.name))
    except OSError:  # a folder that may not be read: its files are not ours to judge
        return iter(())


def _same(entry: os.DirEntry[str], folder: Path) -> bool:
    """Whether they are one folder, under whatever name."""
    try:
        return os.path.samestat(os.stat(entry.path), os.stat(folder))  # noqa: PTH116
    except OSError:
        return False


def digest(path: str | Place, beat: Callable[[], None]) -> str:
    """Identity of a content: the first 128 bits of its SHA-256 (FIPS 180-4), in hex. The whole file is read.

    Raises MediaNotFound, or for a URL MediaUnreachable.
    """
    hasher = hashlib.sha256()
    found = place(path)
    try:
        with found.open("rb") if isinstance(found, Remote) else found.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
                beat()
    except MediaError:
        raise
    except OSError as error:
        raise MediaNotFound(f"cannot read: {path}: {error.strerror}", uri=str(path)) from error
    return hasher.hexdigest()[:32]


class Catalog:
    """What the library knows of paths and contents; shared by the loaders, so it is locked."""

    def __init__(self, videos: Iterable[Video]) -> None:
        self._lock = threading.Lock()
        self.videos = {v.id: v for v in videos}
        self.paths = {f.path: (f, v.id) for v in self.videos.values() for f in v.files}
        self._claimed: dict[str, str] = {}  # video id -> path of the file that is to be indexed for it

    def unchanged(self, job: Job, sampling: SamplingSettings) -> str | None:
        """The video of a file that is as it was at the last run, by size and modification time."""
        file, video_id = self.paths.get(job.file.path, (None, ""))
        return video_id if file == job.file and satisfies(self.videos[video_id].sampling, sampling) else None

    def claim(self, video_id: str, path: str, sampling: SamplingSettings) -> bool:
        """Whether this content is to be indexed now, from this file; False if it is known or another file's job."""
        with self._lock:
            known = self.videos.get(video_id)
            if video_id in self._claimed or (known and satisfies(known.sampling, sampling)):
                return False
            self._claimed[video_id] = path
            return True

    def claimed(self, path: str) -> str:
        """The content that was to be indexed from this file, or ''."""
        with self._lock:
            return next((video_id for video_id, by in self._claimed.items() if by == path), "")

    def release(self, video_id: str) -> None:
        """Let another file try: the one that had the claim could not be read, which says nothing of the content."""
        with self._lock:
            self._claimed.pop(video_id, None)

    def adopt(self, video: Video) -> None:
        """Take in a video that was indexed just now; no path holds it yet but those that held it before."""
        with self._lock:
            old = self.videos.get(video.id)
            self.videos[video.id] = replace(video, files=old.files if old else ())

    def assign(self, file: MediaFile, video_id: str) -> tuple[list[Video], bool]:
        """Note that this path holds this content now.

        Returns the video rows to write, and whether the file was moved here: the path is new, and an older one is
        gone or holds something else by now. A video left without any path stays, for a file that is looked at later
        may hold its content; `homeless` lists what is left in the end.
        """
        changed: list[Video] = []
        with self._lock:
            _, before = self.paths.get(file.path, (None, video_id))
            if before != video_id and (old := self.videos.get(before)):
                self.videos[before] = replace(old, files=tuple(f for f in old.files if f.path != file.path))
                changed.append(self.videos[before])
            video = self.videos[video_id]
            others = [f for f in video.files if f.path != file.path]
            is_new = len(others) == len(video.files)
            left = [f for f in others if is_gone(f.path)] if is_new else []  # else it is for `--prune` to forget them
            moved = is_new and (bool(left) or not any(is_as_it_was(f) for f in others))
            for old_file in left:
                self.paths.pop(old_file.path, None)
            self.paths[file.path] = (file, video_id)
            files = tuple(sorted({*others, file} - set(left), key=lambda f: f.path))
            if files != video.files:
                self.videos[video_id] = replace(video, files=files)
                changed.append(self.videos[video_id])
            return changed, moved

    def homeless(self) -> list[str]:
        """Forget the videos that no path holds; returns their ids."""
        with self._lock:
            ids = [v.id for v in self.videos.values() if not v.files]
            for video_id in ids:
                del self.videos[video_id]
            return ids

    def drop(self, video_id: str) -> None:
        """Forget a video and its paths."""
        with self._lock:
            video = self.videos.pop(video_id, None)
            for file in video.files if video else ():
                self.paths.pop(file.path, None)

    def forget(self, path: str) -> Video:
        """Remove a path; returns the video without it."""
        with self._lock:
            _, video_id = self.paths.pop(path)
            video = self.videos[video_id]
            self.videos[video_id] = replace(video, files=tuple(f for f in video.files if f.path != path))
            return self.videos[video_id]


def satisfies(stored: str, wanted: SamplingSettings) -> bool:
    """Whether samples made with the stored settings will do: the same, or a full pass where a fast one is asked."""
    return stored in (wanted.fingerprint, replace(wanted, fast=False).fingerprint)
