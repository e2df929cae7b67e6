"""Files that come in: streamed to disk part by part with a limit on each, checked, and removed when their time is over.

The body is read through python-multipart's push parser as it arrives, so memory does not depend on its size and a file
that is too large is refused while it is still coming.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import anyio.to_thread
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from footage.api.faults import Busy, Invalid, NotFound, TooLarge
from footage.api.options import Limits
from footage.errors import MediaError, UnsupportedMedia
from footage.media.checks import clip_extent, picture_size
from footage.places import Place, look

Kind = Literal["image", "video"]
_FIELD_BYTES = 256 << 10  # of an ordinary form field
_FIELDS = 32
_HEADER_BYTES = 8 << 10  # of one part
_MAX_RATE = 240  # pictures a second: more of them in a query clip are an attack, not a camera
_NAME_BYTES = 180  # most file systems take 255


@dataclass(slots=True)
class Received:
    """One file of a form."""

    field: str
    name: str  # as the client calls it, made safe
    path: Path
    size_bytes: int = 0


@dataclass(slots=True)
class Form:
    """A form that was read: its plain fields, and its files on disk."""

    fields: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    files: list[Received] = field(default_factory=list[Received])


def safe_name(name: str) -> str:
    """A file name that any system can keep: no folders, no control or reserved characters, not hidden, not too long."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join("_" if unicodedata.category(c)[0] == "C" or c in '<>:"|?*' else c for c in name).strip(" .")
    if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name):
        name = "_" + name
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    suffix = suffix.encode()[:16].decode(errors="ignore")
    stem = stem.encode()[: _NAME_BYTES - len(suffix.encode())].decode(errors="ignore")
    return (f"{stem}.{suffix}" if suffix else stem) or "file"


def renamed(error: MediaError, path: Place, name: str) -> MediaError:
    """The same error, with the client's name of the file in the place of ours."""
    error.message = error.message.replace(str(path), name)
    error.args = (error.message,)
    error.uri = name
    return error


@contextmanager
def known_as(path: Place, name: str) -> Generator[None]:
    """Name a file in errors as the client knows it."""
    try:
        yield
    except MediaError as error:
        if error.uri == str(path):
            renamed(error, path, name)
        raise


class _Reader:
    """Callbacks of the parser; they gather, the loop in `receive` writes."""

    def __init__(self, folder: Path, limits: Limits, each_bytes: int) -> None:
        self.folder, self.limits, self.each_bytes = folder, limits, each_bytes
        self.form = Form()
        self._header_name, self._header_value = b"", b""
        self._headers: dict[str, bytes] = {}
        self._file: Received | None = None
        self._out: IO[bytes] | None = None
        self._field, self._value = "", bytearray()
        self.ended = False

    def on_part_begin(self) -> None:
        self._headers = {}

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        self._check_header()

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self._check_header()

    def on_header_end(self) -> None:
        self._headers[self._header_name.decode("latin-1").lower()] = self._header_value
        self._header_name, self._header_value = b"", b""

    def on_headers_finished(self) -> None:
        kind, options = parse_options_header(self._headers.get("content-disposition", b""))
        name = options.get(b"name")
        if kind != b"form-data" or name is None:
            raise Invalid("a part of the form has no name")
        if len(self.form.files) + sum(len(v) for v in self.form.fields.values()) >= _FIELDS:
            raise TooLarge(f"more than {_FIELDS} parts in the form")
        self._field = name.decode("utf-8", "replace")[:200]
        if b"filename" not in options:
            return
        if len(self.form.files) >= self.limits.files:
            raise TooLarge(f"more than {self.limits.files} files at a time", hint="send them in several requests")
        shown = safe_name(options[b"filename"].decode("utf-8", "replace"))
        path = self.folder / f"{secrets.token_hex(16)}.part"
        self._file = Received(self._field, shown, path)
        self.form.files.append(self._file)
        self._out = path.open("xb")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None or self._out is None:
            self._value += data[start:end]
            if len(self._value) > _FIELD_BYTES:
                raise TooLarge(f"the field {self._field} is larger than {_FIELD_BYTES >> 10} KB")
            return
        self._file.size_bytes += end - start
        if self._file.size_bytes > self.each_bytes:
            raise TooLarge(
                f"{self._file.name} is larger than {self.each_bytes >> 20} MB", hint="send a smaller or shorter one"
            )
        self._out.write(data[start:end])

    def on_part_end(self) -> None:
        if self._out is not None:
            self._out.close()
        else:
            self.form.fields.setdefault(self._field, []).append(self._value.decode("utf-8", "replace"))
        self._file, self._out, self._value = None, None, bytearray()

    def on_end(self) -> None:
        self.ended = True

    def close(self) -> None:
        """Close what is open, whatever happened."""
        if self._out is not None:
            self._out.close()

    def _check_header(self) -> None:
        if len(self._header_name) + len(self._header_value) > _HEADER_BYTES:
            raise TooLarge("the headers of a part are too long")


async def receive(request: Request, folder: Path, limits: Limits, *, each_bytes: int) -> Form:
    """Read a multipart form; its files lie in `folder` under random names, which the caller removes.

    Raises:
        Invalid: it is no multipart form, or is cut off.
        TooLarge: a file or a field is larger than may be, or there are too many.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Invalid("not a multipart form", hint="send multipart/form-data")
    reader = _Reader(folder, limits, each_bytes)
    parser = MultipartParser(
        options[b"boundary"],
        {
            "on_part_begin": reader.on_part_begin,
            "on_header_field": reader.on_header_field,
            "on_header_value": reader.on_header_value,
            "on_header_end": reader.on_header_end,
            "on_headers_finished": reader.on_headers_finished,
            "on_part_data": reader.on_part_data,
            "on_part_end": reader.on_part_end,
            "on_end": reader.on_end,
        },
    )
    try:
        async for chunk in _gathered(request.stream()):
            await anyio.to_thread.run_sync(parser.write, chunk)
        parser.finalize()
    except MultipartParseError as error:
        raise Invalid(f"the form is damaged: {error}") from error
    except OSError as error:
        raise TooLarge(f"cannot keep the file: {error.strerror}", hint="there is no room on the server") from error
    finally:
        reader.close()
    if not reader.ended:
        raise Invalid("the form ends before its end")
    return reader.form


async def _gathered(stream: AsyncIterator[bytes], size: int = 1 << 20) -> AsyncIterator[bytes]:
    """Fewer, larger chunks: each is written on a thread."""
    held = bytearray()
    async for chunk in stream:
        held += chunk
        if len(held) >= size:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


@dataclass(slots=True)
class QueryFile:
    """A picture or clip that was sent to be searched with."""

    id: str
    kind: Kind
    name: str
    path: Path
    width: int
    height: int
    seconds: float
    expires: float  # unix time


class QueryFiles:
    """Keeps query files for a while, so that a query can name them; all are gone when the server ends."""

    def __init__(self, limits: Limits, now: Callable[[], float] = time.time, *, folder: Path | None = None) -> None:
        self.limits = limits
        self.folder = folder or Path(tempfile.mkdtemp(prefix="footage-query-"))
        self._now = now
        self._lock = threading.Lock()
        self._files: dict[str, QueryFile] = {}

    def check(self, path: Place, name: str) -> tuple[Kind, int, int, float]:
        """Tell (kind, width, height, seconds) of a file, by its content.

        Raises:
            TooLarge: more pixels or seconds than a query may have.
            MediaError: neither a picture nor a video, or damaged.
        """
        limits = self.limits
        try:
            width, height = picture_size(path)
        except UnsupportedMedia:
            with known_as(path, name):
                return self._check_clip(path, name)
        except MediaError as error:
            raise renamed(error, path, name) from error
        if look(path).size_bytes > limits.picture_bytes:
            raise TooLarge(f"{name} is larger than {limits.picture_bytes >> 20} MB", hint="send a smaller picture")
        if width * height > limits.picture_pixels:
            raise TooLarge(
                f"{name} has {width} x {height} pixels, but at most {limits.picture_pixels // 1_000_000} million "
                "are decoded",
                hint="scale it down first",
            )
        return "image", width, height, 0.0

    def _check_clip(self, path: Place, name: str) -> tuple[Kind, int, int, float]:
        limits = self.limits
        deadline = time.monotonic() + limits.work_seconds

        def beat() -> None:
            if time.monotonic() > deadline:
                raise TooLarge(f"{name} takes too long to read", hint="send a shorter clip")

        seconds, pictures, width, height = clip_extent(path, beat)
        if seconds > limits.clip_seconds or pictures > limits.clip_seconds * _MAX_RATE:
            raise TooLarge(
                f"{name} lasts {seconds:.0f} s, but a query clip may last {limits.clip_seconds:.0f} s",
                hint="cut out the part to look for",
            )
        if width * height > limits.clip_pixels:
            raise TooLarge(f"{name} has {width} x {height} pixels, which is more than 8K", hint="scale it down first")
        return "video", width, height, seconds

    def keep(self, received: Received) -> QueryFile:
        """Check a file and keep it under an id.

        Raises:
            TooLarge, MediaError: as `check` does.
            Busy: as many are kept as may be.
        """
        kind, width, height, seconds = self.check(received.path, received.name)
        with self._lock:
            self._sweep()
            if len(self._files) >= self.limits.query_files:
                raise Busy("too many query files are kept", hint="remove some, or wait until they expire")
            new = secrets.token_urlsafe(12)
            path = received.path.rename(self.folder / f"{new}.{'img' if kind == 'image' else 'vid'}")
            expires = self._now() + self.limits.query_file_seconds
            self._files[new] = QueryFile(new, kind, received.name, path, width, height, seconds, expires)
            return self._files[new]

    def get(self, file_id: str) -> QueryFile:
        """Look one up; its time begins anew.

        Raises:
            NotFound: there is none, or its time is over.
        """
        with self._lock:
            self._sweep()
            found = self._files.get(file_id)
            if found is None:
                raise NotFound("no such query file, or its time is over", hint="send it again")
            found.expires = self._now() + self.limits.query_file_seconds
            return found

    def remove(self, file_id: str) -> None:
        """Remove one; raises NotFound."""
        self.get(file_id)
        with self._lock:
            found = self._files.pop(file_id, None)
            if found is not None:
                found.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _sweep(self) -> None:
        now = self._now()
        for file_id in [i for i, f in self._files.items() if f.expires < now]:
            self._files.pop(file_id).path.unlink(missing_ok=True)
