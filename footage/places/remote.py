"""Places: paths and URLs with the same few methods, what lies there now, and what lies under them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, TypeAlias, cast
from urllib.parse import urlsplit

from footage.errors import FootageError, MediaDenied, MediaError, MediaNotFound, MediaUnreachable, UnsupportedMedia
from footage.places import system
from footage.places.address import climbs, is_url, normal, path_of, scheme_of
from footage.places.blocks import BlockFile, Blocks, Spool
from footage.types import MediaFile

_SHARED = 6  # files of which some blocks are kept, at most 16 MB each
_OWN_SPOOL = 4 << 30  # bytes of a file that a server sends only as a whole
_DEPTH, _LINKS = 16, 100_000  # of index pages, which may lead in a circle


class Remote:
    """A file behind a URL. As a Path it has a name, opens for reading, and is written as it was given."""

    __slots__ = ("_file", "_ranges", "_spool", "url")

    def __init__(self, url: str, *, spool: Spool | None = None, known: MediaFile | None = None) -> None:
        """`url` as `normal` gives it. With a `spool`, what is read is kept there and not read again.

        `known` is what a listing told of it.
        """
        self.url = url
        self._spool = spool
        self._file = known
        self._ranges = True

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return path_of(self.url).name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return path_of(self.url).stem

    @property
    def suffix(self) -> str:
        """The suffix of its name, with the dot."""
        return path_of(self.url).suffix

    def as_uri(self) -> str:
        """The URL."""
        return self.url

    def as_posix(self) -> str:
        """The URL."""
        return self.url

    def look(self) -> MediaFile:
        """Ask for size and mark.

        Raises:
            MediaNotFound: there is no such file, or it may not be read.
            MediaUnreachable: nobody can tell now.
            UnsupportedMedia: it is a folder.
        """
        info = cast(
            "dict[str, Any]",
            system.ask(self.url, lambda fs, seconds: system.called(fs, "info", _own(fs, self.url), timeout=seconds)),
        )
        if info.get("type") == "directory":
            raise UnsupportedMedia(f"a folder, not a file: {self.url}", uri=self.url)
        if info.get("size") is None:
            raise MediaUnreachable(
                f"its server does not tell its size: {self.url}", uri=self.url, hint="download it, and give the copy"
            )
        self._ranges = info.get("partial", True) is not False
        self._file = _described(self.url, info)
        return self._file

    @property
    def known(self) -> MediaFile:
        """What it was when it was first looked at or listed; raises as `look` does."""
        return self._file or self.look()

    @property
    def size_bytes(self) -> int:
        """Its size when it was first looked at."""
        return self.known.size_bytes

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open for reading by ranges; raises MediaError, as reading does."""
        if mode != "rb":
            raise ValueError(f"a URL opens for reading only, not {mode!r}")
        file = self.known
        if self._spool is not None:
            blocks = _blocks_of(self.url, file, self._ranges, self._spool)
        else:
            blocks = _shared(self.url, file.size_bytes, file.mtime_ns, self._ranges, os.getpid())
        return cast("IO[bytes]", BlockFile(blocks, self.url))

    def put(self, file: Path) -> None:
        """Store a file there, whole or not at all, in the place of what was there.

        Raises MediaDenied or MediaUnreachable.
        """
        size = file.stat().st_size
        system.ask(self.url, lambda fs, _: fs.put_file(str(file), _own(fs, self.url)), size=lambda _: size)
        self._file = None

    def remove(self) -> None:
        """Remove it, if it is there.

        Raises MediaDenied or MediaUnreachable.
        """
        try:
            system.ask(self.url, lambda fs, _: fs.rm_file(_own(fs, self.url)))
        except MediaDenied:
            raise
        except MediaNotFound:
            return


Place: TypeAlias = Path | Remote
"""Where a file is."""


def place(where: str | Path | Remote) -> Place:
    """The place that a path or a URL names.

    Raises:
        ConfigError: a URL that cannot be read, or holds a secret.
    """
    if isinstance(where, str):
        return Remote(normal(where)) if is_url(where) else Path(where)
    return where


def as_text(where: str | Path | Remote) -> str:
    """A place as the library writes it down: a path from the root with forward slashes, or a URL."""
    if isinstance(where, str) and is_url(where):
        return normal(where)
    return where.url if isinstance(where, Remote) else absolute(where).as_posix()


def absolute(path: str | Path) -> Path:
    """The path from the root, without `..` and `~`; links stay as they are, since their names are the user's."""
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - pathlib's absolute() keeps the `..`


def look(where: str | Path | Remote) -> MediaFile:
    """What lies at a place now.

    Of an object the mark is its time in whole seconds, all that services tell, and in the place of the fraction a
    digest of its ETag: one that was written twice within a second is another one all the same.

    Raises:
        MediaNotFound: there is no such file, or it may not be read.
        MediaUnreachable: the service that holds it gives no answer.
        UnsupportedMedia: a folder, a pipe or a device.
    """
    found = place(where)
    if isinstance(found, Remote):
        return found.look()
    try:
        facts = found.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character in it
        reason = getattr(error, "strerror", None) or str(error)
        gone = MediaNotFound if isinstance(error, (FileNotFoundError, NotADirectoryError)) else MediaDenied
        raise gone(f"cannot read: {where}: {reason}", uri=str(where)) from error
    if not stat.S_ISREG(facts.st_mode):  # a pipe or a device might never end
        raise UnsupportedMedia(f"not a regular file: {where}", uri=str(where))
    return MediaFile(str(where), facts.st_size, facts.st_mtime_ns)


def is_gone(where: str) -> bool:
    """Whether there certainly is no such file: one that cannot be reached, or not be read, is not gone."""
    try:
        look(where)
    except MediaDenied:
        return False
    except MediaNotFound:
        return True
    except FootageError:
        return False
    return False


def is_as_it_was(file: MediaFile) -> bool:
    """Whether the file is there and has the size and the mark that were written down."""
    try:
        return look(file.path) == file
    except MediaError:
        return False


def is_folder(where: str) -> bool:
    """Whether a place that is named holds files, and is none itself. Of HTTP a slash at the end tells.

    Raises MediaNotFound or MediaUnreachable.
    """
    if not is_url(where):
        return Path(where).is_dir()
    url = normal(where)
    if scheme_of(url) in ("http", "https"):
        return where.partition("?")[0].endswith("/") or not urlsplit(url).path
    info = cast("dict[str, Any]", system.ask(url, lambda fs, s: system.called(fs, "info", _own(fs, url), timeout=s)))
    return info.get("type") == "directory"


def folder(where: str) -> Iterator[Remote]:
    """The files under a URL, sorted by name; what begins with a dot is left out.

    Raises MediaNotFound or MediaUnreachable.
    """
    url = normal(where)
    if scheme_of(url) in ("http", "https"):
        yield from (Remote(link) for link in _links(url))
        return
    found = cast(
        "dict[str, dict[str, Any]]",
        system.ask(url, lambda fs, _: fs.find(_own(fs, url), detail=True)),
    )
    root = url + "/"
    for name in sorted(found):
        info = found[name]
        full = _full(url, str(name))
        if info.get("type") != "file" or full.endswith("/") or not full.startswith(root):
            continue
        if any(part.startswith(".") for part in full[len(root) :].split("/")):
            continue
        yield Remote(full, known=_described(full, info))


def subfolders(where: str, limit: int) -> list[str]:
    """The URLs of the folders in a folder, hidden ones left out, in the order of their names.

    Raises MediaNotFound or MediaUnreachable.
    """
    url = normal(where)
    out: list[str] = []
    is_web = scheme_of(url) in ("http", "https")
    own = url + "/" if is_web else None
    found = cast(
        "list[dict[str, Any]]",
        system.ask(url, lambda fs, s: system.called(fs, "ls", own or _own(fs, url), detail=True, timeout=s)),
    )
    for info in found:
        full = str(info["name"]) if is_web else _full(url, str(info["name"]))
        name = full[len(url) + 1 :].rstrip("/")
        is_below = info.get("type") == "directory" and full.startswith(url + "/") and not climbs(full)
        if is_below and name and not name.startswith(".") and "/" not in name:
            out.append(f"{url}/{name}")
    return sorted(out)[:limit]


def _links(url: str) -> list[str]:
    """Files that index pages link to, below this one."""
    files: set[str] = set()
    pages, seen = [(url, 0)], {url}
    while pages and len(seen) < _LINKS:
        page, depth = pages.pop()
        found = cast(
            "list[str]",
            system.ask(page, lambda fs, s, p=page: system.called(fs, "ls", p + "/", detail=False, timeout=s)),
        )
        for link in found:
            clean = link.partition("#")[0]
            if "?" in clean or not clean.startswith(page + "/") or climbs(clean):
                continue
            if path_of(clean).name.startswith("."):
                continue
            if clean.endswith("/"):
                below = clean.rstrip("/")
                if below not in seen and depth < _DEPTH:
                    seen.add(below)
                    pages.append((below, depth + 1))
            else:
                files.add(clean)
    return sorted(files)


def _own(fs: Any, url: str) -> str:
    """The path as the file system itself calls it."""
    return cast("str", fs._strip_protocol(url))


def _full(url: str, name: str) -> str:
    """The URL of what a listing of `url` calls `name`."""
    scheme, _, rest = url.partition("://")
    if scheme == "sftp":
        return f"sftp://{rest.partition('/')[0]}/{name.lstrip('/')}"
    if scheme in ("abfs", "abfss"):  # listed as container/path, without the account
        return f"{scheme}://{rest.partition('/')[0]}/{name.partition('/')[2]}"
    return f"{scheme}://{name}"


def _described(url: str, info: dict[str, Any]) -> MediaFile:
    times = (info.get(name) for name in ("LastModified", "last_modified", "updated", "mtime", "Last-Modified"))
    ns = next((ns for t in times if (ns := _nanoseconds(t))), 0)
    etag = str(info.get("ETag") or info.get("etag") or "")
    if etag:
        mark = int.from_bytes(sha256(etag.encode()).digest()[:8], "big") % 1_000_000_000
        ns = ns // 1_000_000_000 * 1_000_000_000 + mark
    return MediaFile(url, int(info["size"]), ns)


def _nanoseconds(time: object) -> int:
    if isinstance(time, str):
        try:
            time = parsedate_to_datetime(time) if "," in time else datetime.fromisoformat(time)
        except ValueError:
            return 0
    if isinstance(time, datetime):
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        return int(time.timestamp()) * 1_000_000_000 + time.microsecond * 1000
    return int(time * 1_000_000_000) if isinstance(time, (int, float)) else 0


def _blocks_of(url: str, file: MediaFile, ranges: bool, spool: Spool | None) -> Blocks:
    return Blocks(system.Reader(url, file.size_bytes, ranges), file.size_bytes, spool=spool, own=_OWN_SPOOL)


@lru_cache(maxsize=_SHARED)
def _shared(url: str, size: int, mark: int, ranges: bool, _process: int) -> Blocks:
    """The blocks that all readers of one object share; another mark is another object."""
    return _blocks_of(url, MediaFile(url, size, mark), ranges, None)
