"""Repeated material: intros, test cards, logos' stings; it is common to many videos, and makes none of them a copy.

A stretch of a query that several videos show, which are different videos before and behind it, belongs to none of
them. Several copies of one video also show it, but they go on alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from footage.encoders.layout import mirrored
from footage.types import spaces_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from footage.copies.facts import Found
    from footage.stores import Store
    from footage.types import Embeddings, Float32, Roles, Video

_COVERS = 0.6  # part of a segment that another video must show as well
_MANY = 2  # other videos, different from each other, that make it common
_ENOUGH = 8  # of them that are looked at
_START = 1.2  # seconds: what begins a query and two different videos is common though it be only two
_INTRO = 1.0  # seconds of it
_AROUND = 8.0  # seconds before and behind, in which videos are compared
_MARGIN = 0.7  # seconds next to the segment that are not: a sample may stand for both sides
_ALIKE = 0.55  # centred cosine: copies of one video have more, two pictures of different videos less
_MORE = 1.5  # seconds that a video has beside a segment, to have more
_BACKGROUND = 512
_INSIDE = 8  # samples of a segment that the library is searched with
_NEAREST = 32  # samples asked for with each
_SAME, _SAME_START = 0.97, 0.9  # mean cosine: the very pictures; the same in bars, where both videos begin with them
_SAME_SCENE = 0.7  # centred cosine in the space of pictures: one of a hundred pairs of other first seconds has as much
_SAME_STILL = 0.5  # of one sample of several
_TOGETHER = 1.5  # seconds by which samples of one offset may lie apart
_REST = 0.8  # seconds that a segment must go on for behind or before what is common


@dataclass(slots=True, eq=False)
class Shared:
    """Tells what is common to several videos of one library."""

    store: Store
    roles: Roles
    videos: Mapping[str, Video] = field(
        default_factory=dict[str, "Video"]
    )  # of a clip's matches: searched for the same
    asking: Video | None = None  # of the library, that is compared with the others

    def without(self, likely: Sequence[Found], doubtful: Sequence[Found] = ()) -> list[Found]:
        """The segments that are not common material, as the others tell, and the doubtful ones with them."""
        known = [*likely, *doubtful]
        means = {
            space: self.store.sample_vectors(space, _BACKGROUND).mean(axis=0)
            for role in ("copy", "image")
            for space in spaces_of(self.roles, role)
        }
        return [left for each in likely if (left := self._left(each, known, means)) is not None]

    def _left(self, one: Found, known: Sequence[Found], means: dict[str, Float32]) -> Found | None:
        """The segment, or nothing where it is common."""
        has = _has if self.videos else _covers
        rivals = [o for o in known if o.video.id != one.video.id and has(one, o)]
        ids = {rival.video.id for rival in rivals}
        for more in (self._inside(one), self._beginning(one, means)):
            rivals += [o for o in more if o.video.id not in ids and has(one, o)]
            ids |= {rival.video.id for rival in rivals}
        others = self._different(one, rivals, means)
        start = bool(others) and all(begins(o) for o in (one, *others))
        if sum(_covers(one, o) for o in others) < self._many(one) and not start:
            return one
        return _rest(one, others) if self.videos else None

    def _different(self, one: Found, rivals: Sequence[Found], means: dict[str, Float32]) -> list[Found]:
        """Of the rivals those whose videos go on unlike its own and each other's, as many as tell anything."""
        others: list[Found] = []
        most = _ENOUGH if self.videos else self._many(one)
        for rival in rivals:
            if len(others) < most and all(self._differ(rival, other, means) for other in (one, *others)):
                others.append(rival)
        return others

    def _many(self, one: Found) -> int:
        """How many other videos make it common; a video of the library that goes on beside it counts as one."""
        s, asking = one.segment, self.asking
        if asking is None or not (s.query_start > _MORE or s.query_end < asking.duration - _MORE):
            return _MANY
        return _MANY - 1

    def _inside(self, one: Found) -> list[Found]:
        """What other videos of the library have of a segment, whatever the query does to it."""
        out: list[Found] = []
        for space in spaces_of(self.roles, "copy") if self.videos else ():
            rows = self.store.vectors(space, one.video.id)
            inside = _samples_of(one, rows)
            if not len(inside):
                continue
            inside = inside[np.unique(np.linspace(0, len(inside) - 1, _INSIDE).round().astype(int))]
            hits: dict[str, list[tuple[int, float, float]]] = {}
            for number, near in zip(
                inside.tolist(), self.store.search(space, rows.vectors[inside], _NEAREST), strict=True
            ):
                for video_id, at, alike in zip(near.video_ids, near.at.tolist(), near.score.tolist(), strict=True):
                    if video_id != one.video.id and video_id in self.videos and alike >= _SAME_START:
                        hits.setdefault(video_id, []).append((number, at, alike))
            out += [rival for i, some in hits.items() if (rival := self._rival(one, self.videos[i], rows, some))]
        return out

    def _beginning(self, one: Found, means: dict[str, Float32]) -> list[Found]:
        """Which other videos begin with what a segment begins with, as the pictures of the model see it.

        An intro has bars in a video of another shape; where edges lie says nothing then.
        """
        out: list[Found] = []
        for space in spaces_of(self.roles, "image") if self.videos and begins(one) else ():
            rows = self.store.vectors(space, one.video.id)
            inside = _samples_of(one, rows)[:_INSIDE]
            if not len(inside):
                continue
            ids = {i for near in self.store.search(space, rows.vectors[inside], _NEAREST) for i in near.video_ids}
            for video_id in sorted(ids & self.videos.keys() - {one.video.id}):
                there = self.store.vectors(space, video_id)
                alike = _cosines(rows.vectors[inside], _rows_at(there, rows.at[inside]), means[space])
                same = int(np.cumprod(alike >= _SAME_STILL).sum())  # as long as it goes on from the first on
                if same and float(alike[:same].mean()) >= _SAME_SCENE:
                    end = min(one.segment.end, float(rows.end[inside[same - 1]]))
                    s = replace(one.segment, query_end=(end - one.segment.shift) / one.segment.speed)
                    out.append(replace(one, video=self.videos[video_id], segment=s))
        return out

    def _rival(self, one: Found, video: Video, rows: Embeddings, hits: list[tuple[int, float, float]]) -> Found | None:
        """The same segment in another video, as far as it goes; None where that is only alike."""
        away = float(np.median([at - rows.at[number] for number, at, _ in hits]))
        best: dict[int, float] = {}
        for number, at, alike in hits:
            if abs(at - rows.at[number] - away) < _TOGETHER:
                best[number] = max(best.get(number, 0.0), alike)
        if not best:
            return None
        s = one.segment
        first, last = min(best), max(best)
        start, end = max(s.start, float(rows.start[first])), min(s.end, float(rows.end[last]))
        rival = replace(
            s,
            query_start=(start - s.shift) / s.speed,
            query_end=(end - s.shift) / s.speed,
            shift=s.shift + away,
        )
        found = replace(one, video=video, segment=rival)
        least = _SAME_START if begins(one) and begins(found) else _SAME
        return found if end > start and float(np.mean(list(best.values()))) >= least else None

    def _differ(self, one: Found, other: Found, means: dict[str, Float32]) -> bool:
        """Whether two videos go on unlike each other before or behind what they share."""
        if one.video.id == other.video.id:
            return False
        alike = [
            value
            for space, mean in means.items()
            for a, b in ((one, other), (other, one))[: 2 if self.videos else 1]
            if (value := self._around(a, b, space, mean)) is not None
        ]
        if not alike:  # nothing of one lies beside something of the other, but both may go on
            return _goes_on(one) and _goes_on(other)
        return max(alike) < _ALIKE

    def _around(self, one: Found, other: Found, space: str, mean: Float32) -> float | None:
        """How alike two videos are near the segment but not in it: the worse of its two sides; None: nothing is."""
        here, there = self.store.vectors(space, one.video.id), self.store.vectors(space, other.video.id)
        if not len(here) or not len(there):
            return None
        a, b = one.segment, other.segment
        sides: list[float] = []
        # By the second, not by the sample: one sample may stand for a long still scene.
        away = np.arange(_MARGIN, _AROUND)
        for times in (a.start - away, a.end + away):
            wanted = b.shift + b.speed * ((times - a.shift) / a.speed)
            near = (times >= 0) & (times < one.video.duration) & (wanted >= 0) & (wanted < other.video.duration)
            if near.any():
                rows = _rows_at(here, times[near])
                if one.warp.mirrored != other.warp.mirrored and (turned := mirrored(rows, space)) is not None:
                    rows = turned
                sides.append(_alike(rows, _rows_at(there, wanted[near]), mean))
        return min(sides) if sides else None


def _samples_of(one: Found, rows: Embeddings) -> NDArray[np.intp]:
    """The numbers of the video's samples that lie in a segment."""
    return np.flatnonzero((rows.at >= one.segment.start - 0.1) & (rows.at < one.segment.end - 0.1))


def _rows_at(rows: Embeddings, times: np.ndarray) -> Float32:
    return rows.vectors[rows.standing(times)]


def _alike(one: Float32, other: Float32, mean: Float32) -> float:
    return float(np.median(_cosines(one, other, mean)))


def _cosines(one: Float32, other: Float32, mean: Float32) -> Float32:
    """Of rows, without what all of the library has in common."""
    one, other = one - mean, other - mean
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / np.maximum(norms, 1e-6)


def _rest(one: Found, others: Sequence[Found]) -> Found | None:
    """What a segment has beside what is common, if it is long enough."""
    s = one.segment
    before = min(o.segment.query_start for o in others) - s.query_start
    behind = s.query_end - max(o.segment.query_end for o in others)
    if max(before, behind) < _REST:
        return None
    # What is common speaks for nothing beside it: another take of a scene may go on behind an intro.
    return (
        one.part(s.query_end - behind, s.query_end)
        if behind >= before
        else one.part(s.query_start, s.query_start + before)
    )


def _covered(one: Found, other: Found) -> float:
    """The part of a segment's query time that another one covers."""
    return one.segment.shared(other.segment) / max(one.segment.seconds, 1e-6)


def _covers(one: Found, other: Found) -> bool:
    """Whether another video shows most of a segment."""
    return _covered(one, other) >= _COVERS


def _has(one: Found, other: Found) -> bool:
    """Whether another video shows most of a segment, or begins with what it begins with."""
    part = _covered(one, other)
    return _covers(one, other) or (begins(one) and begins(other) and part * one.segment.seconds >= _INTRO)


def _goes_on(found: Found) -> bool:
    """Whether the video has more than the segment."""
    s = found.segment
    return s.start > _MORE or s.end < found.video.duration - _MORE


def begins(found: Found) -> bool:
    """Whether the clip and the video begin with it."""
    return found.segment.query_start < _START and found.segment.start < _START
