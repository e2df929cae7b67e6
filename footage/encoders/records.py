"""The records of weights: one small file a model, which says where its files are and the digest of each."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.encoders import hub as hub_module
from footage.encoders.cache import folder_or_default
from footage.errors import EncoderUnavailable

if TYPE_CHECKING:
    from footage.encoders.row import EncoderRow, Weights

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Held:
    """The weights of a model on this machine."""

    folder: Path
    digests: Mapping[str, str]  # file, by its path in the folder with slashes -> SHA-256
    source: str = ""
    revision: str = ""
    unpinned: tuple[str, ...] = ()  # files that were trusted on first use

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum((self.folder / name).stat().st_size for name in self.digests)


def models_dir(cache_dir: Path | None) -> Path:
    """Where the records are, and the weights that came from no hub."""
    return folder_or_default(cache_dir) / "models"


def record_path(row: EncoderRow, cache_dir: Path | None) -> Path:
    """Where the record of a model is."""
    return models_dir(cache_dir) / f"{slug(row.name)}.json"


def slug(name: str) -> str:
    """A file name for a model's name; different names never share one, on any file system."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80]
    if plain == name:
        return plain
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def read(path: Path) -> dict[str, Any] | None:
    """Read a record; one that is absent or damaged is none."""
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        sound = values["format"] == _FORMAT and isinstance(values["files"], dict) and isinstance(values["folder"], str)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values if sound else None


def note(
    row: EncoderRow, folder: Path, digests: Mapping[str, str], source: str, revision: str, cache_dir: Path | None
) -> Held:
    """Write the record of a model, whose files are all there.

    Raises:
        EncoderUnavailable: the cache cannot be written.
    """
    pins = row.weights.sha256 if row.weights else dict[str, str]()
    files = {name: _stamp(folder / name, digest) for name, digest in digests.items()}
    record = {
        "format": _FORMAT,
        "model": row.name,
        "folder": str(folder.absolute()),
        "source": source,
        "revision": revision,
        "licence": row.licence,
        "pulled_at": time.time(),
        "files": files,
    }
    path = record_path(row, cache_dir)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise EncoderUnavailable(f"cannot write {path}: {error.strerror or error}") from None
    return Held(folder, dict(digests), source, revision, tuple(name for name in digests if name not in pins))


def _stamp(path: Path, digest: str) -> dict[str, Any]:
    facts = path.stat()
    return {"sha256": digest, "size": facts.st_size, "mtime_ns": facts.st_mtime_ns}


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a path is one of those wanted; a star stands for no slash."""
    parts = path.split("/")
    for pattern in patterns:
        wanted = pattern.split("/")
        if len(wanted) == len(parts) and all(map(fnmatch.fnmatchcase, parts, wanted)):
            return True
    return False


def files(folder: Path, weights: Weights) -> list[str]:
    """The wanted files in a folder, sorted, by their paths with slashes."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    wanted = sorted(name for name in found if matches(name, weights.files) and not name.endswith(".partial"))
    return chosen(weights, wanted)


def complete(weights: Weights, names: Collection[str]) -> bool:
    """Tell whether these files are a model, in one of the layouts that will do."""
    return bool(names) and (not weights.needs or any(set(one) <= set(names) for one in weights.needs))


def chosen(weights: Weights, names: Collection[str]) -> list[str]:
    """The files to take: where a repository has its weights twice, as safetensors and as a state dict, the first."""
    first = next((set(one) for one in weights.needs if set(one) <= set(names)), set[str]())
    again = {name for one in weights.needs for name in one if name.endswith((".safetensors", ".bin", ".pt"))} - first
    return [name for name in names if not first or name not in again]


def needs(weights: Weights) -> str:
    """The files that make a model, in words."""
    return ", or: ".join(", ".join(one) for one in weights.needs) or ", ".join(weights.files or weights.urls)


def pin(weights: Weights, name: str) -> str:
    """The whole digest that the maker of a file published, or nothing."""
    pin = weights.sha256.get(name, "")
    return pin if len(pin) == 64 else ""


def check_pin(weights: Weights, name: str, digest: str, path: Path | None) -> None:
    """Compare with what the maker published, which may be only the beginning of the digest.

    Raises:
        EncoderError: it is another; the file at `path` is deleted.
    """
    pin = weights.sha256.get(name, "")
    if pin and not digest.startswith(pin):
        if path is not None:
            path.unlink(missing_ok=True)
        raise hub_module.wrong_hash(name, pin, digest)
