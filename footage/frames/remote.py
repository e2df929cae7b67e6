"""Key frames behind a URL: the same archives as objects, read by ranges, of which a bounded memory is kept.

A library keeps a note of where they are (`frames.json`), and leaves one there (`footage.json`) that says whose they
are: two libraries under one URL would remove each other's.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from footage.errors import ConfigError, MediaDenied, MediaError, MediaNotFound, NotIndexed, StoreError, StoreUnavailable
from footage.frames import Contents, FrameStore, FrameWriter
from footage.places import Remote, folder, normal

_NOTE, _MARK = "frames.json", "footage.json"
_WRITABLE = ("s3://", "gs://", "az://", "abfs://", "abfss://")  # where an object is put whole or not at all
_FRESH = 5.0  # seconds for which an archive is taken to be as it was
_KNOWN = 512  # archives of which is kept what is in them
_PICTURES = 64 << 20  # bytes of pictures kept in memory


def open_frames(library: Path) -> FrameStore:
    """The key frames of the library in this directory.

    Raises:
        StoreError: its note cannot be read.
    """
    try:
        note = json.loads((library / _NOTE).read_text(encoding="utf-8"))
        return RemoteFrames(normal(note["url"]), library / "frames")
    except FileNotFoundError:
        return FrameStore(library / "frames")
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise StoreError(
            f"cannot read {library / _NOTE}: {error}", hint="restore it: it says where the frames are"
        ) from error


def keep_frames_at(url: str, library: Path) -> None:
    """Note that a new library keeps its key frames under this URL.

    Raises:
        ConfigError: nothing can be kept there, or another library keeps its own there.
        StoreUnavailable: it cannot be reached or written to.
    """
    from footage.stamp import replace_json

    url = normal(url)
    if not url.startswith(_WRITABLE):
        hint = f"one of {', '.join(_WRITABLE)}: there a file is whole or not there"
        raise ConfigError(f"cannot keep key frames at {url}", hint=hint)
    note = library / _NOTE
    mine = json.loads(note.read_text(encoding="utf-8"))["library"] if note.exists() else secrets.token_hex(8)
    mark = Remote(f"{url}/{_MARK}")
    try:
        theirs = _read_mark(mark)
        if theirs not in ("", mine):
            raise ConfigError(
                f"another library keeps its key frames at {url}", hint="give each library a URL of its own"
            )
        replace_json(note, {"url": url, "library": mine})
        if not theirs:
            scratch = library / f".{_MARK}"
            scratch.write_text(json.dumps({"library": mine}), encoding="utf-8")
            mark.put(scratch)
            scratch.unlink()
    except MediaError as error:
        raise _unavailable(error) from error


def _read_mark(mark: Remote) -> str:
    try:
        with mark.open() as file:
            return str(json.loads(file.read())["library"])
    except MediaDenied:
        raise
    except MediaNotFound:
        return ""
    except (ValueError, KeyError, TypeError):
        return "?"


def _unavailable(error: MediaError) -> StoreUnavailable:
    return StoreUnavailable(f"the key frames: {error.message}", hint=error.hint)


class _Upload(FrameWriter):
    """Collects on disk, and puts the whole archive in place at the end."""

    def __init__(self, scratch: Path, target: Remote) -> None:
        super().__init__(scratch)
        self._remote = target

    def commit(self) -> None:
        """Finish the archive and store it.

        Raises StoreUnavailable.
        """
        self._zip.close()
        self._file.close()
        try:
            self._remote.put(self._partial)
        except MediaError as error:
            raise _unavailable(error) from error
        self._partial.unlink()


class RemoteFrames(FrameStore):
    """Key-frame archives under a URL. Safe between threads."""

    def __init__(self, url: str, scratch: Path) -> None:
        """What is being written lies in the directory `scratch` until it is whole."""
        super().__init__(scratch)
        self.url = url
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, tuple[float, Remote, Contents | None]] = OrderedDict()
        self._pictures: OrderedDict[tuple[str, int, float], bytes] = OrderedDict()
        self._held = 0  # bytes of them

    def writer(self, video_id: str) -> FrameWriter:
        """Start the archive of a video; an existing one stays until `commit`."""
        return _Upload(self._path(video_id), self._object(video_id))

    def read(self, video_id: str, at: float) -> bytes:
        """The JPEG of the sample that stands at `at`; raises NotIndexed or StoreUnavailable."""
        contents = self._contents(video_id)
        if not contents.times:
            raise NotIndexed(f"no key frames of video {video_id}")
        number = contents.number(at)
        key = (video_id, self._stamp(video_id), contents.times[number])
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
                return self._pictures[key]
        with self._open(video_id) as file:
            data = contents.read(file, number)
        with self._lock:
            self._held += len(data) - len(self._pictures.get(key, b""))
            self._pictures[key] = data
            while self._held > _PICTURES:
                self._held -= len(self._pictures.popitem(last=False)[1])
        return data

    def delete(self, video_ids: Iterable[str]) -> None:
        """Remove archives; those that are not there are ignored. Raises StoreUnavailable."""
        for video_id in video_ids:
            self._path(video_id)
            self._seen.pop(video_id, None)
            try:
                self._object(video_id).remove()
            except MediaError as error:
                raise _unavailable(error) from error

    def ids(self) -> set[str]:
        """The videos that have an archive. Raises StoreUnavailable."""
        try:
            return {
                r.stem for r in folder(self.url) if r.suffix == ".zip" and r.url.count("/") == self.url.count("/") + 2
            }
        except MediaDenied as error:
            raise _unavailable(error) from error
        except MediaNotFound:
            return set()
        except MediaError as error:
            raise _unavailable(error) from error

    def _object(self, video_id: str) -> Remote:
        self._path(video_id)  # refuses what is no id
        return Remote(f"{self.url}/{video_id[:2]}/{video_id}.zip")

    def _current(self, video_id: str) -> tuple[float, Remote, Contents | None]:
        """The archive as it was seen last: (when, object, what is in it once that was read)."""
        found = self._seen.get(video_id)
        if found is not None and time.monotonic() - found[0] < _FRESH:
            return found
        remote = self._object(video_id)
        try:
            remote.look()
        except MediaDenied as error:
            raise _unavailable(error) from error
        except MediaNotFound as error:
            self._seen.pop(video_id, None)
            hint = "footage doctor --repair finds what is missing"
            raise NotIndexed(f"no key frames of video {video_id}", hint=hint) from error
        except MediaError as error:
            raise _unavailable(error) from error
        same = found is not None and found[1].known == remote.known
        seen = (time.monotonic(), remote, found[2] if found is not None and same else None)
        with self._lock:
            self._seen[video_id] = seen
            while len(self._seen) > _KNOWN:
                self._seen.popitem(last=False)
        return seen

    def _stamp(self, video_id: str) -> int:
        return self._current(video_id)[1].known.mtime_ns

    def _open(self, video_id: str) -> IO[bytes]:
        remote: Any = self._current(video_id)[1]
        try:
            return remote.open()
        except MediaError as error:
            self._seen.pop(video_id, None)
            raise _unavailable(error) from error

    def _contents(self, video_id: str) -> Contents:
        when, remote, contents = self._current(video_id)
        if contents is None:
            try:
                with self._open(video_id) as file, zipfile.ZipFile(file) as archive:
                    contents = Contents.of(archive)
            except (zipfile.BadZipFile, ValueError) as error:
                raise NotIndexed(
                    f"the key-frame archive is broken: {remote}", hint="run: footage doctor --repair"
                ) from error
            self._seen[video_id] = (when, remote, contents)
        return contents
