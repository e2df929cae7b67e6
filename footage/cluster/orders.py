"""What travels between the driver and its hands: orders one way, answers the other. All of it is plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from footage.catalog import Job
from footage.ingest import IngestSettings
from footage.ingest.parts import Part

if TYPE_CHECKING:
    from footage.sounds import Landmarks

What: TypeAlias = Literal["survey", "identify", "load", "part", "sound"]


@dataclass(frozen=True, slots=True)
class Member:
    """One encoder of the library, as a hand builds it anew."""

    name: str
    fingerprint: str
    window: tuple[int, float, float] | None


@dataclass(frozen=True, slots=True)
class Spec:
    """What every hand must know."""

    version: str  # of Footage
    members: tuple[Member, ...]
    cache_dir: str
    device: str  # "": the best there is
    ingest: IngestSettings
    split_cost: float  # core-seconds; files beyond it are asked where they can be entered


@dataclass(frozen=True, slots=True)
class Ready:
    """A hand can begin."""

    encode_seconds: float  # processor seconds for one sample


@dataclass(frozen=True, slots=True)
class Order:
    """One thing for a hand to do with one file."""

    what: What
    job: Job
    video_id: str = ""
    part: Part | None = None
    number: int = 0  # of the part
    cost: float = 0.0  # core-seconds, as estimated


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What a file will cost, as far as its container tells."""

    job: Job
    seconds: float = 0.0  # of video; 0: not known
    cost: float = 0.0  # core-seconds
    keys: tuple[float, ...] = ()  # where it can be entered, in seconds; asked of costly files only


@dataclass(frozen=True, slots=True)
class Identified:
    """The content of a file is known; the job has its size and time as they are now."""

    job: Job
    video_id: str


@dataclass(frozen=True, slots=True)
class Heard:
    """The fingerprint of the sound of a file."""

    sound: Landmarks


@dataclass(frozen=True, slots=True)
class Report:
    """Seconds that a hand has spent since it began."""

    cpu: float = 0.0  # of all processors
    load: float = 0.0
    encode: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Some of what came of an order."""

    items: list[Any]  # Surveyed, Identified, Heard; Encoded, Loaded, PartEnd, Refused
    report: Report = field(default_factory=Report)
    last: bool = False  # nothing more will come of it: what a process does not live to say again is not done again
