"""One clip against the library: chunks -> candidates -> placements -> segments -> matches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from footage.catalog import VIDEO_SUFFIXES, Refused, scan
from footage.copies.candidates import candidates
from footage.copies.dense import Dense
from footage.copies.facts import SAME, Found, apart
from footage.copies.geometry import MIRROR, PLAIN
from footage.copies.probability import moves
from footage.copies.queries import CHUNK, Chunk, View, chunks, through, views
from footage.copies.recurring import recurrences
from footage.copies.register import Placed, Register
from footage.copies.shared import Shared, begins
from footage.copies.sound import agrees, proposed
from footage.copies.verify import OFF, verified, verified_there
from footage.errors import NotIndexed, QueryError
from footage.pipeline import Stages
from footage.places import Place, place
from footage.search import select
from footage.search.repeats import overlap
from footage.types import Match, Where, spaces_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.copies.candidates import Candidate
    from footage.copies.geometry import Warp
    from footage.copies.sound import Ears
    from footage.encoders import Together
    from footage.frames import FrameStore
    from footage.sounds import Heard
    from footage.stores import Store
    from footage.types import Float32, Float64, Roles, Video

LIKELY = 0.5
"""A match of less probability is more likely wrong than right."""

_REST = 0.04  # part of a chunk's pictures that may stay unexplained
_SURE = 0.9  # probability
_WITNESS = 0.1  # probability with which a match tells that its video, too, shows something
_MAPPED = 0.85  # how alike pictures are through a map that is right
_ALIKE_SAME, _ALIKE_OTHER = 0.8, 0.5  # part of how alike a found segment is that a placement beside it must have
_AGAIN = 8  # times that what is left is looked at
_EXPLAINS = 0.6  # part of a segment's query time for which another video must have something
_BACKGROUND = 512  # samples of the library
_BESIDE = 1.0  # seconds of the query beside a segment that are looked at for it elsewhere
_CHANCE = 3  # places one after the other that turned out to be chance


@dataclass(frozen=True, slots=True)
class CopySettings:
    """How many answers, and from where."""

    k: int = 100  # matches of one query
    min_probability: float = LIKELY
    where: Where = field(default_factory=Where)
    sound: bool = False  # also what is only heard: the same music under other pictures

    def __post_init__(self) -> None:
        if self.k < 1:
            raise QueryError(f"k is {self.k}, but must be at least 1")
        if not 0 <= self.min_probability <= 1:
            raise QueryError(f"the least probability is {self.min_probability:g}, but must lie between 0 and 1")


@dataclass(slots=True, eq=False)
class Copies:
    """Finds copies of clips in one library; what it decodes of the library is kept from one clip to the next."""

    store: Store
    encoder: Together
    roles: Roles
    frames: FrameStore
    settings: CopySettings = field(default_factory=CopySettings)
    on_progress: Callable[[float], None] = lambda _: None  # seconds of the query that are done
    chunk: float = CHUNK  # seconds of a query that are looked at together
    ears: Ears | None = None
    stages: Stages = field(default_factory=Stages)
    _dense: Dense | None = None
    _register: Register | None = None
    _mean: Float32 | None = None  # of the vectors of the library

    def find(self, path: str | Place) -> list[Match]:
        """The matches of one clip, in the order of their probability.

        Raises:
            MediaError: it is not a video that can be decoded.
            NotIndexed: the library is empty.
            QueryError: the library's model has no pictures.
        """
        hearing = self.ears.hear(path) if self.ears is not None else None
        found = self.settled(list(self.found(path, hearing.heard if hearing is not None else ())))
        matches = [each.match(str(path)) for each in found]
        if self.ears is not None and hearing is not None:
            videos = {v.id: v for v in select(self.store.videos(), self.settings.where)}
            matches = self.ears.witness(hearing, matches, videos, sound=str(path) if self.settings.sound else "")
        matches = [m for m in matches if m.probability >= self.settings.min_probability]
        matches.sort(key=lambda m: (-m.probability, m.query_start, m.video.path))
        return matches[: self.settings.k]

    def clips(self, path: str | Place) -> list[str]:
        """The file, or the files of a folder that have the suffix of a video, in the order of their names.

        Raises:
            MediaNotFound: there is neither.
            QueryError: a folder without any.
        """
        files: list[str] = []
        for item in scan([path]):
            if isinstance(item, Refused):
                raise item.failure.error
            if item.named or place(item.file.path).suffix.lower() in VIDEO_SUFFIXES:
                files.append(item.file.path)
        if not files:
            raise QueryError(f"no clips in the folder: {path}", hint="give a video, or a folder of videos")
        return sorted(files)

    def settled(self, found: Sequence[Found]) -> list[Found]:
        """Segments of all chunks joined, without what is common to several videos."""
        joined = _joined(found)
        judged = _beside_others(joined)
        likely, others = _likely(judged), [each for each in judged if each.probability < LIKELY]
        # An intro that is in doubt in some videos is common to them all the same.
        doubtful = [
            before
            for before, after in zip(joined, judged, strict=True)
            if before.probability >= _WITNESS and after.probability < LIKELY
        ]
        kept = Shared(self.store, self.roles, {v.id: v for v in self.store.videos()}).without(likely, doubtful)
        return [*kept, *others]

    def found(self, path: str | Place, heard: Sequence[Heard] = ()) -> Iterator[Found]:
        """Every segment that was looked at, chunk by chunk; `heard` says where else to look."""
        videos = {v.id: v for v in select(self.store.videos(), self.settings.where)}
        if not videos:
            raise NotIndexed("the library is empty", hint="run: footage index FOLDER")
        if "copy" not in self.roles and "image" not in self.roles:
            raise QueryError("this library cannot find copies: its model has no pictures")
        self._dense = self._dense or Dense(self.frames)
        self._register = register = self._register or Register.make(self._dense)
        for chunk in self.stages.each("decode", chunks(place(path), length=self.chunk)):
            tried: list[Placed] = []
            seen = views(chunk)
            first = self._look(chunk, seen, register, videos, tried)
            # Through the right map another take is alike too: it says where to look, though it is no copy.
            seen_through = [f for f in first if f.probability >= LIKELY or f.facts.alike >= _MAPPED]
            known = _maps(seen_through)
            rest = _uncovered(chunk, seen_through)
            if known and rest is not None:
                # What one piece of a clip went through, the others probably did too: look at them through its map.
                first += self._look(rest, [through(warp) for warp in known], register, videos, tried)
            first += self._remaining(chunk, first, seen, register, videos, tried)
            if heard and (rest := _uncovered(chunk, _likely(first))) is not None:
                first += self._listen(rest, seen, heard, register, videos, tried)
            # An hour has many of them: the track of one that is not likely is asked for nothing.
            best = apart(sorted(first, key=lambda f: -f.probability * f.segment.seconds**0.5))
            yield from (f if f.probability >= LIKELY else replace(f, track=None) for f in best)
            yield from self._repeated(chunk, _likely(best), register)
            self.on_progress(chunk.end)

    def _repeated(self, chunk: Chunk, likely: Sequence[Found], register: Register) -> list[Found]:
        """Where else the videos show what they were found to show."""
        out = list[Found]()
        if not likely:
            return out
        space = next(space for role in ("copy", "image") for space in spaces_of(self.roles, role))
        mean = self._mean
        if mean is None:
            mean = self._mean = self.store.sample_vectors(space, _BACKGROUND).mean(axis=0)
        rows = {video_id: self.store.vectors(space, video_id) for video_id in {f.video.id for f in likely}}
        for each in likely:
            s, of_chance = each.segment, 0
            for shift in recurrences(rows[each.video.id], mean, s.start, s.end, each.video.duration):
                if any(_same_place(each, shift, other) for other in (*likely, *out)):
                    continue
                with self.stages("verify"):
                    found = _seen_again(each, shift, chunk, register.dense)
                out += [found] if found is not None else []
                of_chance = 0 if found is not None else of_chance + 1
                if of_chance > _CHANCE:  # the most alike come first: behind some that are chance there is nothing
                    break
        return out

    def _remaining(
        self,
        chunk: Chunk,
        found: Sequence[Found],
        seen: Sequence[View],
        register: Register,
        videos: Mapping[str, Video],
        tried: list[Placed],
    ) -> list[Found]:
        """What is found when only the pictures that nothing explains yet are looked at, as long as something is.

        A clip may join more pieces than candidates are compared at a time.
        """
        out, more = list[Found](), list(found)
        for _ in range(_AGAIN):
            rest = _uncovered(chunk, _likely([*found, *out])) if _likely(more) else None
            if rest is None:
                break
            more = self._look(rest, seen, register, videos, tried)
            out += more
        return out

    def _look(
        self,
        chunk: Chunk,
        seen: Sequence[View],
        register: Register,
        videos: Mapping[str, Video],
        tried: list[Placed],
    ) -> list[Found]:
        likely = candidates(
            chunk, seen, store=self.store, encoder=self.encoder, roles=self.roles, videos=videos, stages=self.stages
        )
        # Keypoints take the most time, and say nothing new of what was found without them, or was seen through a map.
        return self._compared(chunk, likely, register, tried, points=register.keypoints is not None and not tried)

    def _listen(
        self,
        chunk: Chunk,
        seen: Sequence[View],
        heard: Sequence[Heard],
        register: Register,
        videos: Mapping[str, Video],
        tried: list[Placed],
    ) -> list[Found]:
        """What the pictures show of what is heard, where they did not find it by themselves."""
        likely = proposed(chunk, seen, heard, videos, self.frames)
        found = self._compared(chunk, likely, register, tried, points=register.keypoints is not None)
        return [each for each in found if agrees(each.segment, each.video.id, heard)]

    def _compared(
        self, chunk: Chunk, likely: Sequence[Candidate], register: Register, tried: list[Placed], *, points: bool
    ) -> list[Found]:
        out: list[Found] = []
        for by_points in (False, True) if points else (False,):
            # What a clip and a video begin with may be an intro: which others have it must be known too.
            left = _open(chunk.times, [f for f in _likely(out) if not (by_points and begins(f))])
            if left.sum() <= _REST * len(left):
                break
            with self.stages("geometry"):
                places = register.placed(chunk, likely, points=by_points, wanted=left)
            for placed in places:
                if not _again(placed, tried, self.chunk) and not _explained(placed, out):
                    tried.append(placed)
                    with self.stages("verify"):
                        out += verified(placed, chunk, register.dense)
        return out


def copies(
    path: str | Place,
    *,
    store: Store,
    encoder: Together,
    roles: Roles,
    frames: FrameStore,
    settings: CopySettings | None = None,
) -> list[Match]:
    """Find the matches of one clip; see `Copies.find`."""
    return Copies(store, encoder, roles, frames, settings or CopySettings()).find(path)


def _maps(found: Sequence[Found]) -> list[Warp]:
    """The maps that were found, but for the plain ones, which every clip is seen through."""
    out: list[Warp] = []
    for each in sorted(found, key=lambda f: -f.segment.gain):
        if not any(each.warp.near(other, 0.06) for other in (PLAIN, MIRROR, *out)):
            out.append(each.warp)
    return out[:2]


def _likely(found: Sequence[Found]) -> list[Found]:
    return [each for each in found if each.probability >= LIKELY]


def _open(times: Float64, found: Sequence[Found]) -> NDArray[np.bool_]:
    """Which times of the query no segment covers."""
    out = np.ones(len(times), bool)
    for each in found:
        out &= (times < each.segment.query_start - 0.05) | (times >= each.segment.query_end)
    return out


def _uncovered(chunk: Chunk, found: Sequence[Found]) -> Chunk | None:
    """The chunk with only the pictures that no segment covers; None if that is next to nothing."""
    left = np.flatnonzero(_open(chunk.times, found))
    if not len(left):
        return None
    return replace(chunk, times=chunk.times[left], pictures=[chunk.pictures[i] for i in left.tolist()])


def _again(placed: Placed, tried: Sequence[Placed], reach: float) -> bool:
    """Whether the video was compared there through nearly the same map."""
    return any(
        p.video.id == placed.video.id and abs(p.at - placed.at) < reach and p.warp.near(placed.warp) for p in tried
    )


def _explained(placed: Placed, found: Sequence[Found]) -> bool:
    """Whether something was found there already that fits far better."""
    for each in found:
        s = each.segment
        if each.probability >= _SURE and s.query_start <= placed.query_at < s.query_end:
            least = _ALIKE_SAME if each.video.id == placed.video.id else _ALIKE_OTHER
            if placed.fit < least * each.facts.alike:
                return True
    return False


def _seen_again(found: Found, shift: float, chunk: Chunk, dense: Dense) -> Found | None:
    """A segment at another place of its video; None where that only looks like it."""
    s = found.segment
    part = chunk.between(s.query_start - _BESIDE, s.query_end + _BESIDE)
    at = (s.query_start + s.query_end) / 2
    placed = Placed(found.video, found.warp, found.facts.alike, at, s.at(at) + shift)
    seen = verified_there(placed, part, dense, reach=(s.end - s.start) / 2 + OFF)
    return max(seen, key=lambda f: f.segment.gain, default=None)


def _same_place(found: Found, shift: float, other: Found) -> bool:
    """Whether another segment lies where this one would be, shifted."""
    one, two = found.segment, other.segment
    there = overlap((one.start + shift, one.end + shift), (two.start, two.end))
    return found.video.id == other.video.id and there > SAME


def _joined(found: Sequence[Found]) -> list[Found]:
    """Segments that go on across the border of two chunks as one."""
    out: list[Found] = []
    for each in sorted(found, key=lambda f: (f.video.id, f.segment.query_start)):
        of_video = takewhile(lambda n, i=each.video.id: out[n].video.id == i, range(len(out) - 1, -1, -1))
        number = next((n for n in of_video if _goes_on(out[n], each)), None)
        if number is not None:
            last = out[number]
            one, two = last.segment, each.segment
            share = one.seconds / (one.seconds + two.seconds)
            speed = (two.end - one.start) / max(two.query_end - one.query_start, 1e-6)
            merged = replace(
                one, query_end=two.query_end, speed=speed, shift=one.start - speed * one.query_start,
                gain=one.gain + two.gain,
            )  # fmt: skip
            better = last if share >= 0.5 else each
            out[number] = replace(better, segment=merged)
        else:
            out.append(each)
    return out


def _beside_others(found: Sequence[Found]) -> list[Found]:
    """Each with what explains the same seconds of the query better.

    Where one video has every movement, the attack has spoilt none; another that has only most of them, or another
    place of the same, is another take, or has been worked on itself. The more is missing, the less likely it is the
    latter.
    """
    likely = _likely(found)
    return [replace(each, better=max([0.0, *_better(each, likely)])) for each in found]


def _better(one: Found, likely: Sequence[Found]) -> Iterator[float]:
    for other in likely:
        if other is not one and one.segment.shared(other.segment) >= _EXPLAINS * one.segment.seconds:
            yield moves(other.facts) - moves(one.facts)


def _goes_on(one: Found, two: Found) -> bool:
    a, b = one.segment, two.segment
    return (
        one.video.id == two.video.id
        and one.warp.mirrored == two.warp.mirrored
        and abs(b.query_start - a.query_end) < 0.35
        and abs(b.start - a.end) < 0.4
        and abs(a.speed / b.speed - 1) < 0.1
    )
