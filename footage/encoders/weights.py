"""Whose weights are here, and how they come here: one record a model, made when all files are there and whole.

The record says where the files are and the digest of each. A file whose size or time has changed since is hashed
again and must be the same. No record, no model: what a killed or failed pull leaves is found and used by the next one.
"""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from footage.encoders import hub as hub_module
from footage.encoders import records
from footage.encoders.hub import Hub, HubFile
from footage.encoders.records import Held
from footage.errors import ConfigError, EncoderError, EncoderUnavailable

if TYPE_CHECKING:
    from footage.encoders.row import EncoderRow, Weights


@dataclass(frozen=True, slots=True)
class Step:
    """How far a pull is."""

    file: str
    done_bytes: int  # of all files
    total_bytes: int  # 0: not known


Progress: TypeAlias = Callable[[Step], None]


def require(row: EncoderRow, cache_dir: Path | None, *, hub: Hub | None = None) -> Held:
    """The weights of a model, checked.

    Raises:
        EncoderUnavailable: they are not here.
        EncoderError: a file is not the one that was pulled.
    """
    found = held(row, cache_dir, hub=hub)
    if found is None:
        size = f", {row.size_mb:,.0f} MB" if row.size_mb else ""
        accept = " --accept-licence" if row.restricted else ""
        raise EncoderUnavailable(
            f"the weights of {row.name} are not here", hint=f"run: footage models pull {row.name}{accept}{size}"
        )
    return found


def held(row: EncoderRow, cache_dir: Path | None, *, hub: Hub | None = None) -> Held | None:
    """The weights of a model if they are here: by our record, or because another program fetched them to the cache.

    Raises:
        EncoderError: a file is not the one that was pulled.
    """
    weights = row.weights
    if weights is None:
        return None
    if weights.folder:
        return _in_place(row, weights, cache_dir)
    record = records.read(records.record_path(row, cache_dir))
    if record is not None:
        return _verified(row, record, cache_dir)
    if weights.repo and not row.restricted:
        return _adopted(row, weights, cache_dir, hub or hub_module.from_environment())
    return None


def is_here(row: EncoderRow, cache_dir: Path | None, *, hub: Hub | None = None) -> bool:
    """Tell whether the weights and what reads them are here, at a glance: nothing is hashed, nothing imported."""
    weights = row.weights
    if not all(find_spec(module) for module in row.modules):
        return False
    if weights is None:
        return True
    if weights.folder:
        return Path(weights.folder).is_dir()
    record = records.read(records.record_path(row, cache_dir))
    if record is not None:
        return all((Path(record["folder"]) / name).is_file() for name in record["files"])
    if not weights.repo or row.restricted:
        return False
    found = hub_module.snapshot(hub or hub_module.from_environment(), weights.repo, weights.revision)
    return found is not None and records.complete(weights, records.files(found[0], weights))


def pull(
    row: EncoderRow,
    *,
    cache_dir: Path | None = None,
    source: Path | None = None,
    accept: bool = False,
    hub: Hub | None = None,
    on_progress: Progress = lambda _: None,
) -> Held:
    """Bring the weights of a model here: from the hub, or from the folder `source`; nothing is fetched twice.

    One process at a time does it for one model; others wait.

    Raises:
        ConfigError: its licence restricts use and was not accepted, or it has no weights to pull.
        EncoderUnavailable: they cannot be had.
        EncoderError: what came is not what it should be; nothing of it is kept.
    """
    weights = row.weights
    if weights is None or weights.folder:
        raise ConfigError(f"{row.name} has nothing to pull", hint="use it as it is")
    if row.restricted and not accept:
        raise ConfigError(
            f"{row.name} restricts use: {row.licence}",
            hint=f"read its licence ({row.source}); if you agree: footage models pull {row.name} --accept-licence",
        )
    with _alone(row, cache_dir):
        if source is not None:
            return _take(row, weights, source, cache_dir, on_progress)
        return _fetched(row, weights, cache_dir, hub or hub_module.from_environment(), on_progress)


@contextmanager
def _alone(row: EncoderRow, cache_dir: Path | None) -> Generator[None]:
    """Wait until no other process brings the same model here; it is then found, and not fetched twice."""
    from filelock import FileLock

    path = records.record_path(row, cache_dir).with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire()
    except OSError as error:
        raise EncoderUnavailable(f"cannot write {path}: {error.strerror or error}") from None
    try:
        yield
    finally:
        lock.release()


def _fetched(row: EncoderRow, weights: Weights, cache_dir: Path | None, hub: Hub, on_progress: Progress) -> Held:
    with suppress(EncoderError):  # a file that was damaged since is fetched again
        found = held(row, cache_dir, hub=hub)
        if found is not None:
            return found
    record = records.read(records.record_path(row, cache_dir))
    if weights.repo:
        return _from_hub(row, weights, cache_dir, hub, record, on_progress)
    return _from_urls(row, weights, cache_dir, hub, on_progress)


# ----------------------------------------------------------------------------------------------------- the three ways


def _from_hub(
    row: EncoderRow, weights: Weights, cache_dir: Path | None, hub: Hub, record: Any, on_progress: Progress
) -> Held:
    revision = weights.revision or (record["revision"] if record else None)
    found = hub_module.listing(hub, weights.repo, revision)
    wanted = [file for file in found.files if records.matches(file.path, weights.files)]
    names = records.chosen(weights, [file.path for file in wanted])
    wanted = [file for file in wanted if file.path in names]
    if not records.complete(weights, [file.path for file in wanted]):
        raise EncoderUnavailable(
            f"{weights.repo} holds no model of this kind", hint=f"it must hold {records.needs(weights)}"
        )
    folder = hub_module.place(hub, found)
    total = sum(max(0, file.size) for file in wanted)
    done, digests = 0, dict[str, str]()
    for file in wanted:
        target = folder / file.path

        def tell(have: int, file: HubFile = file, before: int = done) -> None:
            on_progress(Step(file.path, before + have, total))

        pinned = replace(file, sha256=records.pin(weights, file.path) or file.sha256)
        if target.is_file():
            try:
                digests[file.path] = hub_module.check(target, file)
            except EncoderError:  # damaged since
                target.unlink()
        if file.path not in digests:
            digests[file.path] = hub_module.fetch(hub, hub_module.address(hub, found, pinned), pinned, target, tell)
        records.check_pin(weights, file.path, digests[file.path], target)
        done += max(0, file.size)
    hub_module.note(hub, found, weights.revision)
    on_progress(Step("", total, total))
    return records.note(row, folder, digests, weights.repo, found.commit, cache_dir)


def _from_urls(row: EncoderRow, weights: Weights, cache_dir: Path | None, hub: Hub, on_progress: Progress) -> Held:
    folder = records.models_dir(cache_dir) / records.slug(row.name)
    digests: dict[str, str] = {}
    for name, url in weights.urls.items():
        total = int(row.size_mb * 1e6)

        def tell(have: int, name: str = name, total: int = total) -> None:
            on_progress(Step(name, have, max(have, total)))

        pin = records.pin(weights, name)
        file = HubFile(name, -1, pin if len(pin) == 64 else "")
        digests[name] = hub_module.fetch(hub, url, file, folder / name, tell)
        records.check_pin(weights, name, digests[name], folder / name)
    return records.note(row, folder, digests, ", ".join(weights.urls.values()), "", cache_dir)


def _take(row: EncoderRow, weights: Weights, source: Path, cache_dir: Path | None, on_progress: Progress) -> Held:
    """Copy the weights from a folder, or the only file, try them, and only then give them their name."""
    offered = _offered(row, weights, source)
    folder = records.models_dir(cache_dir) / records.slug(row.name)
    staged = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    total = sum(file.stat().st_size for file in offered.values())
    done, digests = 0, dict[str, str]()
    try:
        for name, file in offered.items():
            on_progress(Step(name, done, total))
            target = staged / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            digests[name] = hub_module.check(target, HubFile(name, -1))
            records.check_pin(weights, name, digests[name], target)
            done += target.stat().st_size
        _try(row, Held(staged, digests))
        if folder.exists():
            shutil.rmtree(folder)
        staged.replace(folder)
    except OSError as error:
        raise EncoderUnavailable(f"cannot copy {source} to {folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    on_progress(Step("", total, total))
    return records.note(row, folder, digests, str(source.absolute()), "", cache_dir)


def _offered(row: EncoderRow, weights: Weights, source: Path) -> dict[str, Path]:
    """The files that are to be taken, by the names that they get."""
    if source.is_file() and len(weights.urls) == 1:
        [published] = weights.urls
        # Without a digest to compare with, its maker may offer it in several forms, and the name tells which.
        return {published if published in weights.sha256 else source.name: source}
    if not source.is_dir():
        hint = "give the folder that holds the files of the model" + (", or the file" if len(weights.urls) == 1 else "")
        raise ConfigError(f"not a folder: {source}", hint=hint)
    names = list(weights.urls) if weights.urls else records.files(source, weights)
    missing = [name for name in names if not (source / name).is_file()]
    if missing or not names or not records.complete(weights, names):
        what = ", ".join(missing) if missing else records.needs(weights)
        raise EncoderUnavailable(f"no weights of {row.name} in {source}", hint=f"it must hold {what}")
    return {name: source / name for name in names}


def _try(row: EncoderRow, staged: Held) -> None:
    """Load the model once from where it lies; a file that is cut short or of another model is noticed."""
    module = importlib.import_module(row.factory.partition(":")[0])
    trial: Callable[[EncoderRow, Held], None] = module.trial  # what every family with weights has, see docs/models.md
    trial(row, staged)


# ------------------------------------------------------------------------------------------------------------ records


def _verified(row: EncoderRow, record: dict[str, Any], cache_dir: Path | None) -> Held | None:
    """What the record says, if the files still are those; files that are gone are a model that is not here."""
    folder, digests = Path(record["folder"]), dict[str, str]()
    for name, known in record["files"].items():
        path = folder / name
        try:
            facts = path.stat()
        except OSError:
            return None
        digests[name] = known["sha256"]
        if (facts.st_size, facts.st_mtime_ns) != (known["size"], known["mtime_ns"]):
            hub_module.check(path, HubFile(name, known["size"], known["sha256"]))
        if row.weights is not None:
            records.check_pin(row.weights, name, known["sha256"], None)
    pins = row.weights.sha256 if row.weights else dict[str, str]()
    unpinned = tuple(name for name in digests if name not in pins)
    return Held(folder, digests, record.get("source", ""), record.get("revision", ""), unpinned)


def _adopted(row: EncoderRow, weights: Weights, cache_dir: Path | None, hub: Hub) -> Held | None:
    """Weights that another program fetched to the hub's cache: hashed once, and recorded."""
    found = hub_module.snapshot(hub, weights.repo, weights.revision)
    names = records.files(found[0], weights) if found else []
    if found is None or not records.complete(weights, names):
        return None
    digests = {name: hub_module.check(found[0] / name, HubFile(name, -1)) for name in names}
    for name, digest in digests.items():
        records.check_pin(weights, name, digest, None)
    return records.note(row, found[0], digests, weights.repo, found[1], cache_dir)


def _in_place(row: EncoderRow, weights: Weights, cache_dir: Path | None) -> Held:
    """A folder of the user: hashed when it is first used and when a file has changed, and used as it is."""
    folder = Path(weights.folder)
    names = records.files(folder, weights)
    if not records.complete(weights, names):
        raise EncoderUnavailable(f"no model in {folder}", hint=f"it must hold {records.needs(weights)}")
    known: dict[str, Any] = (records.read(records.record_path(row, cache_dir)) or {}).get("files", {})
    digests: dict[str, str] = {}
    for name in names:
        facts, old = (folder / name).stat(), known.get(name, {})
        same = (facts.st_size, facts.st_mtime_ns) == (old.get("size"), old.get("mtime_ns"))
        digests[name] = old["sha256"] if same else hub_module.check(folder / name, HubFile(name, -1))
    if {name: old.get("sha256") for name, old in known.items()} != digests:
        try:
            return records.note(row, folder, digests, str(folder), "", cache_dir)
        except EncoderUnavailable:  # a place that cannot be written: hashed again the next time
            pass
    return Held(folder, digests, str(folder))
