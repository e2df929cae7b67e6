"""What travels from one step of indexing to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from footage.catalog import Job, Refused
from footage.types import Video

if TYPE_CHECKING:
    from footage.types import Float32, UInt8


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One sample on its way to the encoder."""

    job: Job
    video_id: str
    start: float
    end: float
    at: float
    images: tuple[UInt8, ...]  # RGB (h, w, 3) in the size of each encoder, as `Together.scaled` gives them
    jpeg: bytes  # for the key-frame store


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file is decoded; `video.samples` pictures of it were sent."""

    job: Job
    video: Video


@dataclass(frozen=True, slots=True)
class Known:
    """A file whose content is in the library already."""

    job: Job
    video_id: str


Item: TypeAlias = Picture | Loaded | Known | Refused


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A batch of pictures with their vectors, row by row."""

    pictures: list[Picture]
    vectors: dict[str, Float32]
