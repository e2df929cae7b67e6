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
from footage.stores.columns import products
from footage.types import spaces_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from footage.copies.queries import Chunk
    from footage.encoders import Together
    from footage.stores import Store
    from footage.types import Float32, Float64, Roles, UInt8, Video

_BACKGROUND = 2048  # samples of the library
_SPREAD = 0.02  # cosine: in a library of a few like samples the spread says nothing
DEEP = 40  # videos whose vectors are read
_HITS = 96  # samples asked for with each vector
_LARGE = 200_000  # samples of a library from which on fewer questions are asked
_QUESTIONS, FEW = 640, 48  # vectors that are searched with, in a small and in a large library
_TOP = 3  # pictures whose best samples make the score of a video
_PAIRS = 2  # of a video, of each space


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
    mean: Float32  # (dim,) of the library
    centre: Float32  # (n,) of the background's cosines
    spread: Float32

    def judge(self, store: Store) -> None:
        """Centre the vectors, and measure their background: a spread of the library's samples."""
        mean, background = _background(store, self.space, self.vectors.shape[1])
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
    asked = _ask(chunk, views, store, encoder, roles)
    size = sum(video.samples for video in videos.values())
    nearest = [nearest_videos(each, store, videos, FEW if size > _LARGE else _QUESTIONS) for each in asked]
    # In turns: a space that knows nothing of this attack must not crowd out what the other one found.
    ids: dict[str, None] = {}
    for rank in range(DEEP):
        for ranking in nearest:
            if rank < len(ranking) and len(ids) < DEEP:
                ids.setdefault(ranking[rank])
    found = [_candidate(videos[i], asked, store) for i in ids]
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


def _ask(chunk: Chunk, views: Sequence[View], store: Store, encoder: Together, roles: Roles) -> list[Asked]:
    usual = [view for view in views if view.usual]
    rare = [view for view in views if not view.usual]
    out: list[Asked] = []
    for role, exact in (("copy", True), ("image", False)):
        for space in spaces_of(roles, role):
            if exact:
                plan = [(view, 120) for view in usual] + [(view, 6) for view in rare]
            else:
                plan = [(v, 8) for v in usual[:1]] + [(v, 8 if v.sampled else 3) for v in usual[1:] if not v.mirrored]
                plan += [(view, 1) for view in rare if not view.mirrored]
            asked = _encoded(chunk, plan, encoder.answering({role: space}), space, exact)
            asked.judge(store)
            out.append(asked)
    return out


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
    n = len(stacked)
    mean = np.zeros(stacked.shape[1], np.float32)
    blank = np.zeros(n, np.float32)
    return Asked(space, exact, stacked, [p for p, _ in of], [v for _, v in of], mean, blank, blank + _SPREAD)


def _background(store: Store, space: str, dim: int) -> tuple[Float32, Float32]:
    """The mean of the library's vectors, and a spread of them without it."""
    rows = store.sample_vectors(space, _BACKGROUND)
    if len(rows) < 8:
        return np.zeros(dim, np.float32), rows
    mean = rows.mean(axis=0)
    return mean, _centred(rows, mean)


def _centred(rows: Float32, mean: Float32) -> Float32:
    rows = rows - mean
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def nearest_videos(asked: Asked, store: Store, videos: Mapping[str, Video], most: int) -> list[str]:
    """Ids of videos by what the index finds near the vectors, best first."""
    if len(videos) <= DEEP:
        return list(videos)
    order = np.arange(len(asked.vectors))
    if len(order) > most:  # evenly over the pictures of the first views
        order = order[np.linspace(0, len(order) - 1, most).round().astype(int)]
    best: dict[str, dict[int, float]] = {}
    for first in range(0, len(order), 64):
        some = order[first : first + 64]
        numbers: list[int] = some.tolist()
        for number, hits in zip(numbers, store.search(asked.space, asked.vectors[some], _HITS), strict=True):
            centre, spread = float(asked.centre[number]), float(asked.spread[number])
            picture = asked.picture[number]
            for video_id, score in zip(reversed(hits.video_ids), hits.score[::-1].tolist(), strict=True):
                of = best.setdefault(video_id, {})
                of[picture] = max(of.get(picture, 0.0), (score - centre) / spread)
    scores = {i: sum(sorted(of.values(), reverse=True)[:_TOP]) for i, of in best.items() if i in videos}
    return sorted(scores, key=lambda i: (-scores[i], i))


def _candidate(video: Video, asked: Sequence[Asked], store: Store) -> Candidate:
    pairs: list[Pair] = []
    score = 0.0
    for each in asked:
        rows = store.vectors(each.space, video.id)
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
            for n in _apart(chosen, each, top)
        ]
    return Candidate(video, score, pairs)


def _apart(chosen: list[int], asked: Asked, top: Float64 | Float32) -> list[int]:
    """The best pairs, those of other pictures and views first."""
    out = chosen[:_PAIRS]
    seen = {asked.view[n].warp for n in out}
    ranked: list[int] = np.argsort(-top)[:40].tolist()
    for number in ranked:
        if asked.view[number].warp not in seen and len(out) < _PAIRS + 1:
            seen.add(asked.view[number].warp)
            out.append(number)
    return out
