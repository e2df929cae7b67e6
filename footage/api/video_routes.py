"""Videos: the list, one of them, its key frames, its exact frames, and how to play it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from footage.api import paging
from footage.api.docs import binary, errors
from footage.api.downloads import attachment
from footage.api.export_models import PICTURES, PictureType
from footage.api.faults import Invalid
from footage.api.models import (
    FramesOut,
    PlaybackOut,
    RemovedOut,
    Seconds,
    VideoId,
    VideoOut,
    VideosOut,
    WhereIn,
)
from footage.api.queries import Filters, read, where_of
from footage.api.ranged import RangedFile
from footage.api.service import Service, ServiceDep
from footage.export.names import timed_name
from footage.frames import jpeg
from footage.media import resize
from footage.media.cut import picture_bytes
from footage.media.sprite import sprite
from footage.playback import open_file
from footage.types import Video

router = APIRouter(prefix="/videos", tags=["videos"])
_TILE = 160  # pixels: width of a picture of a storyboard
_REDIRECT_SECONDS = 120.0  # of a rendition that nobody gave an end
_DAY = 86_400
_PARTS = {
    206: {"description": "The asked range", "content": {"video/*": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "Not changed"},
    416: {"description": "No such range"},
}


@router.get("", responses=errors(400, 404, 422, 429, 503))
async def videos(
    service: ServiceDep,
    where: Filters,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    page: Annotated[str | None, Query(max_length=400)] = None,
) -> VideosOut:
    """The videos of the library, in the order of their paths; an empty list while there is none."""
    return await listed(service, where, limit, page)


@router.get("/{video}", responses=errors(404, 422, 429, 503))
async def show(video: VideoId, service: ServiceDep) -> VideoOut:
    """One video."""
    found = await _find(video, service)
    return VideoOut.of(found, service.shown(found.path))


@router.delete("/{video}", responses=errors(404, 422, 429, 503))
async def remove(video: VideoId, service: ServiceDep) -> RemovedOut:
    """Forget a video; its file is not touched."""

    def work() -> RemovedOut:
        gone = service.library.remove(service.video(video).id)[0]
        return RemovedOut(video=gone.id, name=gone.path.rsplit("/", 1)[-1])

    return await service.reads.run(work)


@router.get("/{video}/frames", responses=errors(404, 422, 429, 503))
async def frames(
    video: VideoId,
    service: ServiceDep,
    start: Seconds = 0,
    end: Seconds | None = None,
    limit: Annotated[int | None, Query(ge=1, le=1000, description="At most so many, evenly chosen")] = None,
) -> FramesOut:
    """Times of the key frames that the library keeps; with `limit`, those of the storyboard of so many pictures."""

    def work() -> FramesOut:
        found = service.video(video)
        return FramesOut(video=found.id, times=chosen_times(service, found, start, end, limit))

    return await service.reads.run(work)


@router.get(
    "/{video}/frame",
    response_class=Response,
    responses=binary("image/jpeg", "The picture", "image/png") | errors(404, 409, 422, 429, 503),
)
async def frame(
    video: VideoId,
    service: ServiceDep,
    at: Annotated[Seconds, Query(description="Seconds from the start of the video")],
    full: Annotated[bool, Query(description="Decode the very frame in full size from the file")] = False,
    height: Annotated[int, Query(ge=16, le=2160, description="At most so high, with `full`")] = 2160,
    format: Annotated[PictureType, Query(description="png: with `full` only")] = "jpeg",
    download: Annotated[bool, Query(description="As an attachment, named after the video and the time")] = False,
) -> Response:
    """The key frame that stands at this time, at most 320 pixels long; with `full`, the exact frame of the file."""
    if format == "png" and not full:
        raise Invalid("key frames are kept as JPEG", hint="add full=1 for a PNG of the very frame")
    data = await shown_frame(service, video, at, full, height, format)
    # Found by content, so what a video shows at a time never changes; which frames are kept may.
    headers = {"cache-control": f"private, max-age={_DAY if full else 60}"}
    if download:
        path = (await _find(video, service)).path
        headers["content-disposition"] = attachment(timed_name(path, [at], PICTURES[format]))
    return Response(data, media_type=f"image/{format}", headers=headers)


@router.get(
    "/{video}/storyboard",
    response_class=Response,
    responses=binary("image/jpeg", "Pictures side by side, each 160 pixels wide") | errors(404, 422, 429, 503),
)
async def storyboard(
    video: VideoId,
    service: ServiceDep,
    start: Seconds = 0,
    end: Seconds | None = None,
    limit: Annotated[int, Query(ge=1, le=50, description="At most so many pictures")] = 12,
) -> Response:
    """Key frames of a range side by side in one picture; GET frames with the same arguments tells their times."""

    def work() -> tuple[bytes, int]:
        found = service.video(video)
        times = chosen_times(service, found, start, end, limit)
        return sprite([service.library.thumbnail(found.id, t) for t in times], _TILE), len(times)

    data, count = await service.reads.run(work)
    headers = {"cache-control": "private, max-age=60", "x-frame-count": str(count)}
    return Response(data, media_type="image/jpeg", headers=headers)


@router.get("/{video}/playback", responses=errors(404, 409, 422, 429, 503))
async def playback(video: VideoId, service: ServiceDep) -> PlaybackOut:
    """How a browser can play it: the file itself, or renditions of ranges."""

    def work() -> PlaybackOut:
        found = service.video(video)
        way = service.ways(found)
        return PlaybackOut(
            video=found.id,
            mode=way.mode,
            type=way.type,
            reason=way.reason,
            url=f"/api/v1/videos/{found.id}/{'stream' if way.mode == 'direct' else 'rendition'}",
            duration=found.duration,
            max_rendition_seconds=service.renditions.max_seconds,
        )

    return await service.reads.run(work)


@router.head("/{video}/stream", include_in_schema=False)
@router.get(
    "/{video}/stream",
    response_class=Response,
    responses=binary("video/mp4", "The file itself", "video/webm")
    | _PARTS
    | {302: {"description": "To a rendition: browsers do not play this file as it is"}}
    | errors(404, 409, 422, 429, 503),
)
async def stream(
    video: VideoId,
    request: Request,
    service: ServiceDep,
    start: Annotated[Seconds, Query(description="Of the rendition, if one is needed")] = 0,
    end: Annotated[Seconds | None, Query(description="Of the rendition; by default 120 s later")] = None,
) -> Response:
    """The bytes of the file, in ranges; a file that browsers do not play is answered with the way to a rendition."""

    def work() -> Response:
        found = service.video(video)
        way = service.ways(found)
        if way.mode == "direct":
            file, known = open_file(found)
            return RangedFile(file, way.type, known=known)
        until = min(end if end is not None else start + _REDIRECT_SECONDS, found.duration)
        return RedirectResponse(f"/api/v1/videos/{found.id}/rendition?start={start:g}&end={until:g}", 302)

    return await service.reads.run(work)


@router.head("/{video}/rendition", include_in_schema=False)
@router.get(
    "/{video}/rendition",
    response_class=Response,
    responses=binary("video/mp4", "The range as H.264 and AAC; its time 0 is `start`")
    | _PARTS
    | errors(400, 404, 409, 422, 429, 503),
)
async def rendition(
    video: VideoId,
    service: ServiceDep,
    start: Annotated[Seconds, Query()],
    end: Annotated[Seconds, Query()],
    height: Annotated[int, Query(ge=144, le=1080, description="At most so high")] = 1080,
) -> Response:
    """A range of the video as H.264 and AAC in MP4, made when it is asked for the first time."""

    def work() -> Response:
        found = service.video(video)
        return RangedFile(service.renditions.open(found, start, end, height=height), "video/mp4", max_age=3600)

    return await service.decodes.run(work)


async def listed(service: Service, filters: WhereIn | dict[str, Any], limit: int, page: str | None) -> VideosOut:
    """One page of the videos that pass the filters."""

    def work() -> VideosOut:
        where = read(WhereIn, filters)
        query = paging.fingerprint(where.model_dump())
        offset = paging.decode(page, query).offset if page is not None else 0
        found = service.library.videos(where_of(where, service.video)) if service.library.exists() else []
        following = offset + limit
        return VideosOut(
            videos=[VideoOut.of(v, service.shown(v.path)) for v in found[offset:following]],
            total=len(found),
            next=paging.encode(paging.Page(following, 0.0), query) if following < len(found) else None,
        )

    return await service.reads.run(work)


async def shown_frame(
    service: Service, video: str, at: float, full: bool, height: int, format: PictureType = "jpeg"
) -> bytes:
    """The JPEG of a key frame, or the exact frame scaled down to a height."""

    def stored() -> bytes:
        return service.library.thumbnail(service.video(video).id, at)

    def decoded() -> bytes:
        picture = service.library.picture(service.video(video).id, at)
        scale = min(1.0, height / picture.shape[0])
        width = max(1, round(picture.shape[1] * scale))
        picture = resize(picture, width, max(1, round(picture.shape[0] * scale)))
        return jpeg(picture) if format == "jpeg" else picture_bytes(picture, PICTURES[format])

    return await (service.decodes.run(decoded) if full else service.reads.run(stored))


def chosen_times(service: Service, video: Video, start: float, end: float | None, limit: int | None) -> list[float]:
    """The times of key frames in a range, thinned out evenly; of an empty range, the one that stands at its start."""
    times = service.library.frame_times(video.id)
    inside = [t for t in times if t >= start and (end is None or t < end)]
    if not inside:
        inside = [t for t in times if t <= start][-1:] or times[:1]
    if limit is not None and len(inside) > limit:
        last = len(inside) - 1
        inside = [inside[round(n * last / max(1, limit - 1))] for n in range(limit)]
    return inside


async def _find(name: str, service: Service) -> Video:
    return await service.reads.run(lambda: service.video(name))
