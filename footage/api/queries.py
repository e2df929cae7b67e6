"""From what a request says to what `Library.search` takes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, ValidationError

from footage.api.faults import Invalid
from footage.api.models import Box, MomentRef, PartIn, WhereIn
from footage.api.uploads import known_as
from footage.errors import QueryError
from footage.search import Part, parse_time
from footage.types import Where

if TYPE_CHECKING:
    from footage.api.service import Service
    from footage.library import Library
    from footage.types import UInt8

M = TypeVar("M", bound=BaseModel)
MAX_CLIP_SECONDS = 120.0  # of a clip taken from the library itself


@dataclass(frozen=True, slots=True, eq=False)
class NamedPart(Part):
    """A part whose value is no name that a client should see."""

    name: str = ""

    @property
    def label(self) -> str:
        """The name that the client knows it by."""
        return self.name


def parts_of(parts: list[PartIn], service: Service, files: Mapping[str, tuple[str, Path]] | None = None) -> list[Part]:
    """Read the parts of a query; blocking, since frames may be decoded. `files` are those sent with the request."""
    if len(parts) > service.options.limits.parts:
        raise QueryError(f"{len(parts)} parts, but a query may have at most {service.options.limits.parts}")
    return [_part(part, service, files or {}) for part in parts]


@contextmanager
def named(parts: Sequence[Part]) -> Generator[None]:
    """Name the files of a query in errors as the client knows them."""
    with ExitStack() as stack:
        for part in parts:
            if isinstance(part, NamedPart) and isinstance(part.value, Path):
                stack.enter_context(known_as(part.value, part.name))
        yield


def _part(part: PartIn, service: Service, files: Mapping[str, tuple[str, Path]]) -> Part:
    if part.weight == 0:
        raise QueryError("a weight of 0 makes no query", hint="leave that part out")
    if part.value is not None:
        if not part.value.strip():
            raise QueryError("the query is empty", hint="say what to look for")
        return Part("text", part.value.strip(), part.weight)
    if part.moment is not None:
        return _moment(part, part.moment, service)
    if part.upload is not None:
        found = service.query_files.get(part.upload)
        kind, name, path = found.kind, found.name, found.path
    else:
        if part.file is None or part.file not in files:
            raise Invalid(f"no file in the form by this name: {part.file}")
        name, path = files[part.file]
        kind = service.query_files.check(path, name)[0]
    if kind != part.kind:
        raise QueryError(f"{name} is of the kind {kind}, not {part.kind}")
    return NamedPart(part.kind, path, part.weight, part.like, name=name)


def _moment(part: PartIn, moment: MomentRef, service: Service) -> Part:
    library = service.library
    video = library.get(moment.video)
    name = Path(video.path).name or video.id
    if part.kind == "video":
        start, end = moment.start or 0.0, moment.end or 0.0
        if end - start > MAX_CLIP_SECONDS:
            raise QueryError(f"a clip of {end - start:g} s, but at most {MAX_CLIP_SECONDS:g} s can be looked for")
        with service.renditions.open(video, start, end, height=360) as clip:
            return NamedPart("video", Path(clip.name), part.weight, part.like, name=f"{name} {start:.1f}-{end:.1f} s")
    at = moment.at or 0.0
    return NamedPart(
        "image", picture_at(library, video.id, at, moment.box), part.weight, part.like, name=f"{name} {at:.1f} s"
    )


def picture_at(library: Library, video_id: str, at: float, box: Box | None) -> UInt8:
    """The frame at this time, or a box of it; from the key frames when the file is away."""
    picture = library.picture(video_id, at)
    if box is None:
        return picture
    height, width = picture.shape[:2]
    left, top = round(box.x * width), round(box.y * height)
    right, bottom = round(min(1.0, box.x + box.w) * width), round(min(1.0, box.y + box.h) * height)
    if right - left < 8 or bottom - top < 8:
        raise QueryError("the box is smaller than 8 pixels", hint="draw a larger one")
    return picture[top:bottom, left:right]


def where_of(where: WhereIn, find: Callable[[str], Any]) -> Where:
    """Read the filters; `find` looks a video up by the beginning of its id."""
    return Where(
        paths=tuple(where.folders),
        videos=tuple(find(v).id for v in where.videos),
        after=_date(where.after),
        before=_date(where.before),
        min_duration=where.min_duration,
        max_duration=where.max_duration,
        min_bytes=where.min_bytes,
        max_bytes=where.max_bytes,
    )


async def _filters(  # not async, it would cost a thread
    folder: Annotated[list[str] | None, Query(max_length=20, description="Folders or globs")] = None,
    after: Annotated[str | None, Query(max_length=40, description="Recorded at or after")] = None,
    before: Annotated[str | None, Query(max_length=40, description="Recorded before")] = None,
    min_duration: Annotated[float | None, Query(ge=0, le=1e7)] = None,
    max_duration: Annotated[float | None, Query(ge=0, le=1e7)] = None,
) -> WhereIn:
    values = {"folders": folder or [], "after": after, "before": before}
    return read(WhereIn, {**values, "min_duration": min_duration, "max_duration": max_duration})


Filters = Annotated[WhereIn, Depends(_filters)]
"""The filters as parameters of an address."""


def _date(value: float | str | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return float(value) if len(value) > 4 else parse_time(value)
        except ValueError:
            return parse_time(value)
    return value


def read(model: type[M], values: M | dict[str, Any]) -> M:
    """Check values that came some other way than as a JSON body; raises Invalid."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _invalid(error) from error


def read_json(model: type[M], text: str) -> M:
    """Check a JSON text; raises Invalid."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: ValidationError) -> Invalid:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return Invalid(f"{'.'.join(str(p) for p in first['loc']) or 'query'}: {first['msg']}")
