"""Candidates: which videos might show what the query shows, and where, from the vectors of the index.

Cosines are put on the scale of each query vector's own background, a spread of the library's samples (score
normalisation, as the winners of VSC2022 had it): what looks like half of the library is no candidate for being like it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from footage.copies.queries import View, encoded
from footage.encoders import LAYOUT
from footage.stores.columns import products
from footage.types import Embeddings, spaces_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from footage.copies.queries import Chunk
    from footage.encoders import Together
    from footage.stores import Store
    from footage.types import Float32, Float64, Roles, UInt8, Video

_BACKGROUND, _LARGE_BACKGROUND = 2048, 768  # samples of a library; of a large one each is a read of its own
_SPREAD = 0.02  # cosine: in a library of a few like samples the spread says nothing
_DEEP, _LEAST_DEEP = 40, 8  # videos whose vectors are read
_ROWS = 12_000  # samples that are read of them, in each space; more are only read of the likeliest
_HITS = 96  # samples asked for with each vector
_LARGE = 200_000  # samples of a library from which on the index decides alone, and fewer vectors are made
_QUESTIONS, _FEW = 640, 120  # vectors that are searched with, in a small and in a large library
_BESIDE = 8.0  # seconds next to what the index finds, in which the vectors of a large library are compared
_BIN = 3.0  # seconds by which samples on one line may lie apart: they stand for one second and more
_SPEEDS = (0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0)
_TOP = 3  # pictures whose best samples make the score of a video
_PAIRS, _TINY_PAIRS = 2, 12  # of a video, of each space; where there are few videos, their samples may look alike
TINY = 4
"""Videos, up to which a library is no background to judge them by: all that it has may look like the query."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture of the query beside a sample of a video."""

    picture: int
    at: float  # of the sample
    z: float
    view: View
    exact: bool  # the space tells where edges lie, hence the view is where the picture would be


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A video, and its pairs with the query, best first."""

    video: Video
    score: float
    pairs: list[Pair]


@dataclass(slots=True, eq=False)
class Asked:
    """Vectors of one space: some pictures, each in some views."""

    space: str
    exact: bool
    vectors: Float32  # (n, dim), centred
    picture: list[int]
    view: list[View]
    time: Float64  # (n,) of the pictures
    mean: Float32  # (dim,) of the library
    centre: Float32  # (n,) of the background's cosines
    spread: Float32

    @staticmethod
    def of(space: str, vectors: Float32, picture: list[int], view: list[View], time: Float64, *, exact: bool) -> Asked:
        """Not judged yet."""
        blank = np.zeros(len(vectors), np.float32)
        mean = np.zeros(vectors.shape[1], np.float32)
        return Asked(space, exact, vectors, picture, view, time, mean, blank, blank + _SPREAD)

    def judge(self, store: Store, *, large: bool = False) -> None:
        """Centre the vectors, and measure their background: a spread of the library's samples."""
        mean, background = _background(store, self.space, self.vectors.shape[1], large=large)
        self.vectors, self.mean = _centred(self.vectors, mean), mean
        scores = products(self.vectors, background)
        if scores.shape[1]:
            self.centre = np.median(scores, axis=1)
            spread = 1.4826 * np.median(np.abs(scores - self.centre[:, None]), axis=1)
            self.spread = np.maximum(spread, _SPREAD)

    def z(self, rows: Float32) -> Float32:
        """Scores (n, rows) of library vectors on the scale of the background."""
        return (products(self.vectors, _centred(rows, self.mean)) - self.centre[:, None]) / self.spread[:, None]


def candidates(
    chunk: Chunk, views: Sequence[View], *, store: Store, encoder: Together, roles: Roles, videos: Mapping[str, Video]
) -> list[Candidate]:
    """The likeliest videos for a chunk: those that its pictures find best, and those that it finds as a whole."""
    most = _FEW if is_large(videos) else _QUESTIONS * 2
    return likeliest(_ask(chunk, views, encoder, roles, most), store, videos)


def is_large(videos: Mapping[str, Video]) -> bool:
    """Whether a library is too large for every vector to be compared carefully."""
    return sum(video.samples for video in videos.values()) > _LARGE


def likeliest(asked: Sequence[Asked], store: Store, videos: Mapping[str, Video]) -> list[Candidate]:
    """The likeliest videos for what is asked, best first: all that is done between encoding and pictures."""
    for each in asked:
        each.judge(store, large=is_large(videos))
    some = len(videos) < sum(bool(video.files) for video in store.videos())
    near = [nearest_videos(each, store, videos, filtered=some) for each in asked]
    # In turns: a space that knows nothing of this attack must not crowd out what the other one found.
    ids: dict[str, None] = {}
    rows = 0
    for turn in zip_longest(*near):
        for video_id in turn:
            if video_id is None or video_id in ids or len(ids) >= _DEEP:
                continue
            if rows + videos[video_id].samples <= _ROWS or len(ids) < _LEAST_DEEP:
                rows += videos[video_id].samples
                ids[video_id] = None
    read = [store.vectors_of(each.space, list(ids)) for each in asked]
    if is_large(videos):
        hits = {i: np.sort(np.concatenate([every[i] for every in near if i in every])) for i in ids}
        read = [[_around(rows, hits[rows.video_id]) for rows in parts] for parts in read]
    pairs = _PAIRS if len(videos) > TINY else _TINY_PAIRS
    found = [_candidate(videos[i], asked, parts, pairs) for i, parts in zip(ids, zip(*read, strict=True), strict=True)]
    return _in_order([candidate for candidate in found if candidate.pairs])


def _in_order(found: list[Candidate]) -> list[Candidate]:
    """By score, in turns with the one that is best for some picture: a clip may join pieces of many videos."""
    found = sorted(found, key=lambda c: -c.score)
    best: dict[tuple[int, bool], tuple[float, Candidate]] = {}
    for candidate in found:
        for pair in candidate.pairs:
            key = (pair.picture, pair.exact)
            if key not in best or pair.z > best[key][0]:
                best[key] = (pair.z, candidate)
    turns = [c for _, c in sorted(best.values(), key=lambda item: -item[0])]
    mixed = [c for pair in zip_longest(found, turns) for c in pair if c is not None]
    return list({c.video.id: c for c in mixed}.values())


def _ask(chunk: Chunk, views: Sequence[View], encoder: Together, roles: Roles, most: int) -> list[Asked]:
    usual = [view for view in views if view.usual]
    rare = [view for view in views if not view.usual]
    out: list[Asked] = []
    for role in ("copy", "image"):
        for space in spaces_of(roles, role):
            # A layout knows where edges lie: it has to be asked in every view, and tells which one it is.
            exact = space == LAYOUT.spaces[0].name
            if exact:
                plan = [(view, 120) for view in usual] + [(view, 6) for view in rare]
            else:
                plan = [(v, 8) for v in usual[:1]] + [(v, 8 if v.sampled else 3) for v in usual[1:] if not v.mirrored]
                plan += [(view, 1) for view in rare if not view.mirrored]
            out.append(_encoded(chunk, _thinned(plan, most), encoder.answering({role: space}), space, exact))
    return out


def _thinned(plan: list[tuple[View, int]], most: int) -> list[tuple[View, int]]:
    """The plan with so many pictures in sum, where it has more; a view keeps a few."""
    part = most / max(sum(count for _, count in plan), 1)
    return plan if part >= 1 else [(view, min(count, max(4, round(count * part)))) for view, count in plan]


def _encoded(chunk: Chunk, plan: Sequence[tuple[View, int]], encoder: Together, space: str, exact: bool) -> Asked:
    """Encode pictures in views, each view with its number of pictures spread over the chunk."""
    of: list[tuple[int, View]] = []
    shapes: dict[tuple[int, ...], list[tuple[int, UInt8]]] = {}
    for view, most in plan:
        count = min(most, len(chunk.pictures))
        numbers: list[int] = np.unique(np.linspace(0, len(chunk.pictures) - 1, count).round().astype(int)).tolist()
        for number in numbers:
            picture = view.picture(chunk.pictures[number])
            shapes.setdefault(picture.shape, []).append((len(of), picture))
            of.append((number, view))
    vectors: list[tuple[int, Float32]] = []
    for group in shapes.values():
        made = encoded([picture for _, picture in group], encoder)[space]
        vectors += [(place, vector) for (place, _), vector in zip(group, made, strict=True)]
    stacked = np.stack([vector for _, vector in sorted(vectors, key=lambda pair: pair[0])])
    pictures = [number for number, _ in of]
    return Asked.of(space, stacked, pictures, [view for _, view in of], chunk.times[pictures], exact=exact)


def _background(store: Store, space: str, dim: int, *, large: bool) -> tuple[Float32, Float32]:
    """The mean of the library's vectors, and a spread of them without it."""
    rows = store.sample_vectors(space, _LARGE_BACKGROUND if large else _BACKGROUND)
    if len(rows) < 8:
        return np.zeros(dim, np.float32), rows
    mean = rows.mean(axis=0)
    return mean, _centred(rows, mean)


def _centred(rows: Float32, mean: Float32) -> Float32:
    rows = rows - mean
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def _around(rows: Embeddings, hits: Float64) -> Embeddings:
    """The samples next to what the index found in their video, at these times, sorted; all where it was not asked."""
    if not len(hits):
        return rows
    after = np.clip(np.searchsorted(hits, rows.at), 0, len(hits) - 1)
    before = np.maximum(after - 1, 0)
    kept = np.minimum(np.abs(hits[after] - rows.at), np.abs(hits[before] - rows.at)) <= _BESIDE
    return Embeddings(rows.space, rows.video_id, rows.start[kept], rows.end[kept], rows.at[kept], rows.vectors[kept])


def nearest_videos(
    asked: Asked, store: Store, videos: Mapping[str, Video], *, filtered: bool = False
) -> dict[str, Float64]:
    """Videos by how much of what the index finds near the vectors lies on one line in them, best first.

    With the times of all that it finds there; none where every video is looked at. `filtered`: the library has more
    videos than these, and what it has in the others must not crowd these out.
    """
    if len(videos) <= _DEEP and sum(video.samples for video in videos.values()) <= _ROWS:
        return dict.fromkeys(videos, np.empty(0))
    order = np.arange(len(asked.vectors))
    if len(order) > _QUESTIONS:  # evenly over the pictures of the first views
        order = order[np.linspace(0, len(order) - 1, _QUESTIONS).round().astype(int)]
    found = store.search(
        asked.space, asked.vectors[order], _HITS, videos=videos if filtered else None, rough=is_large(videos)
    )
    counts = [len(hits) for hits in found]
    asking = np.repeat(order, counts)
    if not len(asking):
        return {}
    z = (np.concatenate([hits.score for hits in found]) - asked.centre[asking]) / asked.spread[asking]
    # What is not nearer than the last of a vector's hits is there by chance.
    chance = np.repeat([float(hits.score[-1]) if len(hits) == _HITS else -np.inf for hits in found], counts)
    above = z - np.maximum((chance - asked.centre[asking]) / asked.spread[asking], 0)
    ids, video = np.unique(
        np.concatenate([np.asarray(hits.video_ids, dtype=object) for hits in found]), return_inverse=True
    )
    at = np.concatenate([hits.at for hits in found])
    score = _on_lines(video, np.array(asked.picture)[asking], asked.time[asking], at, np.maximum(above, 0) + 1e-3)
    best: list[int] = np.lexsort((ids, -score)).tolist()
    by_video = np.argsort(video, kind="stable")
    parts = np.split(at[by_video], np.flatnonzero(np.diff(video[by_video])) + 1)
    return {str(ids[number]): parts[number] for number in best if ids[number] in videos}


def _on_lines(
    video: NDArray[np.intp], picture: NDArray[np.intp], time: Float64, at: Float64, worth: Float64
) -> Float64:
    """For each video the most that its hits on one line are worth, a picture counted once (Hough voting)."""
    best = np.zeros(int(video.max()) + 1)
    pictures = int(picture.max()) + 1
    for speed in _SPEEDS:
        for half in (0.0, 0.5):
            place = np.floor((at - speed * time) / _BIN + half).astype(np.int64)
            place -= place.min()
            places = int(place.max()) + 1
            key = (video * places + place) * pictures + picture
            order = np.argsort(key)
            key = key[order]
            runs = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])  # hits of one picture on one line
            value, line = np.maximum.reduceat(worth[order], runs), key[runs] // pictures
            lines = np.flatnonzero(np.r_[True, line[1:] != line[:-1]])
            np.maximum.at(best, line[lines] // places, np.add.reduceat(value, lines))
    return best


def _candidate(video: Video, asked: Sequence[Asked], parts: Sequence[Embeddings], most: int) -> Candidate:
    pairs: list[Pair] = []
    score = 0.0
    for each, rows in zip(asked, parts, strict=True):
        if not len(rows):
            continue
        z = each.z(rows.vectors)
        top = z.max(axis=1)
        where = z.argmax(axis=1)
        best: dict[int, int] = {}
        ranked: list[int] = np.argsort(-top).tolist()
        for number in ranked:
            best.setdefault(each.picture[number], number)
        chosen = list(best.values())
        score += float(np.mean([top[n] for n in chosen[:_TOP]]))
        pairs += [
            Pair(each.picture[n], float(rows.at[where[n]]), float(top[n]), each.view[n], each.exact)
            for n in _apart(chosen, each, top, most)
        ]
    return Candidate(video, score, pairs)


def _apart(chosen: list[int], asked: Asked, top: Float64 | Float32, most: int) -> list[int]:
    """The best pairs, those of other pictures and views first."""
    out = chosen[:most]
    seen = {asked.view[n].warp for n in out}
    ranked: list[int] = np.argsort(-top)[:40].tolist()
    for number in ranked:
        if asked.view[number].warp not in seen and len(out) < most + 1:
            seen.add(asked.view[number].warp)
            out.append(number)
    return out
