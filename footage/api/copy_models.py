"""What copy search may be asked for, and what it answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from footage.api.models import Given, MatchOut, Seconds, VideoId, VideoOut, WhereIn


class RangeRef(Given):
    """A range of a video in the library."""

    video: VideoId
    start: Seconds = 0.0
    end: Seconds | None = Field(None, description="By default the end of the video")


class ClipIn(Given):
    """The clip that is asked with: a query file, or a range of a video in the library."""

    upload: str | None = Field(None, max_length=64, description="Id of a query file, see POST /query-files")
    moment: RangeRef | None = None

    @model_validator(mode="after")
    def _one_source(self) -> ClipIn:
        if (self.upload is None) == (self.moment is None):
            raise ValueError("a clip is given as exactly one of upload and moment")
        return self


class CopyFilters(Given):
    """Which matches are wanted."""

    where: WhereIn = Field(default_factory=lambda: WhereIn.model_validate({}))
    k: int = Field(100, ge=1, le=500, description="At most so many matches")
    min_probability: float = Field(0.5, ge=0, le=1, allow_inf_nan=False, description="Leave out what is less probable")
    sound: bool = Field(False, description="Also what is only heard, such as the same music")


class CopiesIn(ClipIn, CopyFilters):
    """A search for copies of a clip."""


class MatchRef(Given):
    """A match of which a picture is wanted."""

    video: VideoId
    query_start: Seconds
    query_end: Seconds
    start: Seconds
    end: Seconds
    mirrored: bool = False


class AlignmentIn(ClipIn):
    """A clip and one of its matches."""

    match: MatchRef


class CopiesOut(BaseModel):
    """The matches of a clip, the most probable first."""

    query: str = Field(description="Name of the clip")
    seconds: float = Field(description="Its length")
    matches: list[MatchOut]
    videos: dict[str, VideoOut] = Field(description="The videos of these matches, by id")
    took_ms: float


class WithinIn(Given):
    """How the library is compared with itself."""

    verify: bool = Field(
        True,
        description="Compare the pictures of each pair; else the stored vectors decide, and searches do not heed it",
    )
    again: bool = Field(False, description="Compare anew, though the library has not changed since it was")


class CopyOut(BaseModel):
    """What one video is to the one to keep."""

    video: str
    kind: Literal["master", "re-encode", "excerpt", "dubbed", "mirrored", "compilation", "overlap"]
    covered: float = Field(description="0..1 of it that the one to keep shows as well")
    advice: Literal["keep", "redundant"]


class GroupOut(BaseModel):
    """Videos that show the same; no file is ever touched."""

    keep: str = Field(description="Id of the video to keep")
    why: str
    reasons: list[Literal["complete", "sound", "large", "bits", "whole"]] = Field(
        description="The same, for other languages"
    )
    videos: list[CopyOut] = Field(description="The one to keep first")


class StretchOut(BaseModel):
    """A range of a video."""

    video: str
    start: float
    end: float


class PairOut(MatchOut):
    """A match between two videos of the library; the times of the clip are those of `query`."""

    query: str = Field(description="Id of the other video")


class WithinOut(BaseModel):
    """What the library has twice."""

    groups: list[GroupOut] = Field(description="The largest first")
    shared: list[list[StretchOut]] = Field(
        description="Material that several otherwise different videos have in common"
    )
    matches: list[PairOut] = Field(description="Between the videos of the groups, the most probable first")
    videos: dict[str, VideoOut] = Field(description="All of these videos, by id")
    took_ms: float


class HowFarOut(BaseModel):
    """How far a search is, as the data of an event."""

    what: str = Field(description="waiting, clip (in seconds), videos or pairs")
    done: float
    of: float = Field(description="0: not known yet")


class AlignmentOut(BaseModel):
    """How alike the moments around a match are; its path is a line from one corner of the match to the other."""

    query_times: list[float] = Field(description="One for each row")
    video_times: list[float] = Field(description="One for each column")
    similarity: list[list[int]] = Field(description="Percent; 0: as unlike as any two moments, or more")

    @classmethod
    def of(cls, found: Any) -> AlignmentOut:
        """In small numbers."""
        percent = (found.similarity.clip(0, 1) * 100).round().astype(int)
        return cls(
            query_times=[round(float(t), 3) for t in found.query_times],
            video_times=[round(float(t), 3) for t in found.video_times],
            similarity=percent.tolist(),
        )
