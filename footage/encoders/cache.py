"""Derived files kept between runs: the built graph and the text index. Losing one only costs the time to build it."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_DIGEST_BYTES = 32  # sha256, in front of the payload, so that a cut or changed file is noticed


def default_dir() -> Path:
    """Return the user's cache folder for Footage, by the custom of the operating system."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "footage"


def cached(folder: Path | None, name: str, build: Callable[[], bytes]) -> bytes:
    """Return the payload of `folder/name`; build and store it when it is absent, cut short or changed.

    A folder that cannot be written is no error: the payload is then built on each run.
    """
    path = folder_or_default(folder) / name
    payload = _read(path)
    if payload is None:
        payload = build()
        _write(path, payload)
    return payload


def folder_or_default(folder: Path | None) -> Path:
    """Return the folder, or the user's cache folder, or a temporary one where there is no home."""
    if folder is not None:
        return folder
    try:
        return default_dir()
    except RuntimeError:  # no home directory: some containers and services
        return Path(tempfile.gettempdir()) / "footage"


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return payload if hashlib.sha256(payload).digest() == digest else None


def _write(path: Path, payload: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(hashlib.sha256(payload).digest())
            file.write(payload)
        temporary.replace(path)  # atomic: another process sees the whole file or none
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
