"""The agent's face: the verbs of `Library` as tools of the Model Context Protocol, over stdio or under /mcp.

It stands on the same service as the REST routes: the same bounded workers, jobs and allowed folders.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import anyio
import anyio.to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field, ValidationError

from footage import __version__
from footage.api import ServeOptions, Service
from footage.api.copy_models import ClipIn, CopyFilters, WithinIn, WithinOut
from footage.api.copy_routes import Clip, clip_of, clip_of_file, found, within
from footage.api.faults import body
from footage.api.job_routes import allowed, job_out, start, state_of
from footage.api.jobs import ENDED
from footage.api.models import IndexIn, SearchIn
from footage.api.progressing import Waiting, waited
from footage.api.search_routes import run
from footage.api.video_routes import listed, shown_frame
from footage.errors import FootageError, QueryError

if TYPE_CHECKING:
    from footage.api import App
    from footage.library import Library

T = TypeVar("T")
_READ = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITE = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_MAX_WAIT = 50.0  # seconds; clients give up on a tool after a minute
_INSTRUCTIONS = """Find moments in a library of video by words. `search` answers with a video and seconds; look at a
moment with `frame_at` before you rely on it: a strength below 0.5 is more likely wrong than right."""

Words = Annotated[str, Field(min_length=1, max_length=2000, description="What is to be seen, e.g. 'a dog on a beach'")]
Not = Annotated[str | None, Field(max_length=2000, description="What must not be seen")]
VideoName = Annotated[str, Field(pattern=r"^[0-9a-f]{4,64}$", description="Id of a video, or its first characters")]
Count = Annotated[int, Field(ge=1, le=100)]
Folder = Annotated[str | None, Field(max_length=500, description="Only videos in this folder, or a glob")]
Date = Annotated[str | None, Field(max_length=40, description="2024, 2024-05 or 2024-05-31T18:00")]


class FoundMoment(BaseModel):
    """A range of a video that answers."""

    video: str
    name: str
    path: str
    start: float
    end: float
    at: float = Field(description="The best frame, for frame_at")
    strength: float
    likely: bool = Field(description="False: more likely wrong than right")


class Found(BaseModel):
    """Moments, best first."""

    moments: list[FoundMoment]


class FoundMatch(BaseModel):
    """A range of the clip that is a range of a video."""

    query_start: float
    query_end: float
    video: str
    name: str
    path: str
    start: float
    end: float
    score: float = Field(description="How alike the aligned pictures are")
    probability: float
    speed: float = Field(description="Seconds of the video for a second of the clip")
    offset: float = Field(description="Time in the video = offset + speed * time in the clip")
    mirrored: bool
    evidence: list[str] = Field(description="picture; sound if that is the same too, other sound if it is another")


class FoundCopies(BaseModel):
    """Matches, the most probable first."""

    matches: list[FoundMatch]


class CopyOf(BaseModel):
    """What one video is to the one to keep."""

    video: str
    name: str
    path: str
    kind: str = Field(
        description="master (the one to keep), re-encode, excerpt, dubbed, mirrored, compilation or overlap"
    )
    covered: float = Field(description="0..1 of it that the one to keep shows as well")
    advice: Literal["keep", "redundant"]


class FoundGroup(BaseModel):
    """Videos that show the same, the one to keep first."""

    why: str
    videos: list[CopyOf]


class FoundStretch(BaseModel):
    """A range of a video that others have too."""

    video: str
    name: str
    start: float
    end: float


class FoundWithin(BaseModel):
    """What the library has twice. No file is ever touched: the advice is for the user."""

    state: Literal["done", "running"] = Field(description="running: call again, the work goes on meanwhile")
    progress: str
    groups: list[FoundGroup]
    shared: list[list[FoundStretch]] = Field(description="Intros, cards: in several otherwise different videos")


class Listed(BaseModel):
    """Videos in the order of their paths."""

    videos: list[dict[str, Any]]
    total: int
    next: str | None = Field(description="Give it as `page` for those that follow")


class IndexState(BaseModel):
    """How far an indexing job is."""

    job: str
    state: Literal["queued", "running", "paused", "done", "failed", "cancelled"]
    files: int
    files_done: int
    counts: dict[str, int]
    failed: list[str]
    error: str | None


def build(service: Service) -> MCPServer[Any]:
    """Make the server with its tools."""
    server: MCPServer[Any] = MCPServer("footage", version=__version__, instructions=_INSTRUCTIONS, log_level="WARNING")

    async def search(
        query: Words,
        exclude: Not = None,
        k: Count = 10,
        folder: Folder = None,
        after: Date = None,
        before: Date = None,
    ) -> Found:
        """Find the moments in the library that show what the words say, best first."""
        where = {"folders": [folder] if folder else [], "after": after, "before": before}
        return await _answer(_search(service, query, exclude, k, 3, where))

    async def moments_of(video: VideoName, query: Words, exclude: Not = None, k: Count = 10) -> Found:
        """Find the moments inside one video that show what the words say, best first."""
        return await _answer(_search(service, query, exclude, k, k, {"videos": [video]}))

    async def frame_at(
        video: VideoName,
        at: Annotated[float, Field(ge=0, le=1e7, description="Seconds from the start")],
        full: Annotated[bool, Field(description="The exact frame from the file instead of a small key frame")] = False,
        height: Annotated[int, Field(ge=16, le=1080, description="At most so high, with full")] = 720,
    ) -> Image:
        """Look at a video at a time: returns the picture."""
        return Image(data=await _answer(shown_frame(service, video, at, full, height)), format="jpeg")

    async def list_videos(
        folder: Folder = None,
        after: Date = None,
        before: Date = None,
        limit: Annotated[int, Field(ge=1, le=500)] = 50,
        page: Annotated[str | None, Field(max_length=400)] = None,
    ) -> Listed:
        """List the videos of the library: id, name, path, duration, size, date."""
        where = {"folders": [folder] if folder else [], "after": after, "before": before}
        found = await _answer(listed(service, where, limit, page))
        kept = {"id", "name", "path", "duration", "width", "height", "fps", "recorded_at", "has_audio", "warning"}
        return Listed(videos=[v.model_dump(include=kept) for v in found.videos], total=found.total, next=found.next)

    async def index(
        folders: Annotated[list[str] | None, Field(max_length=20, description="Folders or files to index")] = None,
        job: Annotated[str | None, Field(max_length=64, description="Instead: a job to look at again")] = None,
        wait_seconds: Annotated[float, Field(ge=0, le=_MAX_WAIT, description="At most so long")] = 30,
    ) -> IndexState:
        """Index folders: only new and changed files are done. Long work goes on; call again with `job` to follow it."""
        return await _answer(_index(service, folders or [], job, wait_seconds))

    async def copies(
        video: Annotated[VideoName | None, Field(description="Look for copies of a range of this video")] = None,
        start: Annotated[float, Field(ge=0, le=1e7)] = 0,
        end: Annotated[float | None, Field(ge=0, le=1e7, description="By default the end of the video")] = None,
        file: Annotated[str | None, Field(max_length=4000, description="Instead: a clip in an allowed folder")] = None,
        k: Count = 20,
        min_probability: Annotated[float, Field(ge=0, le=1)] = 0.5,
        sound: Annotated[bool, Field(description="Also what is only heard, such as the same music")] = False,
        folder: Folder = None,
    ) -> FoundCopies:
        """Find which seconds of a clip are which seconds of the library's videos, however it was changed.

        It takes about a tenth of the clip's length or more: take parts of a minute or two, rather than an hour.
        """
        clip = {"video": video, "start": start, "end": end} if video is not None else None
        where = {"folders": [folder] if folder else []}
        wanted = {"where": where, "k": k, "min_probability": min_probability, "sound": sound}
        return await _answer(_copies(service, clip, file, wanted))

    async def copies_within(
        again: Annotated[bool, Field(description="Compare anew, though the library has not changed")] = False,
        wait_seconds: Annotated[float, Field(ge=0, le=_MAX_WAIT, description="At most so long")] = 30,
    ) -> FoundWithin:
        """Find what the library has twice: groups of copies with the one to keep, and material shared by many.

        It is kept until the library changes. In a large library it takes minutes: call again to wait on.
        """
        return await _answer(comparing.wait(again, wait_seconds))

    comparing = _Comparing(service)
    for tool in (search, moments_of, frame_at, list_videos, copies, copies_within):
        server.add_tool(tool, annotations=_READ)
    server.add_tool(index, annotations=_WRITE)
    return server


def mount(app: App) -> None:
    """Serve the tools under /mcp of the REST app, behind its checks."""
    server = build(app.state.service)
    inner = server.streamable_http_app(
        streamable_http_path="/mcp",
        # Host, Origin and login are checked in front of every route of the app.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    app.router.routes.extend(inner.routes)
    app.state.lifespans.append(server.session_manager.run)


def serve_stdio(library: Library, options: ServeOptions) -> None:
    """Answer a client on standard input and output until it goes away."""

    async def main() -> None:
        async with _service(library, options) as service:
            await build(service).run_stdio_async()

    anyio.run(main)


@asynccontextmanager
async def _service(library: Library, options: ServeOptions) -> AsyncGenerator[Service]:
    service = Service.of(library, options)
    try:
        await anyio.to_thread.run_sync(service.warm)
        yield service
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(service.close)


async def _answer(work: Awaitable[T]) -> T:
    """Words for the model where something expected went wrong."""
    try:
        return await work
    except FootageError as error:
        said = body(error)
        raise ToolError(said.message + (f" (hint: {said.hint})" if said.hint else "")) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise ToolError(f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}") from error


async def _search(
    service: Service, words: str, exclude: str | None, k: int, per_video: int, where: dict[str, Any]
) -> Found:
    parts: list[dict[str, Any]] = [{"kind": "text", "value": words}]
    if exclude:
        parts.append({"kind": "text", "value": exclude, "weight": -1.0})
    query = SearchIn.model_validate({"parts": parts, "where": where, "k": k, "per_video": per_video})
    answer = await service.searches.run(lambda: run(query, service))
    return Found(
        moments=[
            FoundMoment(
                video=m.video,
                name=answer.videos[m.video].name,
                path=answer.videos[m.video].path,
                start=m.start,
                end=m.end,
                at=m.at,
                strength=m.strength,
                likely=m.strength >= answer.weak,
            )
            for m in answer.moments
        ]
    )


async def _copies(
    service: Service, moment: dict[str, Any] | None, file: str | None, filters: dict[str, Any]
) -> FoundCopies:
    if (moment is None) == (file is None):
        raise QueryError("a clip is given as exactly one of video and file")
    wanted = CopyFilters.model_validate(filters)

    def clip() -> Clip:
        if file is None:
            return clip_of(ClipIn.model_validate({"moment": moment}), service)
        path = allowed(file, service)
        return clip_of_file(path, path.name, service)

    answer = await waited(None, service, lambda told: found(clip(), wanted, service, told))
    return FoundCopies(
        matches=[
            FoundMatch(
                **m.model_dump(include=set(FoundMatch.model_fields)),
                name=answer.videos[m.video].name,
                path=answer.videos[m.video].path,
            )
            for m in answer.matches
        ]
    )


class _Comparing:
    """One comparison of the library with itself, which goes on while nobody waits for it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._run: tuple[asyncio.Future[WithinOut], Waiting] | None = None

    async def wait(self, again: bool, seconds: float) -> FoundWithin:
        """Wait for the one that is under way, or for a new one."""
        if self._run is None:
            told, wanted = Waiting(), WithinIn.model_validate({"again": again})
            work = waited(None, self._service, lambda told: within(wanted, self._service, told), told)
            self._run = asyncio.ensure_future(work), told
        future, told = self._run
        await asyncio.wait({future}, timeout=seconds)
        if not future.done():
            how = f"{told.what} {told.done:g} of {told.of:g}" if told.of else told.what
            return FoundWithin(state="running", progress=how, groups=[], shared=[])
        self._run = None
        return _found_within(future.result())


def _found_within(found: WithinOut) -> FoundWithin:
    def named(video: str) -> dict[str, str]:
        return {"video": video, "name": found.videos[video].name}

    groups = [
        FoundGroup(
            why=group.why,
            videos=[
                CopyOf(
                    **named(copy.video),
                    path=found.videos[copy.video].path,
                    kind=copy.kind,
                    covered=copy.covered,
                    advice=copy.advice,
                )
                for copy in group.videos
            ],
        )
        for group in found.groups
    ]
    shared = [[FoundStretch(**named(s.video), start=s.start, end=s.end) for s in part] for part in found.shared]
    return FoundWithin(state="done", progress="", groups=groups, shared=shared)


async def _index(service: Service, folders: list[str], job: str | None, wait_seconds: float) -> IndexState:
    if job is not None:
        shown = await state_of(job, service)
    else:
        shown = job_out(await start(service, IndexIn.model_validate({"folders": folders})), service)
    with anyio.move_on_after(wait_seconds):
        while shown.state not in ENDED:
            await anyio.sleep(0.1)
            shown = await state_of(shown.id, service)
    return IndexState(
        job=shown.id,
        state=shown.state,
        files=shown.progress.files,
        files_done=shown.progress.files_done,
        counts=shown.counts,
        failed=[f"{f.path}: {f.error}" for f in shown.files if f.status == "failed"],
        error=shown.error.message if shown.error is not None else None,
    )
