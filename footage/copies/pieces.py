"""Pieces of shared material: which ranges of which videos show the same, of all that was told to be common.

Each segment says of two ranges that they are the same. What overlaps in one video, and what segments join across
videos, is one piece; an intro and an outro of the same videos are two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from footage.copies.facts import Found
    from footage.types import Match, Video

_SAME = 0.5  # of the longer of two ranges of a video: they are the same piece, cut a little differently
_APART = 0.5  # of the shorter: one piece has one range there
_FILM = 0.5  # part of the shorter of two videos: they are copies of one film
_MANY = 3  # films that make a piece common
_INSIDE = 0.6  # part of a match that must lie within a piece


@dataclass(frozen=True, slots=True)
class Stretch:
    """A range of a video."""

    video: Video
    start: float
    end: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "video": self.video.id,
            "path": self.video.path,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
        }


Piece = tuple[Stretch, ...]
"""One a video, but for videos that have it several times."""


def pieces(gone: Iterable[tuple[Video, Found]]) -> list[Piece]:
    """The pieces, from segments with the video that is their query; the one that most ranges have first."""
    pairs = [(_of_query(video, found), _of_video(found)) for video, found in gone]
    by_video: dict[str, list[Stretch]] = {}
    for each in chain.from_iterable(pairs):
        by_video.setdefault(each.video.id, []).append(each)
    places = {stretch: place for ranges in by_video.values() for place in _places(ranges) for stretch in place.ranges}
    parent = {place: place for place in places.values()}

    def root(place: _Place) -> _Place:
        while parent[place] is not place:
            parent[place] = place = parent[parent[place]]
        return place

    for one, other in pairs:
        parent[root(places[one])] = root(places[other])
    together: dict[_Place, list[_Place]] = {}
    for place in parent:
        together.setdefault(root(place), []).append(place)
    return sorted((_piece(each) for each in together.values()), key=lambda p: (-len(p), p[0].video.path, p[0].start))


def same_films(matches: Iterable[Match], videos: Mapping[str, Video]) -> dict[str, set[str]]:
    """Video -> those that it is a copy of over most of the shorter one."""
    out: dict[str, set[str]] = {}
    for m in matches:
        if m.query_end - m.query_start > _FILM * min(m.video.duration, videos[m.query].duration):
            out.setdefault(m.query, set()).add(m.video.id)
            out.setdefault(m.video.id, set()).add(m.query)
    return out


def is_common(piece: Piece, same: Mapping[str, set[str]]) -> bool:
    """Whether it is in enough different films; several copies of one are one."""
    left, films = {each.video.id for each in piece}, 0
    while left and films < _MANY:
        films += 1
        film = [left.pop()]
        while film:
            near = same.get(film.pop(), set()) & left
            left -= near
            film += near
    return films >= _MANY


class Common:
    """Tells which matches are nothing but shared material."""

    def __init__(self, found: Sequence[Piece]) -> None:
        self._of: dict[str, list[tuple[int, Stretch]]] = {}
        for number, piece in enumerate(found):
            for each in piece:
                self._of.setdefault(each.video.id, []).append((number, each))

    def has(self, match: Match) -> bool:
        """Whether both sides of a match lie within one piece."""
        one = self._numbers(match.query, match.query_start, match.query_end)
        return bool(one & self._numbers(match.video.id, match.start, match.end))

    def _numbers(self, video_id: str, start: float, end: float) -> set[int]:
        return {
            number
            for number, each in self._of.get(video_id, ())
            if _overlap((start, end), (each.start, each.end)) > _INSIDE * (end - start)
        }


@dataclass(slots=True, eq=False)
class _Place:
    """Ranges of one video that are one."""

    ranges: list[Stretch] = field(default_factory=list[Stretch])

    def takes(self, other: Stretch) -> bool:
        first = self.ranges[0]
        longer = max(first.end - first.start, other.end - other.start)
        return _overlap((first.start, first.end), (other.start, other.end)) >= _SAME * longer

    def middle(self) -> Stretch:
        start, end = np.median([(each.start, each.end) for each in self.ranges], axis=0).tolist()
        return Stretch(self.ranges[0].video, start, end)


def _of_query(video: Video, found: Found) -> Stretch:
    s = found.segment
    return Stretch(video, max(s.query_start, 0.0), min(s.query_end, video.duration))


def _of_video(found: Found) -> Stretch:
    s = found.segment
    return Stretch(found.video, max(s.start, 0.0), min(s.end, found.video.duration))


def _places(ranges: Sequence[Stretch]) -> list[_Place]:
    out: list[_Place] = []
    for each in sorted(ranges, key=lambda s: (s.start, s.end)):
        place = next((known for known in out if known.takes(each)), None)
        if place is None:
            out.append(place := _Place())
        place.ranges.append(each)
    return out


def _piece(places: Iterable[_Place]) -> Piece:
    """Of what lies over each other in one video, what most segments tell."""
    kept: list[Stretch] = []
    for place in sorted(places, key=lambda p: -len(p.ranges)):
        middle = place.middle()
        mine = [each for each in kept if each.video.id == middle.video.id]
        if all(_overlap((m.start, m.end), (middle.start, middle.end)) < _APART * _shorter(m, middle) for m in mine):
            kept.append(middle)
    return tuple(sorted(kept, key=lambda s: (s.video.path, s.video.id, s.start)))


def _shorter(one: Stretch, other: Stretch) -> float:
    return min(one.end - one.start, other.end - other.start)


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
