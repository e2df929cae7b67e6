"""Take moments out of a library: as clips, as pictures, and as lists that editing programs and spreadsheets read.

    export(moments, to, settings)   -> Exported per file    writes; nothing is overwritten unless asked
    render(moments, format, shown=) -> bytes                one list, without touching a disk
    load(lines, lookup)             -> moments              what `footage search --json` printed

CSV, JSON and WebVTT need nothing but the moments. An edit list (EDL, FCPXML, OTIO) and a clip or a picture need the
files themselves, and those must still be the ones that were indexed.
"""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from footage.errors import ConfigError, FootageError, MediaError, QueryError
from footage.export import edl, fcpxml, lists, otio
from footage.export.names import Shown, as_it_is, clip_name, safe_name, unique
from footage.export.shots import current_file, shots
from footage.types import Evidence, Moment, Video

__all__ = [
    "FORMATS",
    "ExportSettings",
    "Exported",
    "Format",
    "Shown",
    "chapters",
    "export",
    "format_of",
    "load",
    "moment_of",
    "no_room",
    "padded",
    "render",
    "saved_moment",
]


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of export."""

    name: str
    suffixes: tuple[str, ...]  # the first one is the default
    media_type: str
    kind: Literal["list", "media"]
    summary: str


FORMATS = {
    f.name: f
    for f in (
        Format("clip", (".mp4", ".m4v", ".mov", ".mkv"), "video/mp4", "media", "a video file for every moment"),
        Format("frame", (".png", ".jpg", ".jpeg"), "image/png", "media", "the best frame of every moment"),
        Format("csv", (".csv",), "text/csv; charset=utf-8", "list", "a table for spreadsheets"),
        Format("json", (".json",), "application/json", "list", "for programs, and for `footage export --from`"),
        Format("vtt", (".vtt",), "text/vtt; charset=utf-8", "list", "WebVTT chapters, a file for every video"),
        Format("edl", (".edl",), "text/plain; charset=utf-8", "list", "CMX3600: Premiere, Resolve, Avid"),
        Format("fcpxml", (".fcpxml",), "application/xml", "list", "FCPXML 1.8: Final Cut Pro, Resolve"),
        Format("otio", (".otio",), "application/json", "list", "OpenTimelineIO"),
    )
}
_FAST_SUFFIXES = {  # of a source -> of a clip that is copied from it
    **{s: s for s in (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".mts", ".mpg", ".3gp", ".flv", ".mxf")},
    **{".m2ts": ".mts", ".mpeg": ".mpg", ".qt": ".mov", ".ogv": ".mkv", ".ogg": ".mkv"},
}


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """How moments are exported."""

    format: str | None = None  # a name of FORMATS; None: by the suffix of the target
    fast: bool = False  # clips: copied from the key frame before the start, not encoded
    pad: float = 0.0  # seconds added before and after every moment, within its video
    force: bool = False  # replace files that exist
    title: str = "Footage"  # of an edit list
    max_height: int = 0  # pixels, of clips that are encoded; 0: as they are
    suffix: str = ""  # of clips and pictures in a folder; '': .png, .mp4, or of fast clips that of the source


@dataclass(frozen=True, slots=True)
class Exported:
    """One file that was written, or the reason why it could not be."""

    path: str
    format: str
    moments: int
    start: float | None = None  # of a clip or a picture: seconds of its video, as they really are
    end: float | None = None
    video: str = ""  # id
    error: FootageError | None = None

    def as_dict(self) -> dict[str, Any]:
        """The one-line JSON object of the command line and the API."""
        out: dict[str, Any] = {"path": self.path, "format": self.format, "moments": self.moments}
        if self.video:
            out["video"] = self.video
        if self.start is not None and self.end is not None:
            out |= {"start": round(self.start, 6), "end": round(self.end, 6)}
        return out | {"error": self.error.message if self.error else None}


def format_of(target: str | Path, given: str | None = None) -> Format:
    """The format that was asked for, or that the suffix of the target tells.

    Raises ConfigError.
    """
    if given is not None:
        if given not in FORMATS:
            raise ConfigError(f"no such format: {given}", hint=f"one of {', '.join(FORMATS)}")
        return FORMATS[given]
    suffix = Path(target).suffix.lower()
    for row in FORMATS.values():
        if suffix in row.suffixes:
            return row
    if suffix in _FAST_SUFFIXES.values():
        return FORMATS["clip"]
    raise ConfigError(f"cannot tell the format from the name: {target}", hint=f"--format {'|'.join(FORMATS)}")


def render(
    moments: Sequence[Moment], format: str, *, title: str = "Footage", pad: float = 0.0, shown: Shown = as_it_is
) -> bytes:
    """A list as the bytes of its file. `shown` gives what the list calls a file, from its path.

    A name that is no whole path is written as a relative reference, which programs look for beside the list.

    Raises:
        ConfigError: not the format of a list, an optional package is missing, or the list does not fit the format.
        QueryError: no moments.
        MediaError: (edl, fcpxml, otio) a file is gone, was changed, or cannot be read.
    """
    row = format_of("", format)
    chosen = padded(moments, pad)
    if row.kind != "list":
        raise ConfigError(f"{row.name} is no list", hint="give a file or a folder to write to")
    if row.name == "csv":
        return lists.as_csv(chosen, shown).encode(
            "utf-8-sig"
        )  # without the mark, spreadsheets take it for something else
    if row.name == "json":
        return lists.as_json(chosen, shown).encode()
    if row.name == "vtt":
        if len({m.video.id for m in chosen}) > 1:
            raise ConfigError("WebVTT chapters belong to one video, these moments to several", hint="give a folder")
        return lists.as_webvtt(chosen).encode()
    if row.name == "otio":
        otio.require()  # before the files are looked at
    found = shots(chosen, shown)
    writer = {"edl": edl.as_edl, "fcpxml": fcpxml.as_fcpxml, "otio": otio.as_otio}[row.name]
    return writer(found, title).encode()


def export(moments: Sequence[Moment], to: str | Path, settings: ExportSettings | None = None) -> Iterator[Exported]:
    """Write moments to a file or a folder; yields what became of each file, when it is written.

    Whatever is wrong with the request as a whole is raised at once, before anything is written. A video that cannot be
    read is a row with an error when clips or pictures are written, and an error of a list, which would be wrong
    without it. Every file appears whole or not at all; a disk that is full ends it with ConfigError.

    Raises:
        ConfigError: format and target do not go together, the target exists or its folder does not.
        QueryError: no moments.
        MediaError: a list needs a file that is gone, was changed, or cannot be read.
    """
    how = settings or ExportSettings()
    row = format_of(to, how.format)
    chosen = padded(moments, how.pad)
    target = Path(to)
    is_folder = (
        target.is_dir()
        or str(to).endswith(("/", os.sep))
        or (not target.suffix and (row.kind == "media" or row.name == "vtt"))
    )
    parent = target.parent if not is_folder or not target.exists() else target
    if not parent.is_dir():
        raise ConfigError(f"no such folder: {parent}", hint="make it first, or choose another place")
    if row.kind == "media":
        return _media(chosen, target, is_folder, row, how)
    return _lists(chosen, target, is_folder, row, how)


def chapters(moments: Sequence[Moment]) -> dict[str, list[Moment]]:
    """The moments of each video, by the name of the file for its chapters."""
    parts: dict[str, list[Moment]] = {}
    for moment in moments:
        parts.setdefault(moment.video.id, []).append(moment)
    files = unique([Path(f"{safe_name(Path(p[0].video.path).stem)}.vtt") for p in parts.values()])
    return {file.name: part for file, part in zip(files, parts.values(), strict=True)}


def load(lines: Iterable[str], lookup: Callable[[str], Video]) -> list[Moment]:
    """Moments from what `footage search --json` or `footage export --format json` wrote.

    `lookup` finds a video by its id or path.

    Raises:
        QueryError: not such lines, or a range outside of the video.
        NotIndexed: a video is not in the library.
    """
    text = "\n".join(lines).strip()
    try:
        rows: Any = (
            json.loads(text) if text.startswith("[") else [json.loads(t) for t in text.splitlines() if t.strip()]
        )
        found = [(r.get("video") or r["path"], float(r["start"]), float(r["end"]), r) for r in rows]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise QueryError(
            f"these are no saved moments: {error}", hint="save them with: footage search ... --json"
        ) from None
    return [saved_moment(lookup(str(name)), start, end, row) for name, start, end, row in found]


def moment_of(video: Video, start: float, end: float, at: float | None = None) -> Moment:
    """A moment that was not searched for but named.

    Raises QueryError: the range is empty, or not inside of the video.
    """
    if not 0 <= start < end < float("inf"):
        raise QueryError(f"not a range: {start:.3f} to {end:.3f} s", hint="it must start at 0 or later, before its end")
    if start >= video.duration or end > video.duration + 1.0:
        raise QueryError(
            f"outside of the video: {start:.3f} to {end:.3f} s", hint=f"it has {video.duration:.3f} s: {video.path}"
        )
    end = min(end, video.duration)
    at = (start + end) / 2 if at is None else at
    if not start <= at <= end:
        raise QueryError(f"the frame at {at:.3f} s is outside of {start:.3f} to {end:.3f} s")
    return Moment(video, start, end, at, 0.0, 1.0)


def saved_moment(video: Video, start: float, end: float, row: Mapping[str, Any]) -> Moment:
    """A moment with the best frame, the score and the evidence that `row` has of it, as `Moment.as_dict` writes them.

    Raises QueryError: they are damaged, or the range is not inside of the video.
    """
    at = row.get("at")
    plain = moment_of(video, start, end, None if at is None else min(max(float(at), start), end))
    try:
        evidence = tuple(
            Evidence(
                str(e["channel"]),
                str(e["query"]),
                str(e.get("space", "")),
                float(e.get("score", 0)),
                float(e.get("strength", 0)),
                float(e.get("at", plain.at)),
            )
            for e in row.get("evidence") or ()
        )
        return replace(
            plain, score=float(row.get("score", 0)), strength=float(row.get("strength", 1)), evidence=evidence
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise QueryError(f"this is no saved moment: {error}") from None


def padded(moments: Sequence[Moment], pad: float) -> list[Moment]:
    """The moments with so many seconds more on both sides, within their videos.

    Raises:
        QueryError: no moments.
        ConfigError: less than none, or more than an hour.
    """
    if not moments:
        raise QueryError("nothing to export", hint="the selection is empty")
    if not 0 <= pad <= 3600:
        raise ConfigError(f"pad is {pad}, but must lie between 0 and 3600 seconds")
    if not pad:
        return list(moments)
    return [
        replace(m, start=max(0.0, m.start - pad), end=max(m.end, min(m.video.duration, m.end + pad))) for m in moments
    ]


def _lists(
    moments: list[Moment], target: Path, is_folder: bool, row: Format, how: ExportSettings
) -> Iterator[Exported]:
    parts = [moments]
    files = [target]
    if is_folder and row.name == "vtt":
        parts = list(chapters(moments).values())
        files = [target / name for name in chapters(moments)]
    elif is_folder:
        files = [target / f"{safe_name(how.title)}{row.suffixes[0]}"]
    _free(files, how.force)
    content = [render(part, row.name, title=how.title) for part in parts]
    if is_folder:
        _make_folder(target)
    written: list[Exported] = []
    for file, data, part in zip(files, content, parts, strict=True):
        _write(file, data)
        written.append(Exported(str(file), row.name, len(part), video=part[0].video.id if row.name == "vtt" else ""))
    return iter(written)


def _media(
    moments: list[Moment], target: Path, is_folder: bool, row: Format, how: ExportSettings
) -> Iterator[Exported]:
    if is_folder:
        files = unique([target / clip_name(m, _suffix(m, row, how), row.name == "frame") for m in moments])
    elif len(moments) > 1:
        raise ConfigError(
            f"{len(moments)} moments do not fit in one file: {target}", hint="give a folder, or one moment"
        )
    else:
        files = [target]
    known = {*row.suffixes, *(_FAST_SUFFIXES.values() if how.fast and row.name == "clip" else ())}
    suffix = how.suffix if is_folder and how.suffix else files[0].suffix.lower()
    if suffix not in known:
        raise ConfigError(
            f"a {row.name} cannot be written to {suffix or files[0].name}",
            hint=f"it can to {', '.join(sorted(known))}",
        )
    _free(files, how.force)
    if is_folder:
        _make_folder(target)
    return (_one(m, f, row.name, how) for m, f in zip(moments, files, strict=True))


def _one(moment: Moment, file: Path, kind: str, how: ExportSettings) -> Exported:
    from footage.media.cut import cut_clip, frame_at, picture_bytes

    start, end = moment.start, moment.end
    try:
        source, duration = current_file(moment.video), moment.video.duration
        if kind == "clip":
            clip = cut_clip(source, file, start, end, fast=how.fast, duration=duration, max_height=how.max_height)
            start, end = clip.start, clip.end
        else:
            start = end = moment.at
            _write(file, picture_bytes(frame_at(source, moment.at, duration=duration), file.suffix))
    except (MediaError, QueryError) as error:
        if no_room(error):
            raise ConfigError(f"cannot write {file}: the disk is full", hint="free some space") from error
        return Exported(str(file), kind, 0, video=moment.video.id, error=error)
    return Exported(str(file), kind, 1, start, end, moment.video.id)


def no_room(error: BaseException) -> bool:
    """Whether an error comes from a disk that is full: then no other file can be written either."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _suffix(moment: Moment, row: Format, how: ExportSettings) -> str:
    if how.suffix:
        return how.suffix
    if row.name == "clip" and how.fast:
        return _FAST_SUFFIXES.get(Path(moment.video.path).suffix.lower(), ".mkv")
    return row.suffixes[0]


def _free(files: list[Path], force: bool) -> None:
    for file in files:
        if file.is_dir():
            raise ConfigError(f"a folder, not a file: {file}")
        if not force and (file.exists() or file.is_symlink()):
            raise ConfigError(f"exists already: {file}", hint="--force replaces it")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {folder}: {error.strerror or error}") from None


def _write(file: Path, data: bytes) -> None:
    partial = file.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(file)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
