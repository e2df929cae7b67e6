"""Search, and how strongly one video answers along its time."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query, Request, Response

from footage.api import paging
from footage.api.docs import errors, multipart
from footage.api.gate import Gate
from footage.api.models import MomentOut, QueryIn, SearchIn, SearchOut, StripOut, VideoId, VideoOut
from footage.api.queries import Filters, named, parts_of, read, read_json, where_of
from footage.api.service import Service, ServiceDep
from footage.api.uploads import receive
from footage.errors import FootageError
from footage.search import WEAK, Question, SearchSettings, select
from footage.types import Moment, Video, Where

router = APIRouter(tags=["search"])
Files = Mapping[str, tuple[str, Path]]


@router.post("/search", response_model=SearchOut, responses=errors(400, 404, 409, 422, 429, 503))
async def search(query: SearchIn, service: ServiceDep) -> Response:
    """Find the moments that answer all parts of the query together, best first."""
    if gate(query, service) is service.searches:
        return await _words(query, service)
    return _json(await service.decodes.run(lambda: run(query, service).model_dump_json()))


@router.get("/search", response_model=SearchOut, responses=errors(400, 404, 409, 422, 429, 503))
async def search_words(
    service: ServiceDep,
    where: Filters,
    q: Annotated[str, Query(min_length=1, max_length=2000, description="Words for the moment")],
    exclude: Annotated[
        str | None, Query(alias="not", min_length=1, max_length=2000, description="Words for what must not be in it")
    ] = None,
    k: Annotated[int, Query(ge=1, le=200)] = 24,
    per_video: Annotated[int, Query(ge=1, le=100)] = 3,
    page: Annotated[str | None, Query(max_length=400)] = None,
) -> Response:
    """Find moments by words: POST /search for everything else."""
    parts: list[dict[str, Any]] = [{"kind": "text", "value": q}]
    if exclude is not None:
        parts.append({"kind": "text", "value": exclude, "weight": -1.0})
    query = read(SearchIn, {"parts": parts, "where": where, "k": k, "per_video": per_video, "page": page})
    return await _words(query, service)


@router.post(
    "/search/files",
    responses=errors(400, 404, 408, 409, 413, 422, 429, 503),
    openapi_extra=multipart("A search and its pictures and clips; they are removed when it is answered.", "query"),
)
async def search_files(request: Request, service: ServiceDep) -> SearchOut:
    """Search with pictures and clips that are sent along.

    `query` is the JSON of POST /search, whose parts name form fields by `file`; without it every file is a part, and
    `text` and `not` may be given as fields.
    """
    limits = service.options.limits
    folder = Path(tempfile.mkdtemp(prefix="footage-search-"))
    try:
        form = await receive(request, folder, limits, each_bytes=limits.clip_bytes)
        files = {file.field: (file.name, file.path) for file in form.files}
        if len(files) < len(form.files):
            files = {f"{file.field}.{n}": (file.name, file.path) for n, file in enumerate(form.files)}

        query = read_json(SearchIn, form.fields["query"][0]) if "query" in form.fields else None

        def work() -> SearchOut:
            if query is not None:
                return run(query, service, files)
            parts: list[dict[str, Any]] = [{"kind": "text", "value": t} for t in form.fields.get("text", [])]
            parts += [{"kind": "text", "value": t, "weight": -1} for t in form.fields.get("not", [])]
            for name, (shown, path) in files.items():
                parts.append({"kind": service.query_files.check(path, shown)[0], "file": name})
            fields = {n: form.fields[n][0] for n in ("k", "per_video", "page") if n in form.fields}
            return run(read(SearchIn, {"parts": parts, **fields}), service, files)

        return await (service.copying if query is not None and query.align else service.decodes).run(work)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


@router.post("/videos/{video}/curve", responses=errors(400, 404, 409, 422, 429, 503))
async def curve(video: VideoId, query: QueryIn, service: ServiceDep) -> StripOut:
    """How strongly each sample of one video answers the query."""

    def work() -> StripOut:
        found = service.video(video)
        parts = parts_of(query.parts, service)
        with named(parts):
            strip = service.library.curve(parts, found.id)
        columns = {n: [round(float(v), 3) for v in getattr(strip, n)] for n in ("start", "end", "at", "strength")}
        return StripOut(video=found.id, weak=WEAK, **columns)

    return await gate(query, service).run(work)


def gate(query: QueryIn, service: Service) -> Gate:
    """Whose workers answer: pictures and clips must be decoded, and words must not wait for that.

    To align a clip is a copy search, and stands in line with those.
    """
    if all(part.kind == "text" for part in query.parts):
        return service.searches
    return service.copying if isinstance(query, SearchIn) and query.align else service.decodes


async def _words(query: SearchIn, service: Service) -> Response:
    """Answer a search by words, together with those that wait at the same time, and before any indexing."""
    with service.jobs.way.first():
        return _json(await service.searches.ask(query, lambda queries: _run_many(queries, service)))


def _json(text: str) -> Response:
    """What was written by a worker already, so that the thread all clients share need not."""
    return Response(text, media_type="application/json")


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A search as the library takes it, and what its page token says."""

    query: SearchIn
    fingerprint: str
    page: paging.Page
    question: Question
    started: float


def run(query: SearchIn, service: Service, files: Files | None = None) -> SearchOut:
    """Answer one page of a search; blocking."""
    asked = _read(query, service, service.library.videos(), files)
    with named(asked.question.parts):
        (answer,) = service.library.search_many([asked.question])
        if isinstance(answer, FootageError):
            raise answer
    return _page(asked, answer, service)


def _run_many(queries: Sequence[SearchIn], service: Service) -> list[str | FootageError]:
    """Answer searches by words, in JSON; blocking."""
    videos = service.library.videos()
    read: list[_Asked | FootageError] = []
    for query in queries:
        try:
            read.append(_read(query, service, videos))
        except FootageError as error:
            read.append(error)
    answers = iter(service.library.search_many([each.question for each in read if isinstance(each, _Asked)]))
    return [each if isinstance(each, FootageError) else _written(each, next(answers), service) for each in read]


def _written(asked: _Asked, answer: list[Moment] | FootageError, service: Service) -> str | FootageError:
    return answer if isinstance(answer, FootageError) else _page(asked, answer, service).model_dump_json()


def _read(query: SearchIn, service: Service, videos: Sequence[Video], files: Files | None = None) -> _Asked:
    started = time.perf_counter()
    fingerprint = paging.fingerprint(query.model_dump(exclude={"page"}))
    where = where_of(query.where, service.video)
    page = paging.Page(0, max((v.indexed_at for v in videos), default=0.0))
    if query.page is not None:
        page = paging.decode(query.page, fingerprint)
        if any(v.indexed_at > page.as_of for v in videos):
            there = tuple(v.id for v in select(videos, where) if v.indexed_at <= page.as_of)
            where = Where(videos=there or ("",))  # the id of no video
    verify = service.library.settings.verify if query.verify is None else query.verify
    settings = SearchSettings(query.k, page.offset, query.per_video, where, verify, query.collapse, query.align)
    return _Asked(query, fingerprint, page, Question(parts_of(query.parts, service, files), settings), started)


def _page(asked: _Asked, moments: Sequence[Moment], service: Service) -> SearchOut:
    following = asked.page.offset + asked.query.k
    more = len(moments) == asked.query.k and following <= paging.MAX_OFFSET
    return SearchOut(
        moments=[MomentOut.of(m) for m in moments],
        videos={m.video.id: VideoOut.of(m.video, service.shown(m.video.path)) for m in moments},
        weak=WEAK,
        next=paging.encode(paging.Page(following, asked.page.as_of), asked.fingerprint) if more else None,
        took_ms=round((time.perf_counter() - asked.started) * 1000, 1),
    )
