"""What a library has more than once, and how answers show it once: copies collapse, shared material steps back.

Two takes of one scene look as alike as two copies of one take, so likeness of vectors does not decide here: only what
`footage copies --within` has aligned and verified counts. A library that was never compared with itself has none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from footage.search.moments import Cut
    from footage.types import Float64, Match

Range = tuple[float, float]
T = TypeVar("T")

SAME = 0.5
"""Of the shorter of two ranges: from here on they show the same moment."""

_MOST = 256  # places of one moment
_ONE_PLACE = 0.5  # seconds by which two ways to a place may tell another time of it
_STEP_BACK = 0.8  # of its score is left to what is common to several different videos: intros, test cards


@dataclass(frozen=True, slots=True)
class Twin:
    """Seconds [start, end) of one video that another one shows too."""

    start: float
    end: float
    other: str  # video id
    other_start: float
    speed: float = 1.0  # seconds of the other per second of this one

    def at(self, time: float) -> float:
        """The same moment in the other video."""
        return self.other_start + self.speed * (time - self.start)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Seconds [start, end) of a video that are common to several otherwise different ones."""

    video: str  # id
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Repeats:
    """Twins by video, and the shared material."""

    twins: Mapping[str, Sequence[Twin]] = field(default_factory=dict[str, Sequence[Twin]])
    shared: Sequence[Sequence[Stretch]] = ()
    _of: dict[str, list[tuple[Sequence[Stretch], Stretch]]] = field(init=False, repr=False, compare=False)
    """Video -> its stretches, each with all that show the same: every search asks."""
    _bounds: dict[str, Float64] = field(init=False, repr=False, compare=False, default_factory=dict[str, "Float64"])
    """Video -> (2, n) starts and ends of its twins: a recording may have thousands."""

    def __post_init__(self) -> None:
        found: dict[str, list[tuple[Sequence[Stretch], Stretch]]] = {}
        for group in self.shared:
            for each in group:
                found.setdefault(each.video, []).append((group, each))
        object.__setattr__(self, "_of", found)

    @staticmethod
    def of(matches: Iterable[Match], shared: Iterable[Iterable[tuple[str, float, float]]]) -> Repeats:
        """From the matches between the videos of a library, whose `query` is the id of the other one."""
        twins: dict[str, list[Twin]] = {}
        for m in matches:
            twins.setdefault(m.query, []).append(Twin(m.query_start, m.query_end, m.video.id, m.start, m.speed))
            twins.setdefault(m.video.id, []).append(Twin(m.start, m.end, m.query, m.query_start, 1 / m.speed))
        return Repeats(twins, [[Stretch(*each) for each in group] for group in shared])

    def __bool__(self) -> bool:
        return bool(self.twins or self.shared)

    def also(self, video_id: str, at: float) -> list[tuple[str, float]]:
        """Where else a moment is seen: (video id, seconds), in this order; a video may have it several times.

        Copies of copies are copies: where one video has what another has three times, each of the three has two others.
        """
        return sorted(_reached((video_id, at), self._seen_at, lambda one, other: abs(one - other) < _ONE_PLACE))

    def _seen_at(self, video_id: str, at: float) -> Iterator[tuple[str, float]]:
        for twin in self._twins_in(video_id, at, at):
            if twin.start <= at < twin.end:
                yield twin.other, max(0.0, twin.at(at))
        for group, mine in self._of.get(video_id, ()):
            if mine.start <= at < mine.end:
                yield from ((o.video, min(o.start + at - mine.start, o.end)) for o in group if o is not mine)

    def once(self, cuts: Sequence[Cut]) -> list[Cut]:
        """The cuts, best first, without those that show again what a better one shows.

        Shared material is put further back, and its score lowered.
        """
        for cut in cuts:
            if not cut.lowered and any(
                overlap(cut.bounds, (s.start, s.end)) >= SAME for _, s in self._of.get(cut.video.id, ())
            ):
                cut.score -= (1 - _STEP_BACK) * abs(cut.score)
                cut.lowered = True
        kept: list[Cut] = []
        taken: dict[str, list[Range]] = {}
        for cut in sorted(cuts, key=lambda c: -c.score):  # equal ones keep their order
            if any(overlap(cut.bounds, other) >= SAME for other in taken.get(cut.video.id, ())):
                continue
            kept.append(cut)
            for other, where in self.elsewhere(cut.video.id, cut.bounds):
                taken.setdefault(other, []).append(where)
        return kept

    def elsewhere(self, video_id: str, bounds: Range) -> list[tuple[str, Range]]:
        """The other ranges, of any video, that show a part of this one, also those that only its copies tell of."""
        return _reached((video_id, bounds), self._shown_in, lambda one, other: overlap(one, other) >= SAME)

    def _shown_in(self, video_id: str, bounds: Range) -> Iterator[tuple[str, Range]]:
        for twin in self._twins_in(video_id, *bounds):
            start, end = max(bounds[0], twin.start), min(bounds[1], twin.end)
            if end > start:
                yield twin.other, (twin.at(start), twin.at(end))
        for group, mine in self._of.get(video_id, ()):
            if overlap(bounds, (mine.start, mine.end)) >= SAME:
                yield from ((s.video, (s.start, s.end)) for s in group if s is not mine)

    def _twins_in(self, video_id: str, start: float, end: float) -> Iterator[Twin]:
        """Those of a video that have something of a range, its ends counted in."""
        twins = self.twins.get(video_id, ())
        if video_id not in self._bounds:
            self._bounds[video_id] = np.array([[t.start for t in twins], [t.end for t in twins]], np.float64)
        starts, ends = self._bounds[video_id]
        return (twins[number] for number in np.flatnonzero((starts <= end) & (ends >= start)).tolist())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "twins": {video: [asdict(twin) for twin in twins] for video, twins in self.twins.items()},
            "shared": [[asdict(each) for each in group] for group in self.shared],
        }


def read_repeats(file: Path) -> Repeats:
    """What `Repeats.as_dict` told, from a JSON file; nothing if there is none, or it is broken: it can be made anew."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        twins = {video: tuple(Twin(**twin) for twin in found) for video, found in told["twins"].items()}
        return Repeats(twins, tuple(tuple(Stretch(**each) for each in group) for group in told["shared"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Repeats()


def _reached(
    first: tuple[str, T], near: Callable[[str, T], Iterable[tuple[str, T]]], same: Callable[[T, T], bool]
) -> list[tuple[str, T]]:
    """Where one comes to from a place of a video, from there to others, and so on: each place once."""
    found = [first]
    for video, place in found:  # it grows
        for there, other in near(video, place):
            known = any(there == its and same(other, seen) for its, seen in found)
            if not known and len(found) <= _MOST:
                found.append((there, other))
    return found[1:]


def overlap(one: Range, other: Range) -> float:
    """How much of the shorter of two ranges lies in both; below 0: they lie apart."""
    both = min(one[1], other[1]) - max(one[0], other[0])
    return both / max(min(one[1] - one[0], other[1] - other[0]), 1e-6)
