"""What goes in and out as JSON. Times are seconds from the start of a video, dates unix time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from footage.types import Match, Moment, Video

VideoId = Annotated[str, Field(pattern=r"^[0-9a-f]{4,64}$", description="Id of a video, or its first characters")]
Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Date = (
    Annotated[float, Field(ge=-62_000_000_000, le=253_402_300_000, allow_inf_nan=False)]  # the years 1 to 9999
    | Annotated[str, Field(max_length=40)]
)


class Given(BaseModel):
    """What a client says: names that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


class ErrorBody(BaseModel):
    """Every answer that is no success."""

    error: str = Field(description="Kind of error: the name of its class")
    message: str = Field(description="What, and which value")
    hint: str = Field(description="What to do about it; may be empty")
    retry: bool = Field(description="Whether the same request may succeed later")


# ------------------------------------------------------------------------------------------------------------ queries


class Box(Given):
    """A part of a picture, in fractions of its width and height from the upper left."""

    x: float = Field(ge=0, lt=1, allow_inf_nan=False)
    y: float = Field(ge=0, lt=1, allow_inf_nan=False)
    w: float = Field(gt=0, le=1, allow_inf_nan=False)
    h: float = Field(gt=0, le=1, allow_inf_nan=False)


class MomentRef(Given):
    """A frame of a video in the library (`at`, perhaps only a `box` of it), or a clip of it (`start`, `end`)."""

    video: VideoId
    at: Seconds | None = None
    box: Box | None = None
    start: Seconds | None = None
    end: Seconds | None = None


class PartIn(Given):
    """One part of a query: words, a picture or a clip; exactly one of `value`, `upload`, `file`, `moment`."""

    kind: Literal["text", "image", "video"]
    value: str | None = Field(None, min_length=1, max_length=2000, description="The words, for kind text")
    upload: str | None = Field(None, max_length=64, description="Id of a query file, see POST /query-files")
    file: str | None = Field(None, max_length=200, description="Name of a form field, in POST /search/files only")
    moment: MomentRef | None = Field(None, description="A frame or clip of a video in the library")
    weight: float = Field(1.0, ge=-100, le=100, allow_inf_nan=False, description="Below 0: not like this")
    like: Literal["all", "kind", "pictures", "motion"] = Field(
        "all", description="all: the very frames first; kind: the same kind of content; or one side of it alone"
    )

    @model_validator(mode="after")
    def _one_source(self) -> PartIn:
        given = [n for n in ("value", "upload", "file", "moment") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError("a part needs exactly one of value, upload, file and moment")
        if (self.kind == "text") != (given == ["value"]):
            raise ValueError("words are given as value; pictures and clips as upload, file or moment")
        if self.like not in {"text": ("all",), "image": ("all", "kind")}.get(self.kind, (self.like,)):
            raise ValueError(f"a part of the kind {self.kind} has no likeness in {self.like}")
        if self.moment is not None:
            at, start, end = self.moment.at, self.moment.start, self.moment.end
            if self.kind == "image" and at is None:
                raise ValueError("the frame of a moment needs `at`")
            if self.kind == "video" and (start is None or end is None or not start < end):
                raise ValueError("the clip of a moment needs `start` before `end`")
        return self


class WhereIn(Given):
    """Which videos may answer; what is left out lets all pass."""

    folders: list[Annotated[str, Field(min_length=1, max_length=500)]] = Field(
        default=[], max_length=20, description="Folders or globs; one of them must match a tail of the path"
    )
    videos: list[VideoId] = Field(default=[], max_length=200)
    after: Date | None = Field(None, description="Recorded at or after: unix time, or 2024, 2024-05, 2024-05-31T18:00")
    before: Date | None = Field(None, description="Recorded before")
    min_duration: Seconds | None = None
    max_duration: Seconds | None = None
    min_bytes: int | None = Field(None, ge=0, le=1 << 60)
    max_bytes: int | None = Field(None, ge=0, le=1 << 60)


class QueryIn(Given):
    """What to look for."""

    parts: list[PartIn] = Field(min_length=1, max_length=64)


class SearchIn(QueryIn):
    """A search: what to look for, where, and which page of the answer."""

    where: WhereIn = Field(default_factory=lambda: WhereIn.model_validate({}))
    k: int = Field(24, ge=1, le=200, description="Moments a page")
    per_video: int = Field(3, ge=1, le=100, description="At most so many moments of one video")
    collapse: bool = Field(True, description="Show one of several copies of a moment, as far as copies are known")
    verify: bool | None = Field(None, description="Check the best answers to a picture by keypoints")
    align: bool = Field(False, description="Of one clip alone: say which of its seconds a moment shows; takes longer")
    page: str | None = Field(None, max_length=400, description="`next` of the page before")


class EvidenceOut(BaseModel):
    """What one part of the query contributed."""

    channel: str = Field(description="What found it: text, image, video, copy, ..., or not")
    query: str
    space: str
    score: float
    strength: float
    at: float


class AlsoOut(BaseModel):
    """Another video that shows the same moment."""

    video: str
    name: str
    at: float


class MatchOut(BaseModel):
    """A range of the clip that is a range of a video."""

    query_start: float
    query_end: float
    video: str = Field(description="Id of the video; see `videos`")
    start: float
    end: float
    score: float
    probability: float = Field(description="0..1")
    speed: float = Field(description="Seconds of the video for a second of the clip")
    offset: float = Field(description="Time in the video = offset + speed * time in the clip")
    mirrored: bool
    evidence: list[str] = Field(description="picture; sound if that is the same too, other sound if it is another")

    @classmethod
    def of(cls, match: Match) -> MatchOut:
        """Leave out what is said of clip and video elsewhere."""
        values = match.as_dict()
        return cls(**{name: values[name] for name in cls.model_fields})


class MomentOut(BaseModel):
    """A range of one video that answers the query."""

    video: str = Field(description="Id of the video; see `videos`")
    start: float
    end: float
    at: float = Field(description="The best frame")
    score: float = Field(description="Orders the results of one query")
    strength: float = Field(description="0..1; below `weak` it is more likely wrong than right")
    evidence: list[EvidenceOut]
    also: list[AlsoOut] = Field(default=[], description="Copies, as far as the library was compared with itself")
    match: MatchOut | None = Field(None, description="With `align`: which seconds of the clip these are")

    @classmethod
    def of(cls, moment: Moment) -> MomentOut:
        """Leave out what is said of the video elsewhere."""
        values = moment.as_dict()
        also = [AlsoOut(video=v.id, name=v.path.rsplit("/", 1)[-1], at=at) for v, at in moment.also]
        match = None if moment.match is None else MatchOut.of(moment.match)
        own = {name: values[name] for name in cls.model_fields if name not in ("also", "match")}
        return cls(**own, also=also, match=match)


class VideoOut(BaseModel):
    """One video of the library."""

    id: str
    name: str = Field(description="Name of its file")
    path: str = Field(description="Where it lies, as far as the caller may know; usable as a filter")
    copies: int = Field(description="How many files have this content; 0 when all have vanished")
    duration: float
    width: int
    height: int
    fps: float
    codec: str
    container: str
    size_bytes: int
    recorded_at: float
    indexed_at: float
    samples: int
    has_audio: bool
    broken_at: float | None = Field(description="Where decoding first failed")
    warning: str

    @classmethod
    def of(cls, video: Video, path: str) -> VideoOut:
        """`path` is what is shown in the place of the real one."""
        values: dict[str, Any] = {n: getattr(video, n) for n in cls.model_fields if hasattr(video, n)}
        values |= {"path": path, "name": path.rsplit("/", 1)[-1], "copies": len(video.files)}
        return cls(**values)


class SearchOut(BaseModel):
    """One page of moments, best first."""

    moments: list[MomentOut]
    videos: dict[str, VideoOut] = Field(description="The videos of these moments, by id")
    weak: float = Field(description="Strength below which a moment is more likely wrong than right")
    next: str | None = Field(description="Token of the next page, if there may be one; valid while indexing goes on")
    took_ms: float


class VideosOut(BaseModel):
    """One page of videos, in the order of their paths."""

    videos: list[VideoOut]
    total: int = Field(description="How many pass the filters")
    next: str | None


class RemovedOut(BaseModel):
    """A video that was forgotten; its file was not touched."""

    video: str
    name: str
    status: Literal["removed"] = "removed"


class FramesOut(BaseModel):
    """Times of the key frames of a video."""

    video: str
    times: list[float]


class StripOut(BaseModel):
    """How strongly each sample of a video answers the query: columns of equal length."""

    video: str
    start: list[float]
    end: list[float]
    at: list[float]
    strength: list[float] = Field(description="0..1")
    weak: float


class PlaybackOut(BaseModel):
    """How to play a video."""

    video: str
    mode: Literal["direct", "rendition"] = Field(description="direct: /stream is the file itself")
    type: str = Field(description="Media type of what is played")
    reason: str = Field(description="Why a rendition is needed; empty for direct")
    url: str
    duration: float
    max_rendition_seconds: float


# --------------------------------------------------------------------------------------------------------- the others


class QueryFileOut(BaseModel):
    """A picture or clip that was sent to search with."""

    id: str
    kind: Literal["image", "video"]
    name: str
    width: int
    height: int
    seconds: float = Field(description="Of a clip; 0 for a picture")
    expires: float = Field(description="Unix time; each use puts it off")


class QueryFilesOut(BaseModel):
    """What became of the files of one request."""

    files: list[QueryFileOut]


class IndexIn(Given):
    """Folders or files to index; each must lie in a folder that the server was started with."""

    folders: list[Annotated[str, Field(min_length=1, max_length=4000)]] = Field(
        min_length=1, max_length=20, description="As GET /folders lists them, or absolute paths"
    )
    every: float | None = Field(None, ge=0.04, le=3600, allow_inf_nan=False, description="Seconds between looks")
    fast: bool | None = Field(None, description="Container key frames only")
    prune: bool = Field(False, description="Forget files that are no longer there")


class UseIn(Given):
    """A model that is to answer."""

    model: str = Field(min_length=1, max_length=500, description="As GET /models lists it")
    beside: float | None = Field(
        None, gt=0, le=100, allow_inf_nan=False, description="Answer beside the present model, with this weight"
    )
    window: float | None = Field(
        None, ge=0.2, le=60, allow_inf_nan=False, description="Seconds of a window, of a model of motion"
    )
    stride: float | None = Field(
        None, gt=0, le=60, allow_inf_nan=False, description="Seconds from one window to the next"
    )


class FileOut(BaseModel):
    """What became of one file."""

    name: str
    path: str
    video: str | None
    status: Literal["indexed", "unchanged", "moved", "failed", "vanished", "pruned"]
    seconds: float
    samples: int
    error: str | None
    hint: str
    warning: str


class ProgressOut(BaseModel):
    """How far a job is."""

    files: int
    files_done: int
    bytes: int
    bytes_done: int
    fraction: float = Field(description="0..1")
    video_seconds: float = Field(description="Of video decoded so far")
    speed: float = Field(description="Seconds of video a second")
    limit: Literal["decode", "encode", "write"] = Field(description="The stage that limits the others")
    seconds_left: float | None
    current: list[str] = Field(description="Names of the files at work")


class FetchingOut(BaseModel):
    """Weights of a model on their way here."""

    done_bytes: int
    total_bytes: int = Field(description="0: not known")


class JobOut(BaseModel):
    """A run of `index`, or a change of the model."""

    id: str
    model: str | None = Field(description="The model that is brought in; null: it is a run of index")
    state: Literal["queued", "running", "paused", "done", "failed", "cancelled"]
    folders: list[str]
    created: float
    started: float | None
    ended: float | None
    waiting: bool = Field(description="For another process that is writing to the library")
    fetching: FetchingOut | None = Field(description="The model's weights, before a new library begins")
    progress: ProgressOut
    counts: dict[str, int] = Field(description="Files by status")
    files: list[FileOut] = Field(description="The last files that are done, unchanged ones left out")
    error: ErrorBody | None


class JobsOut(BaseModel):
    """The jobs of this server, newest first."""

    jobs: list[JobOut]


class UploadOut(BaseModel):
    """Videos that were received, and the job that indexes them."""

    names: list[str] = Field(description="The names under which they are kept")
    job: JobOut


class FolderOut(BaseModel):
    """A folder that may be indexed."""

    path: str = Field(description="For POST /index, and for `inside`")
    name: str
    folders: int = Field(description="Folders in it")


class FoldersOut(BaseModel):
    """The folders that may be indexed, or those inside one of them."""

    inside: str | None
    folders: list[FolderOut]


class ModelOut(BaseModel):
    """A model that a library can be made with."""

    name: str
    summary: str
    answers: list[str] = Field(description="What it can be asked with")
    languages: list[str]
    licence: str
    size_mb: float
    install: str
    current: bool = Field(description="Whether this library was made with it")


class ModelsOut(BaseModel):
    """All of them."""

    models: list[ModelOut]


class FailureOut(BaseModel):
    """A file that failed when it was last looked at."""

    name: str
    path: str
    error: str
    hint: str


class FailuresOut(BaseModel):
    """All of them."""

    failures: list[FailureOut]


class FindingOut(BaseModel):
    """One thing that is not as it should be."""

    problem: str
    what: str
    message: str
    mended: bool
    harmless: bool


class DoctorOut(BaseModel):
    """What is installed, and whether the library is whole."""

    environment: dict[str, str]
    findings: list[FindingOut]
    whole: bool


class LibraryOut(BaseModel):
    """The library at a glance."""

    name: str
    model: str | None = Field(description="None while there is no library yet")
    why: str
    videos: int
    seconds: float
    samples: int
    created: float | None
    indexing: bool
    can_index: bool = Field(description="Whether there are folders that may be indexed")


class HealthOut(BaseModel):
    """A sign of life."""

    status: Literal["ok", "starting", "unavailable"]
