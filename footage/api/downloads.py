"""Files made for one request: where they are made, how they are sent, and that they are gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
import time
import unicodedata
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import ClassVar, Protocol
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from footage.api.faults import Busy, RequestRefused

_CHUNK = 256 << 10
_LEFT_BEHIND = 24 * 3600.0  # seconds: an older folder is of a server that was killed
_UNRESERVED = "!#$&+^`|"  # beside letters, digits and _.-~, as RFC 8187 has it


class ClientLeft(RequestRefused):
    """Nobody waits for the answer any more; the status is for the figures alone."""

    http_status: ClassVar[int] = 499


class Waited(Protocol):
    """Work that somebody waits for."""

    over: bool  # nobody does any more: stop at the next good place


class Scratch:
    """A folder for one request, which the thread that fills it and the answer that sends it have in common.

    Work that is given up goes on for a while, so whichever of the two ends last removes the folder.
    """

    def __init__(self, root: Path, done: threading.Semaphore) -> None:
        self._root, self._done = root, done
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._busy = self._closed = False
        self.over = False  # nobody waits for it any more: stop at the next good place

    @contextmanager
    def filling(self) -> Generator[Path]:
        """Make the folder, for the time of the work.

        Raises ClientLeft: it is over before it began.
        """
        with self._lock:
            if self.over or self._closed:
                raise ClientLeft("the client has left")
            self._busy = True
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(dir=self._root))
            yield self._folder
        finally:
            with self._lock:
                self._busy = False
                last = self._closed
            if last:
                self._remove()

    def check(self) -> None:
        """Raise ClientLeft when nobody waits for the work any more."""
        if self.over:
            raise ClientLeft("the client has left")

    def close(self) -> None:
        """The answer is sent, or nobody waits for it."""
        with self._lock:
            last = not self._busy and not self._closed
            self._closed = self.over = True
        if last:
            self._remove()

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._done.release()


class Scratches:
    """Hands out folders, so many at a time."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root = root
        self._free = threading.Semaphore(limit)

    def new(self) -> Scratch:
        """A folder for a request, whose place is taken until it is closed.

        Raises Busy: as many are at work or being sent as may be.
        """
        if not self._free.acquire(blocking=False):
            raise Busy("too many exports at the same time", hint="wait until one of them is downloaded")
        return Scratch(self.root, self._free)

    def sweep(self) -> None:
        """Remove what servers left that were killed. Another one may be at work beside this, so young folders stay."""
        with contextlib.suppress(OSError):
            for folder in self.root.iterdir():
                if folder.stat().st_mtime < time.time() - _LEFT_BEHIND:
                    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def watching(receive: Receive, work: Waited) -> AsyncGenerator[None]:
    """Note when the client leaves; only once its request was read."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        work.over = True

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Download(Response):
    """A file of a scratch folder as an attachment; the folder is closed when it was sent, or the client has left."""

    def __init__(
        self,
        file: Path,
        name: str,
        media_type: str,
        scratch: Scratch,
        *,
        idle_seconds: float,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self._path, self._scratch, self._idle = file, scratch, idle_seconds
        self.headers["content-disposition"] = attachment(name)
        self.headers["content-length"] = str(file.stat().st_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, as long as somebody reads."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async with watching(receive, self._scratch), await anyio.open_file(self._path, "rb") as file:
                while not self._scratch.over and (chunk := await file.read(_CHUNK)):
                    with anyio.fail_after(self._idle):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if not self._scratch.over:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            return  # the server ends a connection whose answer is not whole
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._scratch.close)


def attachment(name: str) -> str:
    """Content-Disposition of a file to be saved (RFC 6266): its name in UTF-8, and in ASCII for old programs."""
    name = "".join(c if c.isprintable() and c not in '/\\"' else "_" for c in name)
    folded = unicodedata.normalize("NFKD", name)
    # Some programs take a percent sign in the plain form for an escape.
    plain = "".join(c if " " <= c <= "~" and c not in '%"\\/' else "_" for c in folded)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_UNRESERVED)}"
