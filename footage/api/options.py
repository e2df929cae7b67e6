"""What `serve` is started with: where it listens, who may come in, and how much of everything."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from footage.errors import ConfigError
from footage.places import is_url, normal

_MIN_TOKEN = 16  # characters of a token that must stand against guessing over a network


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request and of what may wait; bytes, pixels and seconds as the names say."""

    json_bytes: int = 1 << 20
    picture_bytes: int = 48 << 20
    picture_pixels: int = 64_000_000  # decoded: any ordinary camera, and 200 MB as RGB
    clip_bytes: int = 512 << 20
    clip_seconds: float = 600.0
    clip_pixels: int = 36_000_000  # of one frame: 8K
    files: int = 8  # of one request
    parts: int = 16  # of one query
    query_files: int = 64  # alive at a time
    query_file_seconds: float = 3600.0  # they live so long after their last use
    video_bytes: int = 8 << 30  # of one request that adds videos
    uploads_bytes: int = 64 << 30  # of all videos added this way
    searches: int = 2  # at work at a time
    searches_waiting: int = 96
    decodes: int = 2
    decodes_waiting: int = 24
    reads: int = 8  # thumbnails and lists
    reads_waiting: int = 512
    work_seconds: float = 30.0  # for which a search or a list may take
    decode_seconds: float = 120.0
    idle_seconds: float = 30.0  # without a byte of the request's body
    rendition_seconds: float = 600.0  # of video in one rendition
    rendition_bytes: int = 2 << 30  # of all renditions on disk
    copies: int = 4  # copy searches at work or waiting: one is done at a time
    copy_work_seconds: float = 600.0
    export_work_seconds: float = 1800.0  # one is made at a time, beside the decodes that people wait for
    exports: int = 8  # with files on disk, at work or being downloaded
    export_moments: int = 200  # of one request
    export_seconds: float = 1200.0  # of video in the clips of one request
    export_bytes: int = 4 << 30  # of the files of one request
    download_seconds: float = 300.0  # for which a client may read nothing of its file
    jobs_waiting: int = 16
    sessions: int = 1000
    session_seconds: float = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How to serve one library."""

    host: str = "127.0.0.1"
    port: int = 8777
    token: str | None = None
    users: Mapping[str, str] = field(default_factory=dict[str, str])  # name -> argon2 hash
    allow_dirs: tuple[Path, ...] = ()  # only what lies in them can be indexed,
    allow_urls: tuple[str, ...] = ()  # or under them: a caller makes the server ask no other address
    shared: bool = False  # several servers of one library agree on logins, query files and jobs
    hosts: tuple[str, ...] = ()  # names by which the server is known, beside its address
    limits: Limits = field(default_factory=Limits)

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def guarded(self) -> bool:
        """Whether one must log in."""
        return self.token is not None or bool(self.users)

    def check(self) -> ServeOptions:
        """Return self if it is safe to start so.

        Raises:
            ConfigError: reachable from elsewhere without a token or users, or a token that can be guessed.
        """
        if not self.local and not self.guarded:
            raise ConfigError(
                f"{self.host} can be reached by others, so a password is needed",
                hint="add --token TOKEN or --users FILE, or leave out --host",
            )
        if self.token is not None and len(self.token) < _MIN_TOKEN:
            raise ConfigError(
                f"the token has {len(self.token)} characters, but needs at least {_MIN_TOKEN}",
                hint='for example: python -c "import secrets; print(secrets.token_urlsafe(24))"',
            )
        for folder in self.allow_dirs:
            if not folder.is_dir():
                raise ConfigError(f"no such folder: {folder}", hint="--allow-dir takes a folder that exists")
        for url in self.allow_urls:
            if normal(url) != url:
                raise ConfigError(f"not a URL to compare with: {url}", hint=f"write {normal(url)}")
        return self

    @classmethod
    def allowing(cls, given: Sequence[str]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        """What may be indexed, as (folders, URLs).

        Raises:
            ConfigError: a URL that cannot be read, or holds a secret.
        """
        return (
            tuple(Path(each).absolute() for each in given if not is_url(each)),
            tuple(normal(each) for each in given if is_url(each)),
        )


def is_loopback(host: str) -> bool:
    """Whether an address or name is of this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_users(path: Path) -> dict[str, str]:
    """Read `name:hash` lines; empty ones and those that begin with # are left out.

    Raises:
        ConfigError: it cannot be read, or a line is not of that form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the users' file {path}: {error}") from error
    users: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, hashed = line.strip().partition(":")
        if not name or not hashed.startswith("$argon2"):
            raise ConfigError(
                f"line {number} of {path} is not NAME:HASH", hint="footage serve --hash-password prints a hash"
            )
        users[name] = hashed
    if not users:
        raise ConfigError(f"no users in {path}", hint="a line is NAME:HASH; see footage serve --hash-password")
    return users
