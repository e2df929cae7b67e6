"""The whole library against itself, from the stored vectors: which videos show the same, and what is shared material.

Candidates come from a self-join (`join.py`), are aligned on the vectors of the two videos, and verified on their
pictures where these are at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from footage.copies import join
from footage.copies.align import Segment
from footage.copies.dense import Dense
from footage.copies.facts import Facts, Found, apart
from footage.copies.geometry import MIRROR, PLAIN
from footage.copies.laid import along, around, even, joined
from footage.copies.pieces import Common, is_common, pieces, same_films
from footage.copies.queries import Chunk
from footage.copies.register import Placed
from footage.copies.shared import Shared
from footage.copies.sound import witnessed
from footage.copies.trimmed import Trimmer
from footage.copies.verify import verified_there
from footage.encoders.layout import mirrored
from footage.errors import NotIndexed, QueryError
from footage.types import Match, spaces_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.copies.geometry import Warp
    from footage.copies.pieces import Piece
    from footage.copies.trimmed import Trimmed
    from footage.frames import FrameStore
    from footage.sounds import Landmarks
    from footage.stores import Store
    from footage.types import Embeddings, Float32, Roles, Video

_WHOLE = 45.0  # seconds of a segment that is verified as a whole; of a longer one its ends, and its middle if need be
_PART, _BEFORE = 30.0, 5.0  # seconds of such a part, and of them those outside of what the vectors tell
_MARGIN = 1.0  # the same of a short one
_REFUSED = 5  # segments of one pair of videos, in the order of their likeness, that turned out to be no copies
_EARS = 64  # fingerprints of sound that are at hand: 2 MB for two hours


@dataclass(frozen=True, slots=True)
class Inside:
    """What a library has twice."""

    matches: tuple[Match, ...]  # `query` is the id of the other video
    shared: tuple[Piece, ...]  # material that several otherwise different videos have in common


@dataclass(slots=True, eq=False)
class Within:
    """Finds all copies within one library."""

    store: Store
    roles: Roles
    frames: FrameStore
    verify: bool = True
    on_progress: Callable[[str, int, int], None] = lambda _what, _done, _of: None
    fingerprint: Callable[[str], Landmarks | None] = lambda _: None  # of the sound of a video
    _trimmer: Trimmer = field(init=False)

    def __post_init__(self) -> None:
        self._trimmer = Trimmer(self.frames)

    def find(self) -> Inside:
        """All pairs, and what is shared.

        Raises:
            NotIndexed: the library is empty.
            QueryError: the library has no copy role.
        """
        videos = [v for v in self.store.videos() if v.files]
        if not videos:
            raise NotIndexed("the library is empty", hint="run: footage index FOLDER")
        spaces = list(spaces_of(self.roles, "copy"))
        if not spaces:
            raise QueryError("this library cannot find copies: nothing of it tells the very frame")
        space = spaces[0]
        found: dict[tuple[str, str], list[Found]] = {}
        candidates, mean = self.candidates(videos, space)
        dense = Dense(self.frames)
        for number, (pair, places) in enumerate(candidates, 1):
            # In the place of the query the longer one has each place at which it shows the other.
            order = sorted((0, 1), key=lambda side: -videos[pair[side]].duration)
            one, other = (videos[pair[side]] for side in order)
            aligned = self._aligned(one, other, places[:, order], space, mean)
            if self.verify:
                aligned = self._of_copies(one, aligned, dense)
            if aligned:
                found[one.id, other.id] = aligned
            self.on_progress("pairs", number, len(candidates))
        return self._settled({v.id: v for v in videos}, found)

    def candidates(
        self, videos: list[Video], space: str
    ) -> tuple[list[tuple[tuple[int, int], NDArray[np.int64]]], Float32]:
        """Pairs of videos, as numbers, with the samples (m, 2) that look the same; and the library's mean vector."""
        sketcher = join.Sketcher.of(self.store.sample_vectors(space, 4096))
        for number, video in enumerate(videos):
            rows = self.store.vectors(space, video.id)
            sketcher.take(number, rows.vectors, mirrored(rows.vectors, space))
            if (trimmed := self._trimmer.of(rows)) is not None:
                sketcher.take(number, trimmed.vectors, mirrored(trimmed.vectors, space), trimmed.place)
            self.on_progress("videos", number + 1, len(videos))
        wanted = [
            (pair, places)
            for pair, every in join.pairs(sketcher.made()).items()
            if len(places := join.in_line(every, videos[pair[0]].samples, videos[pair[1]].samples))
        ]
        return sorted(wanted, key=lambda each: each[0]), sketcher.mean

    def _aligned(self, one: Video, other: Video, places: NDArray[np.int64], space: str, mean: Float32) -> list[Found]:
        """Segments by the vectors alone, `one` in the place of the query; near the samples that look the same."""
        here, there = self.store.vectors(space, one.id), self.store.vectors(space, other.id)
        bars, other_bars = (
            trimmed if (trimmed := self._trimmer.of(rows)) is not None and trimmed.has(near) else None
            for rows, near in ((here, places[:, 0]), (there, places[:, 1]))
        )
        times, standing = even(here, one.duration)
        other_times, other_standing = even(there, other.duration)
        parts = around(here.at[places[:, 0]], there.at[places[:, 1]], times, other_times)
        out: list[Found] = []
        for here_bars, there_bars in product(dict.fromkeys((None, bars)), dict.fromkeys((None, other_bars))):
            rows, there_rows = _seen(here_bars, here), _seen(there_bars, there)
            seen = [(rows[standing[a]], join.centred(there_rows[other_standing[b]], mean)) for a, b in parts]
            for turned in (PLAIN, MIRROR):
                found = [
                    along(join.centred(shown, mean) @ its.T, times[a], other_times[b])
                    for (a, b), (query, its) in zip(parts, seen, strict=True)
                    if (shown := query if turned == PLAIN else mirrored(query, space)) is not None
                ]
                for segment, level in joined(found):
                    facts = Facts(level, level, 1.0, 1.0, 0.0, 0.0, 1.0, segment.seconds, 1.0)
                    warp = _lies(here_bars, here, segment.query_start, segment.query_end).after(
                        turned.after(_lies(there_bars, there, segment.start, segment.end).back())
                    )
                    out.append(Found(other, warp, segment, facts))
        return apart(sorted(out, key=lambda f: -f.segment.gain))

    def _of_copies(self, one: Video, aligned: Sequence[Found], dense: Dense) -> list[Found]:
        """Those that are verified; the most alike are looked at first, and behind several that are none there is none.

        Two videos of many takes of one scene are alike in as many places as they have pairs of takes.
        """
        out: list[Found] = []
        refused = 0
        for each in sorted(aligned, key=lambda f: -f.facts.alike):
            found = self._verified(one, each, dense)
            refused = refused + 1 if found is None else 0
            if refused > _REFUSED:
                break
            out += [found] if found is not None else []
        return sorted(out, key=lambda f: -f.segment.gain)

    def _verified(self, one: Video, found: Found, dense: Dense) -> Found | None:
        """The segment with edges and facts of the pictures; itself where these are not at hand."""
        s = found.segment
        if s.seconds <= _WHOLE:
            looked = self._looked(one, found, dense, s.query_start - _MARGIN, s.query_end + _MARGIN)
            if looked is None:
                return found
            return max(looked, key=lambda f: f.segment.gain) if looked else None
        middle = (s.query_start + s.query_end - _PART) / 2
        first = self._looked(one, found, dense, s.query_start - _BEFORE, s.query_start - _BEFORE + _PART)
        last = self._looked(one, found, dense, s.query_end + _BEFORE - _PART, s.query_end + _BEFORE)
        seen = [looked for looked in (first, last) if looked is not None]
        if not any(seen) and (inner := self._looked(one, found, dense, middle, middle + _PART)) is not None:
            seen.append(inner)
        if not seen:
            return found
        if not any(seen):
            return None
        best = max((each for looked in seen for each in looked), key=lambda f: f.probability)
        return replace(best, segment=_edged(s, first or [], last or []))

    def _looked(self, one: Video, found: Found, dense: Dense, start: float, end: float) -> list[Found] | None:
        """What is likely on the segment's line, by the pictures of some seconds; None where these are not at hand."""
        query = dense.range(one, max(0.0, start), end)
        if query is None or len(query) < 2:
            return None
        s = found.segment
        chunk = Chunk(float(query.times[0]), min(end, one.duration), query, query, query.times[:0], [])
        at = (chunk.start + chunk.end) / 2
        return verified_there(Placed(found.video, found.warp, 1.0, at, s.at(at)), chunk, dense)

    def _settled(self, videos: dict[str, Video], found: dict[tuple[str, str], list[Found]]) -> Inside:
        """Tell copies from what is common to several videos, seen from each video."""
        of: dict[str, list[Found]] = {}
        for (a, _), each in found.items():
            of.setdefault(a, []).extend(each)
        for (a, b), each in found.items():
            of.setdefault(b, []).extend(_turned(f, videos[a]) for f in each)
        gone: list[tuple[Video, Found]] = []
        kept: list[Match] = []
        for video_id, mine in of.items():
            own = Shared(self.store, self.roles, asking=videos[video_id]).without(mine)
            left = {_place(f) for f in own}
            gone += [(videos[video_id], f) for f in mine if _place(f) not in left]
            kept += [f.match(video_id) for f in own if video_id < f.video.id]
        same = same_films(kept, videos)
        shared = [piece for piece in pieces(gone) if is_common(piece, same)]
        common = Common(shared)
        kept += [f.match(video.id) for video, f in gone if video.id < f.video.id]
        kept = self._heard([m for m in kept if not common.has(m)], videos)
        kept.sort(key=lambda m: (-m.probability, m.query, m.video.id, m.query_start))
        return Inside(tuple(kept), tuple(shared))

    def _heard(self, matches: list[Match], videos: dict[str, Video]) -> list[Match]:
        """The matches, which say whether both sides sound the same where both can be heard."""

        @lru_cache(maxsize=_EARS)
        def sound(video_id: str) -> Landmarks | None:
            try:
                return self.fingerprint(video_id)
            except (NotIndexed, ValueError):  # removed just now, or broken; the doctor tells
                return None

        out: list[Match] = []
        for m in sorted(matches, key=lambda m: m.query):
            hearable = m.video.has_audio and videos[m.query].has_audio
            one, other = (sound(m.query), sound(m.video.id)) if hearable else (None, None)
            out.append(replace(m, evidence=witnessed(m, one, other)) if one is not None and other is not None else m)
        return out


def _seen(bars: Trimmed | None, rows: Embeddings) -> Float32:
    """The vectors of a video, with or without its bars."""
    return rows.vectors if bars is None else bars.rows(rows.vectors)


def _lies(bars: Trimmed | None, rows: Embeddings, start: float, end: float) -> Warp:
    """Where in a video's pictures of some seconds the whole of what was compared lies."""
    first, last = np.searchsorted(rows.at, (start, end)).tolist()
    return PLAIN if bars is None else bars.warp(first, max(last, first + 1))


def _edged(segment: Segment, first: list[Found], last: list[Found]) -> Segment:
    """A long segment from where the pictures of its start begin to where those of its end stop."""
    begin = min((f.segment for f in first), key=lambda s: s.query_start, default=segment)
    stop = max((f.segment for f in last), key=lambda s: s.query_end, default=segment)
    start, there = begin.query_start, begin.start
    speed = (stop.end - there) / (stop.query_end - start)
    return replace(segment, query_start=start, query_end=stop.query_end, speed=speed, shift=there - speed * start)


def _turned(found: Found, one: Video) -> Found:
    """The same segment with the videos in each other's place."""
    s = found.segment
    back = Segment(s.start, s.end, 1 / s.speed, -s.shift / s.speed, s.gain)
    return Found(one, found.warp.back(), back, found.facts)


def _place(found: Found) -> tuple[str, float, float]:
    return found.video.id, found.segment.shift, found.segment.speed
