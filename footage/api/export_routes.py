"""Taking moments out: clips and pictures as they are or in a ZIP, and lists for editing programs and spreadsheets."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from footage.api.docs import binary, errors
from footage.api.downloads import Download, Scratch, attachment, watching
from footage.api.export_models import PICTURES, CutMode, ExportIn
from footage.api.faults import NoRoom, TookTooLong, TooLarge, body, scrub
from footage.api.models import Seconds, VideoId
from footage.api.queries import read
from footage.api.service import Service, ServiceDep
from footage.errors import FootageError
from footage.export import (
    FORMATS,
    Exported,
    ExportSettings,
    chapters,
    export,
    no_room,
    padded,
    render,
    saved_moment,
)
from footage.export.names import safe_name
from footage.types import Moment, Video

router = APIRouter(tags=["export"])
_FAILED = "failed.json"
_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".ts": "video/mp2t",
    ".mts": "video/mp2t",
    ".mpg": "video/mpeg",
    ".3gp": "video/3gpp",
    ".flv": "video/x-flv",
    ".mxf": "application/mxf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".zip": "application/zip",
}
_LISTS = [f.media_type.split(";")[0] for f in FORMATS.values() if f.kind == "list"]
_MEDIA = tuple(dict.fromkeys(_TYPES.values()))
_CLIPS = tuple(kind for kind in _MEDIA if kind.startswith(("video/", "application/m")))
_REFUSALS = errors(400, 404, 409, 422, 429, 503)


@router.post(
    "/export",
    response_class=Response,
    responses=binary("application/zip", "The file, or a ZIP of several", *_MEDIA, *_LISTS) | _REFUSALS,
)
async def export_moments(wanted: ExportIn, request: Request, service: ServiceDep) -> Response:
    """Download moments as clips, as pictures, or as a list.

    Several clips or pictures, and chapters of several videos, come in a ZIP. Of those that cannot be made it tells the
    reasons in `failed.json`, and `X-Failed-Count` their number; if none can be made, the first reason is the answer.
    """
    if FORMATS[wanted.format].kind == "list":
        return await service.reads.run(lambda: _list(wanted, service))
    return await _made(wanted, request, service)


@router.get(
    "/videos/{video}/clip",
    response_class=Response,
    responses=binary("video/mp4", "The clip, as an attachment", *_CLIPS) | _REFUSALS,
)
async def clip(
    video: VideoId,
    request: Request,
    service: ServiceDep,
    start: Annotated[Seconds, Query()],
    end: Annotated[Seconds, Query()],
    mode: Annotated[CutMode, Query(description="exact: the very frames; fast: from the key frame before")] = "exact",
    height: Annotated[int, Query(ge=0, le=4320, description="At most so high, with `exact`; 0: as it is")] = 0,
) -> Response:
    """Download one clip: the address of a link."""
    moment = {"video": video, "start": start, "end": end}
    wanted = read(ExportIn, {"moments": [moment], "format": "clip", "mode": mode, "height": height})
    return await _made(wanted, request, service)


# ------------------------------------------------------------------------------------------------------------- lists


def _list(wanted: ExportIn, service: Service) -> Response:
    row = FORMATS[wanted.format]
    moments = padded(_moments(wanted, service), wanted.pad)

    def rendered(part: Sequence[Moment]) -> bytes:
        return render(part, row.name, title=wanted.title, shown=service.shown)

    name, kind = f"{safe_name(wanted.title)}{row.suffixes[0]}", row.media_type
    with _private(m.video for m in moments):
        if row.name != "vtt":
            data = rendered(moments)
        else:
            files = {file: rendered(part) for file, part in chapters(moments).items()}
            name, data = next(iter(files.items()))
            if len(files) > 1:
                name, data, kind = f"{safe_name(wanted.title)}.zip", _zipped(files), _TYPES[".zip"]
    return Response(data, media_type=kind, headers={"content-disposition": attachment(name)})


def _zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


# ------------------------------------------------------------------------------------------------- clips and pictures


async def _made(wanted: ExportIn, request: Request, service: Service) -> Response:
    scratch = service.scratches.new()
    try:
        async with watching(request.receive, scratch):
            file, name, failed = await service.exporting.run(lambda: _make(wanted, service, scratch))
        return Download(
            file,
            name,
            _TYPES.get(file.suffix, "application/octet-stream"),
            scratch,
            idle_seconds=service.options.limits.download_seconds,
            headers={"x-failed-count": str(failed)},
        )
    except BaseException as error:
        if isinstance(error, TookTooLong):
            error.hint = "take fewer or shorter ones, less height, or clips with mode fast"
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(scratch.close)
        raise


def _make(wanted: ExportIn, service: Service, scratch: Scratch) -> tuple[Path, str, int]:
    """The file to send, its name, and how many moments are missing in it."""
    moments = padded(_moments(wanted, service), wanted.pad)
    _check(moments, wanted, service)
    clips = wanted.format == "clip"
    suffix = f".{wanted.container}" if wanted.container else ""
    how = ExportSettings(
        wanted.format,
        fast=wanted.mode == "fast",
        max_height=wanted.height,
        suffix=suffix if clips else PICTURES[wanted.picture],
    )
    with service.exports(wanted.format), _private(m.video for m in moments), scratch.filling() as folder:
        rows = export(moments, folder / "files", how)
        if len(moments) == 1:
            row = next(iter(rows))
            if row.error is not None:
                raise row.error
            file = Path(row.path)
            _within(file.stat().st_size, service)
            return file, file.name, 0
        file = folder / "all.zip"
        failed = _archived(file, zip(moments, rows, strict=True), service, scratch)
        return file, f"{safe_name(wanted.title)}.zip", failed


def _archived(file: Path, rows: Iterable[tuple[Moment, Exported]], service: Service, scratch: Scratch) -> int:
    """Put each file in the archive as soon as it is made, so that they take room only once."""
    failed: list[dict[str, Any]] = []
    reasons: list[FootageError] = []
    made = 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for moment, row in rows:
            scratch.check()
            if row.error is None:
                archive.write(row.path, Path(row.path).name)
                Path(row.path).unlink()
                made += 1
                _within(file.stat().st_size, service)
            else:
                reasons.append(row.error)
                failed.append(_failure(moment, row.error))
        if failed:
            archive.writestr(_FAILED, json.dumps(failed, ensure_ascii=False, indent=1))
    if not made:
        raise reasons[0]
    return len(failed)


def _failure(moment: Moment, error: FootageError) -> dict[str, Any]:
    video = moment.video
    said = body(error, *(file.path for file in video.files))
    where = {"video": video.id, "name": Path(video.path).name, "start": moment.start, "end": moment.end}
    return {**where, "at": moment.at, **said.model_dump(exclude={"retry"})}


def _check(moments: Sequence[Moment], wanted: ExportIn, service: Service) -> None:
    limits = service.options.limits
    if wanted.format != "clip":
        return
    seconds = sum(m.end - m.start for m in moments)
    if seconds > limits.export_seconds:
        raise TooLarge(
            f"clips of {seconds:.0f} s in all, but at most {limits.export_seconds:.0f} s are cut at a time",
            hint="take fewer or shorter ones, or less pad",
        )
    if wanted.mode == "fast":  # a copy is as large as its part of the source
        _within(sum(m.video.size_bytes * (m.end - m.start) / max(m.video.duration, 0.001) for m in moments), service)


def _within(size_bytes: float, service: Service) -> None:
    limit = service.options.limits.export_bytes
    if size_bytes > limit:
        raise TooLarge(
            f"the files are larger than {max(1, limit >> 20)} MB", hint="take fewer or shorter ones, or less height"
        )


# ------------------------------------------------------------------------------------------------------------- both


def _moments(wanted: ExportIn, service: Service) -> list[Moment]:
    limit = service.options.limits.export_moments
    if len(wanted.moments) > limit:
        raise TooLarge(f"{len(wanted.moments)} moments, but at most {limit} are exported at a time")
    found: dict[str, Video] = {}
    out: list[Moment] = []
    for each in wanted.moments:
        video = found.get(each.video) or service.video(each.video)
        found[each.video] = video
        with _private([video]):
            out.append(saved_moment(video, each.start, each.end, each.model_dump(exclude_none=True)))
    return out


@contextmanager
def _private(videos: Iterable[Video]) -> Generator[None]:
    """Name the files of these videos in errors as everyone may know them; tell of a full disk as what it is."""
    try:
        yield
    except (FootageError, OSError) as error:
        if no_room(error):
            raise NoRoom("the disk of the server is full", hint="try again later, or ask for less") from error
        if isinstance(error, FootageError):
            known = {file.path for video in videos for file in video.files}
            error.message, error.hint = scrub(error.message, *known), scrub(error.hint, *known)
        raise
