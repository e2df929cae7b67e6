"""The key-frame store: small JPEGs of the kept samples, one ZIP archive per video, written by rename.

Thumbnails, storyboards and re-embedding read from it, so the videos themselves need not be decoded again; what else
was taken from a video in passing, the fingerprint of its sound, lies beside them. ZIP, not a format of our own: any
tool can look inside, and one picture is read without the others.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from footage.errors import NotIndexed

if TYPE_CHECKING:
    from footage.types import UInt8

LONG_SIDE = 320  # pixels
_QUALITY = 80
_HEADER = struct.Struct("<4s22xHH")  # of a file in a ZIP archive: its mark, the lengths of its name and of its extras


def thumbnail_size(width: int, height: int) -> tuple[int, int]:
    """Scale (width, height) so that the longer side is at most 320 pixels; never up, never to 0."""
    scale = min(1.0, LONG_SIDE / max(width, height, 1))
    return max(1, round(width * scale)), max(1, round(height * scale))


def jpeg(picture: UInt8) -> bytes:
    """Encode RGB uint8 (h, w, 3) as a JPEG file."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def decode_jpeg(data: bytes) -> UInt8:
    """Decode what `jpeg` made to RGB uint8 (h, w, 3)."""
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """Where the key frames of an archive lie in it, by time: columns of length n.

    Opening a ZIP archive reads its whole directory, which for hours of video takes longer than a thousand pictures; so
    it is read once.
    """

    times: array[float]  # ascending
    offsets: array[int]  # of the local headers
    sizes: array[int]
    checks: array[int]  # CRC-32

    @staticmethod
    def of(archive: zipfile.ZipFile) -> Contents:
        """Read the directory; raises ValueError where it holds something else."""
        infos = [info for info in archive.infolist() if info.filename.endswith(".jpg")]
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
            raise ValueError("key frames are stored as they are")
        infos.sort(key=lambda info: float(info.filename[:-4]))
        return Contents(
            array("d", (float(info.filename[:-4]) for info in infos)),
            array("Q", (info.header_offset for info in infos)),
            array("Q", (info.file_size for info in infos)),
            array("Q", (info.CRC for info in infos)),
        )

    def number(self, at: float) -> int:
        """Of the frame that stands at `at`: the last one not later, else the first."""
        # Times are stored to the microsecond, so that the time a search gave finds its own frame.
        return max(0, bisect_right(self.times, at + 1e-6) - 1)

    def read(self, file: IO[bytes], number: int) -> bytes:
        """A frame of the archive, which is open; raises BadZipFile where it is damaged."""
        file.seek(self.offsets[number])
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or header[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile("no local header")
        file.seek(sum(_HEADER.unpack(header)[1:]), os.SEEK_CUR)
        data = file.read(self.sizes[number])
        if zlib.crc32(data) != self.checks[number]:
            raise zipfile.BadZipFile(f"bad CRC-32 of the frame at {self.times[number]:.6f}")
        return data


class FrameWriter:
    """Collects one video's key frames; nothing is visible before `commit`."""

    def __init__(self, target: Path) -> None:
        self._target = target
        # One writer per video and library (the library's lock), so the name need not be random; a leftover of a
        # killed run is simply overwritten.
        self._partial = target.with_suffix(".partial")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._partial.open("wb")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED)

    def add(self, at: float, data: bytes) -> None:
        """Append the JPEG of the sample at `at` seconds."""
        self._zip.writestr(f"{at:.6f}.jpg", data)

    def attach(self, name: str, data: bytes) -> None:
        """Lay something else that was taken from the video beside its frames."""
        self._zip.writestr(name, data)

    def commit(self) -> None:
        """Finish the archive and put it in place, atomically."""
        self._zip.close()
        self._file.close()
        os.replace(self._partial, self._target)  # noqa: PTH105 - replaces on Windows too

    def discard(self) -> None:
        """Throw away what was collected."""
        self._zip.fp = None  # nothing is to be finished, not even an `add` that was interrupted
        self._file.close()
        self._partial.unlink(missing_ok=True)


class FrameStore:
    """All key-frame archives of a library, under one directory."""

    url = ""  # of archives that lie elsewhere

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, video_id: str) -> Path:
        if not video_id.isalnum():  # ids are hex digests; nothing else may become part of a path
            raise NotIndexed(f"no such video: {video_id}")
        return self.root / video_id[:2] / f"{video_id}.zip"

    def writer(self, video_id: str) -> FrameWriter:
        """Start the archive of a video; an existing one stays until `commit`."""
        return FrameWriter(self._path(video_id))

    def times(self, video_id: str) -> list[float]:
        """The times of the key frames of a video, ascending.

        Raises:
            NotIndexed: there is no whole archive of this video.
        """
        return list(self._contents(video_id).times)

    def read(self, video_id: str, at: float) -> bytes:
        """The JPEG of the sample that stands at `at`: the last one not later, else the first.

        Raises:
            NotIndexed: there is no whole archive of this video.
        """
        (data,) = self.read_some(video_id, (at,))
        return data

    def read_some(self, video_id: str, times: Iterable[float]) -> Iterator[bytes]:
        """The same of several times; raises NotIndexed."""
        contents = self._contents(video_id)
        if not contents.times:
            raise NotIndexed(f"no key frames of video {video_id}")
        with self._open(video_id) as file:
            for at in times:
                yield contents.read(file, contents.number(at))

    def read_all(self, video_id: str) -> Iterator[tuple[float, bytes]]:
        """All key frames of a video as (time, JPEG), ascending; raises NotIndexed."""
        contents = self._contents(video_id)
        with self._open(video_id) as file:
            for number, time in enumerate(contents.times):
                yield time, contents.read(file, number)

    def attached(self, video_id: str, name: str) -> bytes | None:
        """What lies beside the frames of a video under this name.

        Raises:
            NotIndexed: there is no whole archive of this video.
        """
        self._stamp(video_id)
        try:
            with self._open(video_id) as file, zipfile.ZipFile(file) as archive:
                return archive.read(name) if name in archive.namelist() else None
        except (OSError, zipfile.BadZipFile) as error:
            raise NotIndexed(
                f"the archive of video {video_id} is broken", hint="run: footage doctor --repair"
            ) from error

    def delete(self, video_ids: Iterable[str]) -> None:
        """Remove archives; those that are not there are ignored."""
        for video_id in video_ids:
            self._path(video_id).unlink(missing_ok=True)

    def ids(self) -> set[str]:
        """The videos that have an archive."""
        return {p.stem for p in self.root.glob("*/*.zip")}

    def leftovers(self) -> list[Path]:
        """Archives that a killed run did not finish."""
        return sorted(self.root.glob("*/*.partial"))

    def sweep(self, known: Collection[str]) -> None:
        """Remove unfinished archives, and those of videos that are not known; only the writer may call it."""
        for leftover in self.leftovers():
            leftover.unlink(missing_ok=True)
        self.delete(self.ids() - set(known))

    def _open(self, video_id: str) -> IO[bytes]:
        return self._path(video_id).open("rb")

    def _contents(self, video_id: str) -> Contents:
        return _contents(str(self._path(video_id)), self._stamp(video_id))

    def _stamp(self, video_id: str) -> int:
        try:
            return self._path(video_id).stat().st_mtime_ns
        except OSError as error:
            raise NotIndexed(
                f"no key frames of video {video_id}", hint="footage doctor --repair finds what is missing"
            ) from error


@lru_cache(maxsize=256)
def _contents(path: str, _stamp: int) -> Contents:
    try:
        with zipfile.ZipFile(path) as archive:
            return Contents.of(archive)
    except (zipfile.BadZipFile, ValueError) as error:
        raise NotIndexed(f"the key-frame archive is broken: {path}", hint="run: footage doctor --repair") from error
