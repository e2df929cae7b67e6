"""The records and columns that flow through Footage. Times are seconds, ranges are half-open `[start, end)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import floor
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from footage.errors import ConfigError, FootageError

if TYPE_CHECKING:  # the command line answers --help without numpy
    import numpy as np
    from numpy.typing import NDArray

    UInt8: TypeAlias = NDArray[np.uint8]
    Float32: TypeAlias = NDArray[np.float32]
    Float64: TypeAlias = NDArray[np.float64]

Query: TypeAlias = Literal["text", "image", "copy", "window", "audio"]
"""What a space can be asked with; `copy`: a picture, for the very frame and not for the kind of frame."""

Roles: TypeAlias = "Mapping[str, str | Mapping[str, float]]"
"""Role (text, image, copy, motion) -> the space that answers it, or several with their weights."""


def spaces_of(roles: Roles, role: str) -> dict[str, float]:
    """The spaces that answer a role together, with weights that add up to 1; none if nothing answers it."""
    named = roles.get(role, {})
    if isinstance(named, str):
        return {named: 1.0}
    total = sum(named.values())
    return {space: weight / total for space, weight in named.items()}


@dataclass(frozen=True, slots=True)
class MediaFile:
    """One place where a video's bytes lie."""

    path: str  # absolute, with forward slashes; or a URL
    size_bytes: int
    mtime_ns: int  # with the size: cheap evidence that the content did not change; of an object also of its ETag


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a container says of its video before anything is decoded."""

    container: str
    codec: str
    width: int  # as displayed: rotated, and with square pixels
    height: int
    fps: float  # average; 0 where the container does not say
    duration: float  # 0 where the container does not say
    recorded_at: float | None  # unix time from the container's metadata
    has_audio: bool
    has_subtitles: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture; its pixels are converted only when asked for."""

    time: float  # exact presentation time, from the start of the video
    key: bool  # a container key frame
    width: int  # as displayed
    height: int
    luma: UInt8  # (h, w) small grey copy, uint8, for cuts and near duplicates
    picture: Callable[[int, int], UInt8]  # (width, height) -> RGB uint8 (height, width, 3), scaled


@dataclass(frozen=True, slots=True)
class Sample:
    """A kept frame, and the range of the video that it stands for."""

    start: float
    end: float
    at: float  # time of the frame itself; start <= at < end
    frame: Frame


@dataclass(frozen=True, slots=True)
class Video:
    """One media file in a library, known by the digest of its content."""

    id: str  # hex digest of the content
    files: tuple[MediaFile, ...]  # every known path of this content
    duration: float
    width: int
    height: int
    fps: float
    codec: str
    container: str
    recorded_at: float  # unix time: from the container, else the file's modification time
    samples: int
    sampling: str  # fingerprint of the sampling settings that made the samples
    has_audio: bool = False
    broken_at: float | None = None  # where decoding first failed
    warning: str = ""  # what failed there, or what else is wrong with its pictures
    indexed_at: float = 0.0  # unix time

    @property
    def path(self) -> str:
        """The first known path, or '' when every copy has vanished."""
        return self.files[0].path if self.files else ""

    @property
    def size_bytes(self) -> int:
        """Size of the content in bytes."""
        return self.files[0].size_bytes if self.files else 0


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Vectors of one space for samples of one video: columns of equal length n."""

    space: str
    video_id: str
    start: Float64  # (n,)
    end: Float64  # (n,)
    at: Float64  # (n,)
    vectors: Float32  # (n, dim), unit length

    def __len__(self) -> int:
        return len(self.at)

    def standing(self, times: Float64) -> NDArray[np.intp]:
        """The number of the sample that stands for each of some times (m,); 0 where there is none."""
        return self.end.searchsorted(times, side="right").clip(0, max(len(self) - 1, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Samples near one query vector, best first: columns of equal length n."""

    video_ids: list[str]
    start: Float64  # (n,)
    end: Float64  # (n,)
    at: Float64  # (n,)
    score: Float32  # (n,) cosine similarity

    def __len__(self) -> int:
        return len(self.video_ids)


@dataclass(frozen=True, slots=True)
class TimedText:
    """What is said, or can be read, in a range of one video."""

    video_id: str
    start: float
    end: float
    text: str
    kind: str  # speech, subtitle, ocr, caption, or another word in small letters
    language: str = ""  # BCP 47 (en, zh-Hant); "": not known


@dataclass(frozen=True, slots=True)
class TextHit:
    """A timed text that answers words."""

    text: TimedText
    score: float  # BM25; orders the hits of one query, and is not comparable between queries


@dataclass(frozen=True, slots=True)
class Verified:
    """What a closer look at two pictures says of them."""

    score: float  # orders frames; of keypoints, how many agree
    strength: float  # 0..1: how surely one shows a part of the other


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one channel of the query contributed to a moment."""

    # text, image, video; copy: the layout of the picture or clip; motion: of the clip; not: of a negative part;
    # keypoints: see Verified
    channel: str
    query: str  # the words, or the name of the file
    space: str
    score: float  # cosine similarity at `at`; of keypoints, how many agree
    strength: float  # 0..1, see Moment.strength
    at: float  # the sample of this channel that speaks best for the moment


@dataclass(frozen=True, slots=True)
class Moment:
    """A range of one video that answers a query."""

    video: Video
    start: float
    end: float
    at: float  # the best frame
    score: float  # orders the results of one query; not comparable between queries
    strength: float  # 0..1: how far above the query's own background; comparable between queries
    evidence: tuple[Evidence, ...] = ()
    also: tuple[tuple[Video, float], ...] = ()  # where else it is seen, and when, as far as that is known
    match: Match | None = None  # of a clip that was looked for: which of its seconds these are

    def as_dict(self) -> dict[str, Any]:
        """The one-line JSON object of the command line and the API."""
        also = [{"video": video.id, "path": video.path, "at": round(at, 3)} for video, at in self.also]
        return {
            "video": self.video.id,
            "path": self.video.path,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "at": round(self.at, 3),
            "score": round(self.score, 4),
            "strength": round(self.strength, 3),
            **({"also": also} if also else {}),
            **({"match": self.match.as_dict()} if self.match else {}),
            "evidence": [
                {
                    "channel": e.channel,
                    "query": e.query,
                    "space": e.space,
                    "score": round(e.score, 4),
                    "strength": round(e.strength, 3),
                    "at": round(e.at, 3),
                }
                for e in self.evidence
            ],
        }


@dataclass(frozen=True, slots=True)
class Match:
    """A range of a query clip aligned with a range of a video."""

    query: str  # path or id of the query
    query_start: float
    query_end: float
    video: Video
    start: float
    end: float
    score: float  # normalised similarity
    probability: float  # calibrated, 0..1
    speed: float  # video seconds per query second
    offset: float  # start - speed * query_start
    mirrored: bool
    evidence: tuple[str, ...]  # of "picture", "sound"

    def as_dict(self) -> dict[str, Any]:
        """The one-line JSON object of the command line and the API."""
        return {
            "query": self.query,
            "query_start": round(self.query_start, 3),
            "query_end": round(self.query_end, 3),
            "video": self.video.id,
            "path": self.video.path,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "score": round(self.score, 4),
            "probability": round(self.probability, 4),
            "speed": round(self.speed, 4),
            "offset": round(self.offset, 3),
            "mirrored": self.mirrored,
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be indexed: an expected value that travels beside the good ones."""

    uri: str
    error: FootageError


IndexStatus: TypeAlias = Literal["indexed", "unchanged", "moved", "failed", "vanished", "pruned"]


@dataclass(frozen=True, slots=True)
class Indexed:
    """What became of one file in a run of `index`."""

    path: str
    status: IndexStatus
    video_id: str = ""
    seconds: float = 0.0  # duration of the video
    samples: int = 0
    error: FootageError | None = None
    warning: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The one-line JSON object of the command line and the API."""
        out: dict[str, Any] = {
            "path": self.path,
            "video": self.video_id or None,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "samples": self.samples,
            "error": str(self.error) if self.error else None,
        }
        return {**out, "warning": self.warning} if self.warning else out


@dataclass(frozen=True, slots=True)
class Where:
    """Which videos a search may answer with; None means any."""

    paths: tuple[str, ...] = ()  # globs; a video passes if one of its paths matches one of them
    videos: tuple[str, ...] = ()  # ids
    after: float | None = None  # unix time, recorded at or after
    before: float | None = None  # unix time, recorded before
    min_duration: float | None = None
    max_duration: float | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What a window encoder looks at.

    Raises:
        ConfigError: windows that are out of range, or that would leave gaps.
    """

    frames: int  # in one window, spread evenly over it
    seconds: float  # how long a window is
    stride: float  # seconds from one window to the next: each stands for so much of the video

    def __post_init__(self) -> None:
        if self.frames < 3:
            raise ConfigError(f"a window of {self.frames} frames shows too little of a motion", hint="at least 3")
        if not _SHORTEST <= self.seconds <= _LONGEST:
            raise ConfigError(
                f"a window of {self.seconds:g} s; allowed are {_SHORTEST:g} to {_LONGEST:g}",
                hint="leave out the setting `window` for what the model was made for",
            )
        least = self.seconds / self.frames
        if not least <= self.stride <= self.seconds:
            raise ConfigError(
                f"a stride of {self.stride:g} s for windows of {self.seconds:g} s; allowed are {least:g} (one frame) "
                f"to {self.seconds:g} (no gaps)",
                hint="leave out the setting `stride` for half a window or so",
            )

    def count(self, duration: float) -> int:
        """How many windows a video has: each stands for a stride, the last one for half to one and a half."""
        return max(1, floor(duration / self.stride + 0.5))

    def of(self, seconds: float | None, stride: float | None) -> Window:
        """The window with other settings; without a stride it overlaps as much as before."""
        if seconds is None:
            return self if stride is None else replace(self, stride=stride)
        return replace(self, seconds=seconds, stride=self.stride * seconds / self.seconds if stride is None else stride)


_SHORTEST, _LONGEST = 0.2, 60.0  # seconds of a window


@dataclass(frozen=True, slots=True)
class Space:
    """One vector space. Vectors of two spaces are never compared. The metric is cosine."""

    name: str
    dim: int
    answers: tuple[Query, ...] = field(default=())
    window: Window | None = None  # its rows are windows of this kind; None: they are the samples of the video

    def rows(self, video: Video) -> int:
        """How many rows it has of a video."""
        return video.samples if self.window is None else self.window.count(video.duration)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that it can take: what can be asked with a window knows motion."""
        return tuple("motion" if kind == "window" else kind for kind in self.answers)
