"""Bytes of an open file, whole or in a range (RFC 9110, section 14), so that a browser can seek in it.

The file is opened and checked once and read through that handle: what stands at its path later does not matter.
"""

from __future__ import annotations

import os
import re
from email.utils import formatdate
from typing import IO, Literal

import anyio
import anyio.to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from footage.types import MediaFile

_CHUNK = 256 << 10


class RangedFile(Response):
    """Answer GET and HEAD with a file; closes it when done."""

    def __init__(self, file: IO[bytes], media_type: str, *, known: MediaFile | None = None, max_age: int = 0) -> None:
        """`known` is what a remote file is, which has no handle to ask."""
        super().__init__(media_type=media_type)
        self._file = file
        if known is None:
            facts = os.fstat(file.fileno())
            known = MediaFile("", facts.st_size, facts.st_mtime_ns)
        self.size = known.size_bytes
        self.headers["etag"] = f'"{known.size_bytes:x}-{known.mtime_ns:x}"'
        self.headers["last-modified"] = formatdate(known.mtime_ns / 1e9, usegmt=True)
        self.headers["accept-ranges"] = "bytes"
        self.headers["cache-control"] = f"private, max-age={max_age}" if max_age else "private, no-cache"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the whole file, the asked part of it, or 304 or 416."""
        asked = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        start, end = 0, self.size
        self.status_code = 200
        if asked.get("if-none-match") == self.headers["etag"]:
            self.status_code, end = 304, 0
        elif asked.get("range") and asked.get("if-range", self.headers["etag"]) in (
            self.headers["etag"],
            self.headers["last-modified"],
        ):
            found = parse_range(asked["range"], self.size)
            if isinstance(found, str):
                self.status_code, end = 416, 0
                self.headers["content-range"] = f"bytes */{self.size}"
            elif found is not None:
                start, end = found
                self.status_code = 206
                self.headers["content-range"] = f"bytes {start}-{end - 1}/{self.size}"
        if self.status_code != 304:
            self.headers["content-length"] = str(end - start)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                end = start
            await self._send(send, start, end)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._file.close)

    async def _send(self, send: Send, start: int, end: int) -> None:
        while start < end:
            chunk = await anyio.to_thread.run_sync(self._read, start, min(_CHUNK, end - start))
            if not chunk:  # cut short meanwhile: end the connection rather than promise more
                raise OSError("the file became shorter while it was sent")
            start += len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _read(self, start: int, count: int) -> bytes:
        self._file.seek(start)
        return self._file.read(count)


def parse_range(header: str, size: int) -> tuple[int, int] | Literal["unsatisfiable"] | None:
    """The half-open range that a Range header asks for; None to send all of it, 'unsatisfiable' if it has none of it.

    What is not understood (other units, several ranges) is answered with the whole, as the standard allows.
    """
    match = re.fullmatch(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", header)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
        return (start, end) if start < end else "unsatisfiable"
    start = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    if match[2] and int(match[2]) < start:
        return None
    return (start, end) if start < size else "unsatisfiable"
