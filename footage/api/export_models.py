"""What an export may be asked for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from footage.api.models import AlsoOut, Given, MatchOut, Seconds, VideoId

ExportFormat = Literal["clip", "frame", "csv", "json", "vtt", "edl", "fcpxml", "otio"]
CutMode = Literal["exact", "fast"]
PictureType = Literal["png", "jpeg"]
PICTURES: dict[PictureType, str] = {"png": ".png", "jpeg": ".jpg"}


class EvidenceIn(Given):
    """Evidence as a search gave it."""

    channel: str = Field(max_length=40)
    query: str = Field(max_length=2000)
    space: str = Field("", max_length=200)
    score: float = Field(0.0, allow_inf_nan=False)
    strength: float = Field(0.0, allow_inf_nan=False)
    at: Seconds | None = None


class ExportMoment(Given):
    """A range of a video; a moment of a search may be given as it is, and its words then name it in edit lists."""

    video: VideoId
    start: Seconds
    end: Seconds
    at: Seconds | None = Field(None, description="The frame for pictures and markers; by default in the middle")
    score: float = Field(0.0, allow_inf_nan=False)
    strength: float = Field(1.0, allow_inf_nan=False)
    evidence: list[EvidenceIn] = Field(default=[], max_length=64)
    also: list[AlsoOut] = Field(
        default=[], max_length=1000, description="As a search gave it; only the moment is taken out"
    )
    match: MatchOut | None = Field(None, description="As a search gave it; only the moment is taken out")


class ExportIn(Given):
    """Moments, and how they are taken out."""

    moments: list[ExportMoment] = Field(min_length=1, max_length=200)
    format: ExportFormat
    mode: CutMode = Field(
        "exact", description="Clips: exactly the frames, encoded; or fast: copied from the key frame before the start"
    )
    container: Literal["mp4", "m4v", "mov", "mkv"] | None = Field(
        None, description="Of clips; by default mp4, of fast ones that of their source"
    )
    picture: PictureType = Field("png", description="Of frames")
    pad: float = Field(0.0, ge=0, le=3600, allow_inf_nan=False, description="Seconds added before and after")
    height: int = Field(0, ge=0, le=4320, description="Clips that are encoded: at most so many pixels high; 0: as is")
    title: str = Field("Footage", min_length=1, max_length=200, description="Of an edit list, and of a ZIP")
