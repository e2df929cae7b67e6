"""Copies of a clip in the library, and the picture of one match."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request

from footage.api.copy_models import (
    AlignmentIn,
    AlignmentOut,
    ClipIn,
    CopiesIn,
    CopiesOut,
    CopyFilters,
    GroupOut,
    PairOut,
    StretchOut,
    WithinIn,
    WithinOut,
)
from footage.api.docs import errors, multipart
from footage.api.faults import Invalid, TooLarge
from footage.api.models import MatchOut, VideoOut
from footage.api.progressing import Waiting, answered, described, waited
from footage.api.queries import read, read_json, where_of
from footage.api.service import Service, ServiceDep
from footage.api.uploads import known_as, receive
from footage.errors import QueryError
from footage.places import Place
from footage.playback import path_of
from footage.types import Match, Video

router = APIRouter(tags=["copies"])
_EDGE = 0.05  # seconds next to the ends of a video that make no difference to a copy search
_ITSELF = 0.5  # seconds by which a match of a range with itself may be off


@dataclass(slots=True)
class Clip:
    """What is asked with, as a file."""

    name: str  # as the client knows it
    path: Place
    seconds: float
    video: Video | None = None  # that it is a range of
    start: float = 0.0  # of that range


@router.post("/copies", response_model=CopiesOut, responses=described(errors(400, 404, 409, 413, 422, 429, 503)))
async def copies(wanted: CopiesIn, request: Request, service: ServiceDep) -> Any:
    """Find which seconds of a clip are which seconds of the library's videos, however the clip was changed.

    A range of the library's own videos is no match of itself. To leave, or to close the stream of events, ends it.
    """
    return await answered(request, service, lambda told: found(clip_of(wanted, service), wanted, service, told))


@router.post(
    "/copies/files",
    responses=errors(400, 404, 408, 409, 413, 422, 429, 503),
    openapi_extra=multipart("A clip; it is removed when it is answered.", "query"),
)
async def copies_of_file(request: Request, service: ServiceDep) -> CopiesOut:
    """Find copies of a clip that is sent along. `query` is JSON: `where`, `k`, `min_probability`, `sound`."""
    limits = service.options.limits
    folder = Path(tempfile.mkdtemp(prefix="footage-copies-"))
    try:
        form = await receive(request, folder, limits, each_bytes=limits.clip_bytes)
        if len(form.files) != 1:
            raise Invalid(f"{len(form.files)} files in the form, but exactly one clip is looked for at a time")
        file = form.files[0]
        said = form.fields.get("query")
        wanted = read_json(CopyFilters, said[0]) if said else read(CopyFilters, {})

        def work(told: Waiting) -> CopiesOut:
            return found(clip_of_file(file.path, file.name, service), wanted, service, told)

        return await waited(request, service, work)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


@router.post("/copies/within", response_model=WithinOut, responses=described(errors(400, 404, 409, 422, 429, 503)))
async def copies_within(wanted: WithinIn, request: Request, service: ServiceDep) -> Any:
    """Compare the library's videos with each other: groups of copies with the one to keep, and shared material.

    What was found is kept, and answered at once until the library changes.
    """
    return await answered(request, service, lambda told: within(wanted, service, told))


@router.post("/copies/alignment", responses=errors(400, 404, 409, 413, 422, 429, 503))
async def alignment(wanted: AlignmentIn, service: ServiceDep) -> AlignmentOut:
    """The similarity matrix around one match of a clip: at most 96 moments of each side."""

    def work() -> AlignmentOut:
        clip = clip_of(wanted, service)
        ref, video = wanted.match, service.video(wanted.match.video)
        if ref.query_start >= clip.seconds:
            raise QueryError(f"{ref.query_start:g} s lies behind the end of the clip, {clip.seconds:g} s")
        speed = (ref.end - ref.start) / max(ref.query_end - ref.query_start, 1e-6)
        match = Match(
            clip.name, ref.query_start, ref.query_end, video, ref.start, ref.end, 0.0, 0.0, speed,
            ref.start - speed * ref.query_start, ref.mirrored, (),
        )  # fmt: skip
        with _named(clip):
            return AlignmentOut.of(service.library.alignment(clip.path, match))

    return await service.decodes.run(work)


def found(clip: Clip, wanted: CopyFilters, service: Service, told: Waiting) -> CopiesOut:
    """The copies of a clip; blocking."""
    told.check()
    started = time.perf_counter()
    where = where_of(wanted.where, service.video)
    with _named(clip):
        matches = service.library.copies(
            clip.path,
            k=wanted.k + (clip.video is not None),
            min_probability=wanted.min_probability,
            sound=wanted.sound,
            where=where,
            on_progress=lambda seconds: told.tell("clip", min(seconds, clip.seconds), clip.seconds),
        )
    matches = [m for m in matches if not _itself(m, clip)][: wanted.k]
    return CopiesOut(
        query=clip.name,
        seconds=round(clip.seconds, 3),
        matches=[MatchOut.of(m) for m in matches],
        videos={m.video.id: VideoOut.of(m.video, service.shown(m.video.path)) for m in matches},
        took_ms=round((time.perf_counter() - started) * 1000, 1),
    )


def within(wanted: WithinIn, service: Service, told: Waiting) -> WithinOut:
    """What the library has twice; blocking."""
    told.check()
    started = time.perf_counter()
    inside, groups = service.library.copies_within(verify=wanted.verify, again=wanted.again, on_progress=told.tell)
    rows = [group.as_dict() for group in groups]
    matches = [PairOut(query=m.query, **MatchOut.of(m).model_dump()) for m in inside.matches]
    shared = [[StretchOut(video=s.video.id, start=s.start, end=s.end) for s in group] for group in inside.shared]
    ids = {row["video"] for group in rows for row in group["videos"]} | {s.video for part in shared for s in part}
    ids |= {i for m in matches for i in (m.query, m.video)}
    return WithinOut(
        groups=[GroupOut.model_validate(row) for row in rows],
        shared=shared,
        matches=matches,
        videos={v.id: VideoOut.of(v, service.shown(v.path)) for v in service.library.videos() if v.id in ids},
        took_ms=round((time.perf_counter() - started) * 1000, 1),
    )


def _itself(match: Match, clip: Clip) -> bool:
    if clip.video is None or match.video.id != clip.video.id:
        return False
    return abs(match.start - clip.start - match.query_start) < _ITSELF and not match.mirrored


def clip_of(wanted: ClipIn, service: Service) -> Clip:
    """The file of a clip; blocking, since a range may have to be cut out.

    Raises:
        NotFound, NotIndexed: there is no such query file, or video.
        QueryError: a picture, or an empty range.
        TooLarge: longer than a query may be.
    """
    if wanted.upload is not None:
        file = service.query_files.get(wanted.upload)
        return _of_kind(file.kind, Clip(file.name, file.path, file.seconds))
    assert wanted.moment is not None
    video = service.video(wanted.moment.video)
    start = wanted.moment.start
    end = min(video.duration if wanted.moment.end is None else wanted.moment.end, video.duration)
    if not start < end:
        raise QueryError(f"not a range of the video: {start:g} to {end:g} s", hint="start lies before end")
    limit = service.options.limits.clip_seconds
    if end - start > limit:
        raise TooLarge(
            f"a clip of {end - start:.0f} s, but copies of at most {limit:.0f} s are looked for at a time",
            hint="take a part of the video",
        )
    name = f"{Path(video.path).name or video.id} {start:.1f}-{end:.1f} s"
    if start < _EDGE and end > video.duration - _EDGE:
        return Clip(name, path_of(video), end - start, video)
    with service.renditions.open(video, start, end, height=360) as cut:
        return Clip(name, Path(cut.name), end - start, video, start)


def clip_of_file(path: Place, name: str, service: Service) -> Clip:
    """A file as a clip to ask with; blocking.

    Raises:
        TooLarge: longer than a query may be.
        QueryError, MediaError: no video, or a damaged one.
    """
    kind, _, _, seconds = service.query_files.check(path, name)
    return _of_kind(kind, Clip(name, path, seconds))


def _of_kind(kind: str, clip: Clip) -> Clip:
    if kind != "video":
        raise QueryError(f"{clip.name} is a picture, but copies are found of clips", hint="search with it instead")
    return clip


@contextmanager
def _named(clip: Clip) -> Generator[None]:
    """Name the file in errors as the client knows it."""
    with known_as(clip.path, clip.name):
        yield
