"""What travels from one step of indexing to the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from footage.catalog import Job, Refused
from footage.sounds import Landmarks
from footage.types import Embeddings, Video

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


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One window of frames on its way to the encoder that looks at it."""

    job: Job
    video_id: str
    start: float
    end: float
    at: float
    images: tuple[UInt8, ...]  # RGB (h, w, 3), one a frame
    encoder: int  # its number, as `Together.cutters` gives it


Piece: TypeAlias = Picture | Run


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file is decoded; so many pieces of it were sent."""

    job: Job
    video: Video
    pieces: int
    sound: Landmarks | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A file whose content is in the library already."""

    job: Job
    video_id: str


@dataclass(frozen=True, slots=True)
class Lost:
    """What was sent of a video is void: it is done again from its beginning."""

    video_id: str


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing has come for a while: what is complete may be committed."""


Item: TypeAlias = Piece | Loaded | Known | Refused | Lost | Idle


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A batch of pieces with their vectors, row by row."""

    pieces: list[Piece]
    vectors: dict[str, Float32]

    def only(self, rows: list[int]) -> Encoded:
        """Some of its rows."""
        return Encoded([self.pieces[row] for row in rows], {space: v[rows] for space, v in self.vectors.items()})

    def light(self) -> Encoded:
        """Without the pictures that the encoders looked at: what is to be written."""
        return Encoded([replace(piece, images=()) for piece in self.pieces], self.vectors)

    def by_video(self, rows: Iterable[int]) -> dict[str, tuple[list[Piece], list[Embeddings]]]:
        """The pieces of these rows with what the spaces say of them, each video for itself."""
        import numpy as np

        numbers: dict[str, list[int]] = {}
        for row in rows:
            numbers.setdefault(self.pieces[row].video_id, []).append(row)
        out: dict[str, tuple[list[Piece], list[Embeddings]]] = {}
        for video_id, mine in numbers.items():
            pieces = [self.pieces[row] for row in mine]
            start, end, at = (np.array([getattr(p, name) for p in pieces]) for name in ("start", "end", "at"))
            out[video_id] = (
                pieces,
                [Embeddings(space, video_id, start, end, at, v[mine]) for space, v in self.vectors.items()],
            )
        return out
