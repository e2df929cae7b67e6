"""Sound as a second witness: the same pictures with another sound, and the same sound under other pictures.

Pictures decide what is a copy; the fingerprints of sound (sounds.py) say whether the sound was kept, and where to look
when no picture found anything. What is heard without being seen, such as the same music, is told apart, and only where
it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from footage.copies.candidates import Candidate, Pair
from footage.errors import NotIndexed
from footage.media import listen
from footage.sounds import STEP, Landmarks, landmarks
from footage.types import Match

if TYPE_CHECKING:
    from footage.copies.align import Segment
    from footage.copies.queries import Chunk, View
    from footage.frames import FrameStore
    from footage.places import Place
    from footage.sounds import Heard, SoundIndex
    from footage.types import Video

PICTURE, SOUND, OTHER_SOUND = "picture", "sound", "other sound"
_TOGETHER = 0.5  # seconds by which sound and pictures may lie apart: players allow for less
_COVER = 0.3  # part of the shorter of two ranges in which both must be found
_LOUD = 4.0  # landmarks a second: with less there is too little to be heard to say that the sound is another one
_MOMENTS, _BESIDE = 5, 0.3  # key frames of a heard range that are looked at; seconds to the picture beside them
_AGREED = 9.0  # score of such a pair: more than what a picture alone must have to be tried
_PIECE, _MOSTLY = 5.0, 0.7  # seconds that are compared at once; part of them that is alike where the sound is the same
# Of the columns of such a piece, and how many at least, that are there again: 0.88 and more when coded again at 16
# kbit/s, half under loud speech, at most 0.16 between pieces of music on one beat.
_SHARE, _LEAST_MOMENTS = 0.3, 4
_SPEED = 0.01  # beyond it the pitch or the tempo is another one, and landmarks cannot tell
# By hand: no accident had more than 7 votes (tests/test_sounds.py, and all pairs of 95 real clips), and what was there
# had 25 and more but in clips of two seconds.
_HALF, _SLOPE = 9.0, 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Hearing:
    """What is heard in a clip."""

    query: Landmarks
    heard: tuple[Heard, ...]


class Ears:
    """What hears a clip in the videos of a library."""

    def __init__(self, index: SoundIndex, fingerprint: Callable[[str], Landmarks | None]) -> None:
        self._index, self._fingerprint = index, fingerprint

    def hear(self, path: str | Place) -> Hearing:
        """Listen to a clip; without sound nothing is heard."""
        query = landmarks(listen(path))
        return Hearing(query, tuple(self._index.heard(query)))

    def witness(
        self, hearing: Hearing, matches: Sequence[Match], videos: Mapping[str, Video], *, sound: str = ""
    ) -> list[Match]:
        """Say of each match of a clip whether its sound is the same; `sound` is its name where that is wanted alone."""
        query, heard = hearing.query, hearing.heard
        out = [replace(match, evidence=self._evidence(match, heard, query)) for match in matches]
        if sound:
            seen = [match for match in out if SOUND in match.evidence]
            alone = [one for one in heard if not any(_agree(match, one) for match in seen)]
            out += [_match(one, videos[one.video_id], sound) for one in alone if one.video_id in videos]
        return out

    def _evidence(self, match: Match, heard: Sequence[Heard], query: Landmarks) -> tuple[str, ...]:
        if any(_agree(match, one) for one in heard):
            return (PICTURE, SOUND)
        if abs(match.speed - 1) > _SPEED or not _loud(query, match.query_start, match.query_end):
            return (PICTURE,)
        try:
            video = self._fingerprint(match.video.id)
        except (NotIndexed, ValueError):
            return (PICTURE,)
        loud = video is not None and _loud(video, match.start, match.end)
        return (PICTURE, OTHER_SOUND) if loud else (PICTURE,)


def witnessed(match: Match, query: Landmarks, video: Landmarks) -> tuple[str, ...]:
    """The evidence of a match of two videos by their fingerprints: other sound, if most of what both say differs."""
    if abs(match.speed - 1) > _SPEED:
        return (PICTURE,)
    pieces = max(1, round((match.query_end - match.query_start) / _PIECE))
    edges = np.linspace(match.query_start, match.query_end, pieces + 1).tolist()
    told = [
        _sounds_alike(query, video, start, end, match.offset + (match.speed - 1) * start)
        for start, end in pairwise(edges)
    ]
    alike, unlike = told.count(True), told.count(False)
    if not alike and not unlike:
        return (PICTURE,)
    return (PICTURE, SOUND) if alike > _MOSTLY * (alike + unlike) else (PICTURE, OTHER_SOUND)


def _sounds_alike(query: Landmarks, video: Landmarks, start: float, end: float, away: float) -> bool | None:
    """Whether a video sounds like some seconds of a query, about so many seconds later; None if either is too quiet."""
    if not (_loud(query, start, end) and _loud(video, start + away, end + away)):
        return None
    one, two = _between(query, start, end), _between(video, start + away - _TOGETHER, end + away + _TOGETHER)
    codes, other = one.pairs.astype(np.int64), two.pairs.astype(np.int64)
    which, there = np.nonzero(abs(codes[:, None] - other[None]) <= 1)
    moments = one.frames[which].astype(np.int64)
    apart = two.frames[there].astype(np.int64) - moments
    near = abs(apart * STEP - away) < _TOGETHER
    if not near.any():
        return False
    offsets, votes = np.unique(apart[near], return_counts=True)
    same = near & (abs(apart - offsets[votes.argmax()]) <= 1)
    least = max(_LEAST_MOMENTS, _SHARE * len(np.unique(one.frames)))
    return len(np.unique(moments[same])) >= least


def _between(sound: Landmarks, start: float, end: float) -> Landmarks:
    first, last = np.searchsorted(sound.frames, (start / STEP, end / STEP))
    return Landmarks(sound.pairs[first:last], sound.frames[first:last])


def proposed(
    chunk: Chunk, views: Sequence[View], heard: Sequence[Heard], videos: Mapping[str, Video], frames: FrameStore
) -> list[Candidate]:
    """The videos that are heard while the pictures of a chunk are shown, beside the key frames of those moments.

    Nothing is known of what was done to the picture: a key frame is tried in every view, and by keypoints.
    """
    out: list[Candidate] = []
    for one in heard:
        if one.video_id not in videos:
            continue
        shift = one.start - one.query_start
        inside = (chunk.times >= one.query_start) & (chunk.times < one.query_end)
        if not inside.any():
            continue
        try:
            at = np.array(frames.times(one.video_id))
        except NotIndexed:
            continue
        gap = np.abs(at[:, None] - shift - np.where(inside, chunk.times, np.inf)[None])
        moments = np.flatnonzero(gap.min(axis=1) < _BESIDE)
        picture = gap.argmin(axis=1)
        if not len(moments):
            continue
        moments = moments[np.unique(np.linspace(0, len(moments) - 1, _MOMENTS).round().astype(int))]
        pairs = [
            Pair(int(picture[n]), float(at[n]), _AGREED, view, exact) for n in moments for view, exact in _ways(views)
        ]
        out.append(Candidate(videos[one.video_id], float(one.votes), pairs))
    return out


def _ways(views: Sequence[View]) -> list[tuple[View, bool]]:
    """Each view as a map, and the first once more, for keypoints."""
    return [*((view, True) for view in views), (views[0], False)]


def agrees(segment: Segment, video_id: str, heard: Sequence[Heard]) -> bool:
    """Whether the sound of a video is heard where a segment has its pictures."""
    for one in heard:
        first, last = max(segment.query_start, one.query_start), min(segment.query_end, one.query_end)
        middle = (first + last) / 2
        apart = abs(segment.at(middle) - (one.start + middle - one.query_start))
        if one.video_id == video_id and last > first and apart < _TOGETHER:
            return True
    return False


def _loud(sound: Landmarks, start: float, end: float) -> bool:
    first, last = np.searchsorted(sound.frames, (start / STEP, end / STEP))
    return bool(last - first >= _LOUD * (end - start))


def _agree(match: Match, one: Heard) -> bool:
    if one.video_id != match.video.id:
        return False
    both = min(match.query_end, one.query_end) - max(match.query_start, one.query_start)
    shorter = min(match.query_end - match.query_start, one.query_end - one.query_start)
    middle = (max(match.query_start, one.query_start) + min(match.query_end, one.query_end)) / 2
    apart = (match.offset + match.speed * middle) - (one.start + middle - one.query_start)
    return both > _COVER * shorter and abs(apart) < _TOGETHER


def _match(one: Heard, video: Video, name: str) -> Match:
    return Match(
        query=name,
        query_start=one.query_start,
        query_end=one.query_end,
        video=video,
        start=one.start,
        end=min(one.end, max(video.duration, one.start)),
        score=one.share,
        probability=1 / (1 + math.exp(-(one.votes - _HALF) / _SLOPE)),
        speed=1.0,
        offset=one.start - one.query_start,
        mirrored=False,
        evidence=(SOUND,),
    )
