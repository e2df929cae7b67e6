"""Reading a remote file by ranges: what was fetched is kept for a while, and more is fetched where it is read in order.

Measured with `bench/remote.py`: an MP4 whose index stands at its end costs one request more than one whose index stands
at its start, and a still from the middle costs four or five in all.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Protocol

from footage.errors import MediaUnreachable, UnsupportedMedia

BLOCK = 256 << 10  # bytes: what a first look at a container reads at its head and its end
_AHEAD = 32  # blocks: 8 MB at most in one request, some 60 ms of a fast line
_KEPT = 64  # blocks in memory: 16 MB, twice the longest request
_STREAMS = 4  # runs that are followed at once: pictures and sound may lie far apart
_SLOW = 3.0  # seconds that a request should take at most: on a slow line fewer blocks are asked for
_ROOM = 1 << 30  # bytes that a spool leaves free on its disk
_PIECE = 1 << 20  # bytes of a download that are written at a time


class Source(Protocol):
    """Where the bytes come from."""

    @property
    def url(self) -> str:
        """For messages."""
        ...

    @property
    def ranges(self) -> bool:
        """Whether it can send any part, and not only the whole from its start."""
        ...

    def fetch(self, start: int, end: int) -> bytes:
        """Bytes [start, end); raises MediaError, and `NoRanges` where only the whole can be had."""
        ...

    def whole(self) -> Iterator[bytes]:
        """All of it in order, in pieces; raises MediaError."""
        ...


class NoRanges(Exception):
    """The server sends the whole file only."""


@dataclass(slots=True)
class Spool:
    """Scratch on disk for one remote file that is read several times: it is fetched once, and gone when closed.

    The file has no name on POSIX systems, so that a killed process leaves nothing behind.
    """

    limit: int = 4 << 30  # bytes; a larger file is read by ranges as often as needed
    _file: IO[bytes] | None = None
    have: set[int] = field(default_factory=set[int])  # numbers of blocks

    def holds(self, size: int) -> bool:
        """Whether a file of this size may be kept."""
        free = shutil.disk_usage(tempfile.gettempdir()).free
        return size <= self.limit and size + _ROOM <= free

    @property
    def file(self) -> IO[bytes]:
        """The file, made on first use."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="footage-")  # noqa: SIM115 - closed by close()
        return self._file

    def close(self) -> None:
        """Give the room back."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self.have.clear()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Blocks:
    """The bytes of one remote file of a known size. Safe between threads, of which one fetches at a time."""

    def __init__(self, source: Source, size: int, *, spool: Spool | None = None, own: int = 0) -> None:
        """With a `spool`, all that is fetched is kept there.

        Of a server without ranges everything must be kept: without a spool one of at most `own` bytes is made for it.
        """
        self.size = size
        self._source = source
        self._spool = spool if spool is not None and spool.holds(size) else None
        self._own = own
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._runs: deque[tuple[int, int]] = deque(maxlen=_STREAMS)  # (next block, blocks of the last request)
        self._most = _AHEAD
        self._lock = threading.Lock()

    def read(self, at: int, count: int) -> bytes:
        """Bytes [at, at + count), fewer at the end.

        Raises MediaError.
        """
        end = min(at + count, self.size)
        if at >= end:
            return b""
        parts: list[bytes] = []
        with self._lock:
            for number in range(at // BLOCK, (end - 1) // BLOCK + 1):
                first = number * BLOCK
                block = self._block(number, (end - 1) // BLOCK)
                parts.append(block[max(0, at - first) : end - first])
        return b"".join(parts)

    def _block(self, number: int, last: int) -> bytes:
        found = self._found(number)
        if found is None:
            if self._source.ranges:
                try:
                    self._fetch(number, last)
                except NoRanges:
                    self._download(number)
            else:
                self._download(number)
            found = self._found(number)
        assert found is not None, "what was fetched is there"
        return found

    def _found(self, number: int) -> bytes | None:
        spool = self._spool
        if spool is not None:
            if number not in spool.have:
                return None
            spool.file.seek(number * BLOCK)
            return spool.file.read(BLOCK)
        block = self._kept.get(number)
        if block is not None:
            self._kept.move_to_end(number)
        return block

    def _keep(self, number: int, data: bytes) -> None:
        if self._spool is not None:
            self._spool.file.seek(number * BLOCK)
            self._spool.file.write(data)
            self._spool.have.update(range(number, number + -(-len(data) // BLOCK)))
            return
        for offset in range(0, len(data), BLOCK):
            self._kept[number + offset // BLOCK] = data[offset : offset + BLOCK]
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    def _fetch(self, number: int, last: int) -> None:
        """Fetch a block, what is wanted with it, and what probably comes next."""
        run = next((r for r in self._runs if r[0] == number), None)
        wanted = min(max(last - number + 1, 2 * run[1] if run is not None else 1), self._most)
        end = number + 1
        while end < number + wanted and end * BLOCK < self.size and self._missing(end):
            end += 1
        started = time.monotonic()
        data = self._source.fetch(number * BLOCK, min(end * BLOCK, self.size))
        took = time.monotonic() - started
        if took > _SLOW:
            self._most = max(1, int((end - number) * _SLOW / took))
        elif self._most < _AHEAD and took < _SLOW / 2:
            self._most = min(_AHEAD, 2 * self._most)
        if run is not None:
            self._runs.remove(run)
        self._runs.append((end, end - number))
        self._keep(number, data)

    def _missing(self, number: int) -> bool:
        return number not in (self._spool.have if self._spool is not None else self._kept)

    def _download(self, number: int) -> None:
        """Fetch the whole, since nothing less can be had; all of it is kept."""
        if self._spool is None:
            own, url = Spool(self._own), self._source.url
            if not own.holds(self.size):
                raise UnsupportedMedia(
                    f"its server sends it only as a whole ({self.size >> 20} MB): {url}",
                    uri=url,
                    hint="download it, and give the copy; or free some space for temporary files (TMPDIR)",
                )
            self._spool = own
        at, held = 0, bytearray()
        for piece in self._source.whole():
            held += piece
            if len(held) >= _PIECE:
                whole = len(held) // BLOCK * BLOCK
                self._keep(at // BLOCK, bytes(held[:whole]))
                at, held = at + whole, held[whole:]
        if held:
            self._keep(at // BLOCK, bytes(held))
        if self._missing(number):
            url = self._source.url
            raise MediaUnreachable(f"cut off by its server at {at + len(held)} of {self.size} bytes: {url}", uri=url)


class BlockFile(io.RawIOBase):
    """A file object over blocks, for libav, Pillow and zipfile."""

    def __init__(self, blocks: Blocks, name: str) -> None:
        super().__init__()
        self.name = name
        self._blocks = blocks
        self._at = 0
        self._failed = False

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._blocks.size

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place; beyond the end nothing is read."""
        base = {0: 0, 1: self._at, 2: self._blocks.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """The place in bytes."""
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes; raises MediaError."""
        if self._failed:  # libav asks again after an error, and can carry only one of them
            return b""
        count = self._blocks.size - self._at if size is None or size < 0 else size
        try:
            data = self._blocks.read(self._at, count)
        except BaseException:
            self._failed = True
            raise
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        """What is left."""
        return self.read(-1)

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Fill a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
