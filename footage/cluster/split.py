"""One long video on several hands: where it is split, and how what they give becomes the video again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from footage.catalog import Job
from footage.cluster.orders import Answer, Heard, Order, Surveyed
from footage.ingest import Encoded, Item, Loaded, Picture
from footage.ingest.loading import video_of
from footage.ingest.parts import Join, Part, PartEnd, join

if TYPE_CHECKING:
    from footage.ingest import Piece
    from footage.sampling import SamplingSettings
    from footage.sounds import Landmarks

_BEHIND = 0.5  # seconds from a key frame's entry in the index, which may be early, to the border
_REACH = 0.2  # of a range: how far it may be decoded into the next one
_LONGEST_REACH = 120.0  # seconds

Open = Callable[[], Answer]


class Gone(Exception):
    """What a hand gave is no longer to be had: the machine that kept it is lost. Its argument: number of the range."""


def parts_of(found: Surveyed, cost: float) -> list[Part]:
    """Split a video into ranges of this cost or more that begin at key frames; one range if it cannot be."""
    count = int(found.cost / cost) if cost else 1
    borders: list[float] = []
    if count > 1 and found.seconds:
        length = found.seconds / count
        for number in range(1, count):
            place = bisect_right(found.keys, number * length) - 1
            border = found.keys[place] + _BEHIND if place > 0 else 0.0
            if border - (borders[-1] if borders else 0.0) > length / 2:
                borders.append(border)
        length = found.seconds / (len(borders) + 1)  # key frames may allow fewer ranges, and longer ones
        reach = min(_REACH * length, _LONGEST_REACH)
        edges: list[float | None] = [*borders, None]
        return [Part(start, stop, reach) for start, stop in zip([0.0, *borders], edges, strict=True)]
    return [Part(0.0, None, 0.0)]


@dataclass(slots=True)
class _Range:
    """A part and what came of it."""

    part: Part
    answers: list[Open] = field(default_factory=list[Open])
    end: PartEnd | None = None
    finished: bool = False  # the last pieces may come behind the end


@dataclass(slots=True, eq=False)
class Split:
    """A video that is decoded in ranges."""

    job: Job
    video_id: str
    cost: float
    sampling: SamplingSettings
    ranges: dict[int, _Range] = field(default_factory=dict[int, _Range])
    sound: Landmarks | None = None
    sound_due: bool = True
    _next: int = 0

    @staticmethod
    def of(job: Job, video_id: str, parts: list[Part], cost: float, sampling: SamplingSettings) -> Split:
        """A video in these ranges, none of which is decoded yet."""
        split = Split(job, video_id, cost, sampling)
        for part in parts:
            split._add(part)
        return split

    def _add(self, part: Part) -> int:
        self.ranges[self._next] = _Range(part)
        self._next += 1
        return self._next - 1

    def orders(self) -> list[Order]:
        """What is to be done first: the ranges, and the sound."""
        return [Order("sound", self.job, self.video_id), *(self._order(number) for number in self.ranges)]

    def _order(self, number: int) -> Order:
        cost = self.cost / max(1, len(self.ranges))
        return Order("part", self.job, self.video_id, self.ranges[number].part, number, cost)

    def take(self, order: Order, answer: Answer, again: Open) -> None:
        """Accept an answer; it is kept where it lies, and opened `again` when the video is put together."""
        for item in answer.items:
            if isinstance(item, Heard):
                self.sound, self.sound_due = item.sound, False
            elif order.number in self.ranges and isinstance(item, PartEnd):
                self.ranges[order.number].end = item
        if order.number in self.ranges and order.what == "part":
            self.ranges[order.number].answers.append(again)

    def finish(self, number: int) -> None:
        """Note that nothing more will come of a range."""
        if number in self.ranges:
            self.ranges[number].finished = self.ranges[number].end is not None

    def void(self, number: int) -> Order:
        """Do a range again."""
        self.ranges[number] = _Range(self.ranges[number].part)
        return self._order(number)

    @property
    def done(self) -> bool:
        """Whether everything that was ordered is there."""
        ranges = list(self.ranges.values())
        silent = ranges[0].end is not None and not ranges[0].end.info.has_audio
        return all(r.finished and r.end is not None for r in ranges) and (silent or not self.sound_due)

    @property
    def reached(self) -> tuple[float, float]:
        """(seconds decoded, of so many), roughly: whole ranges are counted."""
        length = max(r.part.stop or 0.0 for r in self.ranges.values())
        last = next((r.end.info.duration for r in self.ranges.values() if r.end is not None), length)
        total = max(last, length)
        done = sum((r.part.stop or total) - r.part.start for r in self.ranges.values() if r.end is not None)
        return done, total

    def joined(self) -> list[Join] | list[Order]:
        """Where its ranges are joined; or what has to be decoded again, as one, since two cannot be joined.

        One order without a part: the whole video.
        """
        row = sorted(self.ranges, key=lambda number: self.ranges[number].part.start)
        ends = [end for number in row if (end := self.ranges[number].end) is not None]
        last = next((i for i, end in enumerate(ends) if end.ended), len(ends) - 1)
        for number in row[last + 1 :]:  # one range went on to the end of the file
            del self.ranges[number]
        row, ends = row[: last + 1], ends[: last + 1]
        joins = [join(a, b) for a, b in pairwise(ends)]
        whole = [j for j in joins if j is not None]
        if any(end.broken for end in ends) or not ends[-1].ended:
            return [Order("load", self.job, self.video_id, cost=self.cost)]
        if len(whole) == len(joins):
            return whole
        groups = [[row[0]]]
        for number, joint in zip(row[1:], joins, strict=True):
            if joint is None:
                groups[-1].append(number)
            else:
                groups.append([number])
        if len(groups) == 1:
            return [Order("load", self.job, self.video_id, cost=self.cost)]
        return [self._merged(group) for group in groups if len(group) > 1]

    def _merged(self, numbers: list[int]) -> Order:
        parts = [self.ranges.pop(number).part for number in numbers]
        number = self._add(Part(parts[0].start, parts[-1].stop, parts[0].reach))
        return self._order(number)

    def items(self, joins: list[Join]) -> Iterator[Encoded | Item]:
        """The video put together, for the writer.

        Raises:
            Gone: a range is no longer where it was kept.
        """
        row = sorted(self.ranges, key=lambda number: self.ranges[number].part.start)
        samples = pieces = 0
        for place, number in enumerate(row):
            low, high = joins[place - 1] if place else None, joins[place] if place < len(joins) else None
            for item in self._kept(number):
                if isinstance(item, Encoded):
                    rows = [i for i, piece in enumerate(item.pieces) if _belongs(piece, low, high)]
                    samples += sum(isinstance(item.pieces[i], Picture) for i in rows)
                    pieces += len(rows)
                    if rows:
                        yield item.only(rows)
        first, last = self.ranges[row[0]].end, self.ranges[row[-1]].end
        if first is not None and last is not None:
            video = video_of(
                self.job, self.video_id, first.info, last.duration, samples, self.sampling, None, first.warning
            )
            yield Loaded(self.job, video, pieces, self.sound)

    def _kept(self, number: int) -> Iterator[Any]:
        for again in self.ranges[number].answers:
            try:
                answer = again()
            except Gone:
                raise Gone(number) from None
            yield from answer.items


def _belongs(piece: Piece, low: Join | None, high: Join | None) -> bool:
    """Whether a piece lies between two joins."""
    if isinstance(piece, Picture):
        return (low is None or piece.at >= low.at) and (high is None or piece.at < high.at)
    behind: Any = low is None or piece.start >= low.windows.get(piece.encoder, 0.0)
    return bool(behind) and (high is None or piece.start < high.windows.get(piece.encoder, 0.0))
