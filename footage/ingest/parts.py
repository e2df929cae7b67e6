"""A range of a long video, for several machines to share its decoding: what it is, and how two of them are joined.

A sampler that begins in the middle of a video does not know what came before it: how the second is counted, what was
kept last, what moved. So it chooses otherwise for a while, until something happens that decides alike for both, as a
cut does. Each range is therefore decoded on into the next one until then, and the marks of the two samplers are
compared: from a mark that both have on, both choose the same, and there they are joined. Where no mark is the same,
or the pictures of the two are not (a file that cannot be entered exactly), the ranges cannot be joined and are to be
decoded as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zlib import crc32

from footage.catalog import Job, Refused
from footage.errors import MediaError
from footage.ingest.items import Piece
from footage.ingest.loading import check_unchanged, piece, refusal
from footage.ingest.settings import AtWork, Progress
from footage.media import open_video
from footage.pipeline import Beat
from footage.sampling import Sampler, SamplingSettings
from footage.types import MediaInfo, Sample
from footage.windows import WindowSample

if TYPE_CHECKING:
    from footage.encoders import Together
    from footage.media import VideoReader
    from footage.types import Frame
    from footage.windows import Cutter

_SEEN = 1.0  # seconds of pictures behind a border that must be the same for both
_LATE = 30.0  # seconds before a border at which a range may begin; more would be decoded for nothing


@dataclass(frozen=True, slots=True)
class Part:
    """A range of a video that is decoded by itself. The first begins at 0, the last has no `stop`."""

    start: float
    stop: float | None
    reach: float  # seconds behind `stop` for which it waits for a cut


@dataclass(slots=True)
class PartEnd:
    """A range is decoded: what is needed to join it with its neighbours."""

    job: Job
    info: MediaInfo
    duration: float = 0.0  # of the video, if this is its last range
    ended: bool = False  # the file ended within it
    broken: bool = False  # damaged, or it could not be entered where it should
    warning: str = ""
    head: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """Time and checksum of the pictures right behind `start`."""
    tail: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """The same behind `stop`."""
    marks: dict[float, bytes] = field(default_factory=dict[float, bytes])
    """Time of a kept frame -> the mark of the sampler, around both borders."""
    windows: dict[int, tuple[float, float]] = field(default_factory=dict[int, tuple[float, float]])
    """Number of the encoder -> start of the first window, end of the last one given."""


@dataclass(frozen=True, slots=True)
class Join:
    """Where two ranges are joined: samples at or behind `at`, and windows from `windows` on, are of the second."""

    at: float
    windows: dict[int, float]


def join(left: PartEnd, right: PartEnd) -> Join | None:
    """Where the second range takes over from the first; None: they must be decoded as one."""
    if left.broken or right.broken or not left.tail or left.tail != right.head:
        return None
    for number, (first, _) in right.windows.items():
        if number not in left.windows or first > left.windows[number][1]:
            return None
    same = [at for at, mark in left.marks.items() if right.marks.get(at) == mark and at >= left.tail[-1][0]]
    return Join(min(same), {number: end for number, (_, end) in left.windows.items()}) if same else None


def decode_part(
    job: Job,
    video_id: str,
    part: Part,
    beat: Beat,
    *,
    encoder: Together,
    sampling: SamplingSettings,
    progress: Progress,
) -> Iterator[Piece | PartEnd | Refused]:
    """Decode a range of a file into pieces and say how it ended; or say why not. Its last samples may be surplus."""
    try:
        with open_video(job.file.path, beat=beat, start=part.start) as reader:
            end = PartEnd(job, reader.info, warning=reader.warning)
            run = _PartRun(job, video_id, part, encoder, Sampler(sampling), encoder.cutters(), end)
            for made in run.pieces(reader):
                progress.current[job.file.path] = AtWork(made.at, reader.info.duration, job.file.size_bytes)
                yield made
        check_unchanged(job)
        yield end
    except MediaError as error:
        yield refusal(job, video_id, error)


@dataclass(slots=True, eq=False)
class _PartRun:
    """One pass over a range."""

    job: Job
    video_id: str
    part: Part
    encoder: Together
    sampler: Sampler
    cutters: list[Cutter]
    end: PartEnd

    def pieces(self, reader: VideoReader) -> Iterator[Piece]:
        """The samples and windows of the range, and some behind its border."""
        least = max([_SEEN, *(c.window.seconds + 2 * c.window.stride for c in self.cutters)])
        entered = False
        for frame in reader.frames():
            if not entered and not self._enter(frame.time):
                return
            entered = True
            for cutter in self.cutters:
                for window in cutter.take(frame):
                    yield self._made(window)
            kept = self.sampler.kept
            sample = self.sampler.take(frame)
            if sample is not None:
                yield self._made(sample)
            settled = self.sampler.kept is not kept and self._mark(least)
            self._see(frame)
            if reader.broken_at is not None:
                self.end.broken = True
                return
            if self.part.stop is not None and (settled or frame.time >= self.part.stop + least + self.part.reach):
                return
        self.end.ended, self.end.duration = True, reader.duration
        self.end.broken = reader.broken_at is not None
        for sample in self.sampler.end(lambda: reader.duration):
            yield self._made(sample)
        for cutter in self.cutters:
            for window in cutter.end(reader.duration):
                yield self._made(window)

    def _enter(self, time: float) -> bool:
        """Begin at the first frame; False if it is not where it should be."""
        start = self.part.start
        for cutter in self.cutters:
            begin = cutter.begin(time) if start else 0.0
            self.end.windows[cutter.number] = (begin, begin)
        self.end.broken = bool(start) and not start - _LATE <= time <= start
        return not self.end.broken

    def _made(self, each: Sample | WindowSample) -> Piece:
        if isinstance(each, WindowSample):
            self.end.windows[each.cutter] = (self.end.windows[each.cutter][0], each.end)
        return piece(self.job, self.video_id, each, self.encoder)

    def _mark(self, least: float) -> bool:
        """Note the state of the sampler near a border; whether the range may end here, behind a cut."""
        kept, part = self.sampler.kept, self.part
        if kept is None:
            return False
        behind = part.stop is not None and kept.time >= part.stop + least
        if behind or (part.start and kept.time <= part.start + part.reach + least):
            self.end.marks[kept.time] = self.sampler.mark
        return behind and self.sampler.cut

    def _see(self, frame: Frame) -> None:
        for border, seen in ((self.part.start or None, self.end.head), (self.part.stop, self.end.tail)):
            if border is not None and border <= frame.time < border + _SEEN:
                seen.append((frame.time, crc32(frame.luma.tobytes())))
