"""Indexing as jobs, and the folders that may be indexed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from footage.api.docs import errors
from footage.api.faults import Forbidden, NotFound, scrub
from footage.api.jobs import ENDED, Job
from footage.api.models import (
    FetchingOut,
    FileOut,
    FolderOut,
    FoldersOut,
    IndexIn,
    JobOut,
    JobsOut,
    ProgressOut,
)
from footage.api.service import Service, ServiceDep
from footage.api.shared import Action
from footage.errors import ConfigError, MediaError
from footage.places import Place, Remote, climbs, is_url, normal, subfolders
from footage.places import inside as lies_under
from footage.types import Indexed

router = APIRouter(tags=["index"])
_TICK = 0.25  # seconds between two looks at a job that is followed
_BEAT = 10.0  # seconds: a comment keeps the connection from being taken for dead
_LISTED = 1000  # folders
_COUNTED = 30  # folders behind URLs of which is told how many they hold


@router.get("/folders", responses=errors(404, 422, 429, 503))
async def folders(
    service: ServiceDep, inside: Annotated[str | None, Query(min_length=1, max_length=4000)] = None
) -> FoldersOut:
    """The folders that may be indexed, or those inside one of them."""

    def work() -> FoldersOut:
        if inside is None:
            found = [(name, root) for name, root in _roots(service).items()]
        else:
            found = [(f"{inside.rstrip('/')}/{p.name}", p) for p in _subfolders(allowed(inside, service))]
        # To count what is in a folder behind a URL takes a request.
        counted = {shown for shown, path in found if isinstance(path, Path)} | {shown for shown, _ in found[:_COUNTED]}
        out = [
            FolderOut(path=shown, name=path.name, folders=len(_subfolders(path)) if shown in counted else 0)
            for shown, path in found
        ]
        return FoldersOut(inside=inside, folders=out)

    return await service.reads.run(work)


@router.post("/index", status_code=202, responses=errors(400, 403, 404, 422, 429, 503))
async def index(request: IndexIn, service: ServiceDep) -> JobOut:
    """Put folders in line to be indexed; only new and changed files are done."""

    return job_out(await start(service, request), service)


@router.get("/jobs", responses=errors())
async def jobs(service: ServiceDep) -> JobsOut:
    """The jobs since the server was started, newest first."""
    own = [job_out(job, service) for job in service.jobs.all()]
    board = service.board
    if board is None:
        return JobsOut(jobs=own)
    return JobsOut(jobs=sorted([*own, *await service.reads.run(board.others)], key=lambda each: -each.created))


@router.get("/jobs/{job}", responses=errors(404, 422))
async def job(job: str, service: ServiceDep) -> JobOut:
    """One job."""
    return await state_of(job, service)


@router.delete("/jobs/{job}", responses=errors(404, 409, 422))
async def cancel(job: str, service: ServiceDep) -> JobOut:
    """End a job early; the videos that are done stay."""
    return await _done(job, "cancel", service)


@router.post("/jobs/{job}/pause", responses=errors(404, 409, 422))
async def pause(job: str, service: ServiceDep) -> JobOut:
    """Hold a running job."""
    return await _done(job, "pause", service)


@router.post("/jobs/{job}/resume", responses=errors(404, 409, 422))
async def resume(job: str, service: ServiceDep) -> JobOut:
    """Let a paused job go on."""
    return await _done(job, "resume", service)


@router.get(
    "/jobs/{job}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: `progress` with the job as JSON at every change, `end` last",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    }
    | errors(404, 422),
)
async def events(job: str, service: ServiceDep) -> StreamingResponse:
    """Follow a job."""
    first = await state_of(job, service)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_follow(first, service), media_type="text/event-stream", headers=headers)


# ---------------------------------------------------------------------------------------------------------- inside


async def state_of(job_id: str, service: Service) -> JobOut:
    """The state of a job, whichever server has it; raises NotFound."""
    try:
        return job_out(service.jobs.get(job_id), service)
    except NotFound:
        if service.board is None:
            raise
        board = service.board
        return await service.reads.run(lambda: board.get(job_id))


async def _done(job_id: str, action: Action, service: Service) -> JobOut:
    """Do something with a job, or have it done by the server that has it."""
    try:
        act: Callable[[str], Job] = getattr(service.jobs, action)
        return job_out(act(job_id), service)
    except NotFound:
        if service.board is None:
            raise
        board = service.board
        return await service.reads.run(lambda: board.ask(job_id, action))


async def start(service: Service, request: IndexIn) -> Job:
    """Put folders in line to be indexed, if they may be."""

    def work() -> Job:
        paths = [allowed(folder, service) for folder in request.folders]
        return service.jobs.add(paths, request.folders, every=request.every, fast=request.fast, prune=request.prune)

    return await service.reads.run(work)


def job_out(job: Job, service: Service) -> JobOut:
    """Show a job."""
    p, fetch = job.progress, job.fetching
    ended = job.ended if job.ended is not None else time.time()
    seconds = max(0.1, ended - job.started) if job.started is not None else 0.1
    fraction = 1.0 if job.state == "done" else p.fraction
    left = p.seconds_left(seconds) if job.state == "running" else None
    return JobOut(
        id=job.id,
        model=job.model or None,
        state=job.state,
        folders=list(job.shown),
        created=job.created,
        started=job.started,
        ended=job.ended,
        waiting=job.waiting,
        fetching=FetchingOut(done_bytes=fetch.done_bytes, total_bytes=fetch.total_bytes) if fetch else None,
        progress=ProgressOut(
            files=p.files,
            files_done=p.files_done,
            bytes=p.size_bytes,
            bytes_done=p.bytes_done,
            fraction=round(fraction, 4),
            video_seconds=round(p.seconds_done, 2),
            speed=round(p.seconds_done / seconds, 2),
            limit=cast("Literal['decode', 'encode', 'write']", p.limit),
            seconds_left=round(left, 1) if left is not None else None,
            current=[path.rsplit("/", 1)[-1] for path in list(p.current)],
        ),
        counts=dict(job.counts),
        files=[file_out(f, service) for f in list(job.files)],
        error=job.error,
    )


def file_out(file: Indexed, service: Service) -> FileOut:
    """Show what became of a file."""
    return FileOut(
        name=file.path.rsplit("/", 1)[-1],
        path=service.shown(file.path),
        video=file.video_id or None,
        status=file.status,
        seconds=round(file.seconds, 3),
        samples=file.samples,
        error=scrub(file.error.message, file.path) if file.error is not None else None,
        hint=scrub(file.error.hint, file.path) if file.error is not None else "",
        warning=scrub(file.warning, file.path),
    )


async def _follow(first: JobOut, service: Service) -> AsyncGenerator[str]:
    seen = ""
    beat = time.monotonic()
    job = first
    while True:
        ended = job.state in ENDED
        now = job.model_dump_json(exclude={"progress": {"speed", "seconds_left"}})
        if now != seen or ended:
            seen, beat = now, time.monotonic()
            yield f"event: {'end' if ended else 'progress'}\ndata: {job.model_dump_json()}\n\n"
        elif time.monotonic() - beat > _BEAT:
            beat = time.monotonic()
            yield ": still here\n\n"
        if ended:
            return
        await asyncio.sleep(_TICK)
        try:
            job = await state_of(first.id, service)
        except NotFound:  # forgotten, as too many came after it
            return


def _roots(service: Service) -> dict[str, Place]:
    """The allowed folders by a short name each."""
    out: dict[str, Place] = {}
    for root in (*service.options.allow_dirs, *map(Remote, service.options.allow_urls)):
        name, number = root.name or "root", 2
        while name in out:
            name, number = f"{root.name} ({number})", number + 1
        out[name] = root if isinstance(root, Remote) else root.resolve()
    return out


def allowed(folder: str, service: Service) -> Place:
    """The real place of a folder or file that may be indexed: links are followed before it is judged.

    A URL is judged by its words alone, and nothing is asked before: it lies under one that the server was started with.
    """
    refused = Forbidden("that is not in a folder that may be indexed", hint="start the server with --allow-dir FOLDER")
    if "\0" in folder:
        raise refused
    roots = _roots(service)
    first, _, rest = folder.partition("/")
    root = roots.get(first)
    if is_url(folder) or isinstance(root, Remote):
        return _allowed_url(f"{root.url}/{rest}" if isinstance(root, Remote) else folder, service, refused)
    asked = root / rest if root is not None else Path(folder)
    if not asked.is_absolute():
        raise refused
    try:
        real = asked.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise refused from None
    if not any(real.is_relative_to(root) for root in roots.values() if isinstance(root, Path)):
        raise refused
    return real


def _allowed_url(asked: str, service: Service, refused: Forbidden) -> Remote:
    try:
        url = normal(asked)
    except ConfigError:
        raise refused from None
    # Services differ in what they make of dots, so that none go through.
    if climbs(url) or not any(lies_under(url, root) for root in service.options.allow_urls):
        raise refused
    return Remote(url)


def _subfolders(folder: Place) -> Sequence[Place]:
    if isinstance(folder, Remote):
        try:
            return [Remote(url) for url in subfolders(folder.url, _LISTED)]
        except MediaError:
            return []
    try:
        found = [p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith(".")]
    except OSError:
        return []
    return sorted(found)[:_LISTED]
