"""Files that are sent: videos to add to the library, pictures and clips to search with."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio.to_thread
from fastapi import APIRouter, Request, Response

from footage.api.docs import binary, errors, multipart
from footage.api.faults import Invalid, TooLarge
from footage.api.job_routes import job_out
from footage.api.models import QueryFileOut, QueryFilesOut, UploadOut
from footage.api.service import Service, ServiceDep
from footage.api.uploads import Form, QueryFile, Received, known_as, receive
from footage.catalog import VIDEO_SUFFIXES
from footage.errors import UnsupportedMedia
from footage.frames import jpeg, thumbnail_size
from footage.media import open_video, probe, read_picture, resize

router = APIRouter()
T = TypeVar("T")


@router.post(
    "/uploads",
    tags=["index"],
    status_code=202,
    responses=errors(400, 408, 413, 422, 429, 503),
    openapi_extra=multipart("Videos to add to the library."),
)
async def upload(request: Request, service: ServiceDep) -> UploadOut:
    """Add videos: they are kept with the library and indexed."""

    def work(form: Form) -> UploadOut:
        for file in form.files:
            _check_video(file)
        folder = service.library.path / "uploads"
        folder.mkdir(parents=True, exist_ok=True)
        held = sum(p.stat().st_size for p in folder.iterdir())
        if held + sum(file.size_bytes for file in form.files) > service.options.limits.uploads_bytes:
            raise TooLarge("there is no room for more uploads", hint="remove some of them on the server")
        kept = [_keep(file, folder) for file in form.files]
        taken = service.jobs.add(kept, [path.name for path in kept])
        return UploadOut(names=[path.name for path in kept], job=job_out(taken, service))

    return await _received(request, service, work, service.options.limits.video_bytes, service.library.path)


@router.post(
    "/query-files",
    tags=["search"],
    status_code=201,
    responses=errors(400, 408, 413, 422, 429, 503),
    openapi_extra=multipart("Pictures and clips to search with."),
)
async def add_query_files(request: Request, service: ServiceDep) -> QueryFilesOut:
    """Send pictures and clips that queries can then name by id; they are removed when their time is over."""

    def work(form: Form) -> QueryFilesOut:
        return QueryFilesOut(files=[_query_file_out(service.query_files.keep(file)) for file in form.files])

    return await _received(request, service, work, service.options.limits.clip_bytes, service.query_files.folder)


@router.get("/query-files/{file}", tags=["search"], responses=errors(404, 422))
async def query_file(file: str, service: ServiceDep) -> QueryFileOut:
    """What is known of a query file."""
    return _query_file_out(service.query_files.get(file))


@router.get(
    "/query-files/{file}/frame",
    tags=["search"],
    response_class=Response,
    responses=binary("image/jpeg", "A small picture of it") | errors(404, 422, 429, 503),
)
async def query_frame(file: str, service: ServiceDep) -> Response:
    """A small picture of a query file, of a clip its first frame."""

    def work() -> bytes:
        found = service.query_files.get(file)
        if found.kind == "image":
            picture = read_picture(found.path)
            return jpeg(resize(picture, *thumbnail_size(picture.shape[1], picture.shape[0])))
        with open_video(found.path) as reader:
            first = next(iter(reader.frames()))
            return jpeg(first.picture(*thumbnail_size(first.width, first.height)))

    data = await service.decodes.run(work)
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=60"})


@router.delete("/query-files/{file}", tags=["search"], status_code=204, responses=errors(404, 422))
async def remove_query_file(file: str, service: ServiceDep) -> None:
    """Remove a query file before its time."""
    service.query_files.remove(file)


# ---------------------------------------------------------------------------------------------------------- inside


async def _received(request: Request, service: Service, work: Callable[[Form], T], each_bytes: int, near: Path) -> T:
    """Read a form to disk, do something with it on a thread, and remove what is left of it."""
    limits = service.options.limits

    def place() -> Path:  # on the same disk as where the files will be kept, so that keeping them is a rename
        near.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".incoming-", dir=near))

    folder = await anyio.to_thread.run_sync(place)
    try:
        form = await receive(request, folder, limits, each_bytes=each_bytes)
        if not form.files:
            raise Invalid("there is no file in the form")
        run: Awaitable[T] = service.decodes.run(lambda: work(form))
        return await run
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


def _check_video(file: Received) -> None:
    if Path(file.name).suffix.lower() not in VIDEO_SUFFIXES:
        raise UnsupportedMedia(f"not the name of a video: {file.name}", uri=file.name, hint="for example .mp4 or .mkv")
    with known_as(file.path, file.name):
        probe(file.path)


def _keep(file: Received, folder: Path) -> Path:
    """Move a file into the folder under its own name, or that name with a number."""
    stem, suffix = Path(file.name).stem, Path(file.name).suffix
    for number in range(1, 10_000):
        target = folder / (file.name if number == 1 else f"{stem} ({number}){suffix}")
        try:
            os.link(file.path, target)  # unlike a rename, this never replaces a file
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            if target.exists():
                continue
            file.path.rename(target)
        return target
    raise TooLarge(f"too many files of the name {file.name}")


def _query_file_out(file: QueryFile) -> QueryFileOut:
    return QueryFileOut(
        id=file.id,
        kind=file.kind,
        name=file.name,
        width=file.width,
        height=file.height,
        seconds=round(file.seconds, 3),
        expires=file.expires,
    )
