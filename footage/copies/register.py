"""Geometry hypotheses: how a video's picture may lie in the query's, from the views and from keypoints."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.copies.candidates import TINY
from footage.copies.geometry import MIRROR, Warp, agreement, refined
from footage.errors import EncoderUnavailable
from footage.media import resize
from footage.media.greys import grey, scaled_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from footage.copies.candidates import Candidate, Pair
    from footage.copies.dense import Dense
    from footage.copies.queries import Chunk
    from footage.types import Float64, UInt8, Video

_SIDE, _ROUGH = 128, 56  # pixels of pictures that maps are refined on, and that they are first tried on
_PLAIN = 0.6  # agreement with which a placement needs no other
_MOST_POINTS = 400  # of a picture
_KNOWN = 4096  # key frames whose points are kept
_POINTS = 9  # keypoints that agree, before their map is looked at
_RAW, _FIT = 0.1, 0.25  # agreement before and after the map is refined
_TRIED, _KEPT = 10, 6  # hypotheses that are refined, and that are laid along the video
_NEXT, _TOGETHER = 1.2, 4  # seconds of the query, and hypotheses there
_CLEAR, _CLEAR_TINY = 2.5, 0.5  # score of a pair, from which its view is tried; among a few videos none stands out
_LOOKED = 40  # videos whose key frames are looked at
_SMALL, _BIG = 0.02, 40.0  # part of the query's picture that a video's may take


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A video, and where its picture lies in the query's."""

    video: Video
    warp: Warp
    fit: float  # agreement of the pictures that it was found with
    query_at: float
    at: float
    origin: Warp | None = None  # before it was refined


@dataclass(slots=True, eq=False)
class Register:
    """Finds hypotheses for the candidates of one chunk."""

    dense: Dense
    keypoints: Any  # the module, None where OpenCV is not installed
    known: OrderedDict[tuple[str, float], Any] = field(default_factory=OrderedDict[tuple[str, float], Any])
    rough: OrderedDict[tuple[str, float], UInt8] = field(default_factory=OrderedDict[tuple[str, float], "UInt8"])

    @staticmethod
    def make(dense: Dense) -> Register:
        """With keypoints where OpenCV is installed."""
        try:
            from footage.encoders.opencv import keypoints
            from footage.encoders.opencv.door import opencv

            opencv()
        except EncoderUnavailable:
            return Register(dense, None)
        return Register(dense, keypoints)

    def placed(
        self, chunk: Chunk, found: Sequence[Candidate], *, points: bool, wanted: NDArray[np.bool_]
    ) -> list[Placed]:
        """The likeliest placements, best first: those of the views, or those of keypoints.

        `wanted` (p,) are the pictures of the chunk that are to be explained.
        """
        raw: list[Placed] = []
        greys: dict[int, UInt8] = {}
        known: dict[tuple[int, bool], Any] = {}
        for candidate in found[:_LOOKED]:
            pairs = [pair for pair in candidate.pairs if wanted[pair.picture]]
            if points:
                raw += self._pointed(candidate.video, pairs, chunk, greys, known)
            else:
                clear = _CLEAR if len(found) > TINY else _CLEAR_TINY
                raw += self._seen(candidate.video, [pair for pair in pairs if pair.z > clear], chunk, greys)
        raw.sort(key=lambda p: -p.fit)
        fits: list[Placed] = []
        for each in _early(_distinct(raw)):
            fit = self._refined(each, chunk)
            if fit is not None and fit.fit >= _FIT:
                fits.append(fit)
        fits.sort(key=lambda p: -p.fit)
        return _spread(_distinct(fits))

    def _seen(self, video: Video, pairs: Sequence[Pair], chunk: Chunk, greys: dict[int, UInt8]) -> list[Placed]:
        """Where the views that found the pairs have the video's picture."""
        out: list[Placed] = []
        for pair in pairs:
            if not pair.exact or any(placed.fit > _PLAIN for placed in out):
                continue
            frame = self.dense.key_frame(video, pair.at)
            if frame is not None:
                out.append(self._tried(pair.view.warp, video, pair, frame, chunk, greys))
        return [placed for placed in out if placed.fit >= _RAW]

    def _pointed(
        self,
        video: Video,
        pairs: Sequence[Pair],
        chunk: Chunk,
        greys: dict[int, UInt8],
        known: dict[tuple[int, bool], Any],
    ) -> list[Placed]:
        """Where keypoints put it."""
        out: list[Placed] = []
        exact = [pair for pair in pairs if pair.exact]
        for pair in (*exact[:1], *(pair for pair in pairs if not pair.exact)):
            frame = self.dense.key_frame(video, pair.at)
            if frame is None or any(placed.fit > _PLAIN for placed in out):
                continue
            warps = self._by_points(chunk, pair, video.id, frame, known)
            out += [self._tried(warp, video, pair, frame, chunk, greys) for warp in warps]
        return [placed for placed in out if placed.fit >= _RAW]

    def _tried(
        self, warp: Warp, video: Video, pair: Pair, frame: UInt8, chunk: Chunk, greys: dict[int, UInt8]
    ) -> Placed:
        if pair.picture not in greys:
            greys[pair.picture] = small(chunk.pictures[pair.picture], _ROUGH)
        fit = agreement(warp, greys[pair.picture][None], self._rough(video.id, pair.at, frame)[None])
        return Placed(video, warp, fit, float(chunk.times[pair.picture]), pair.at)

    def _rough(self, video_id: str, at: float, frame: UInt8) -> UInt8:
        key = (video_id, at)
        if key not in self.rough:
            self.rough[key] = small(frame, _ROUGH)
            if len(self.rough) > _KNOWN:
                self.rough.popitem(last=False)
        return self.rough[key]

    def _by_points(
        self, chunk: Chunk, pair: Pair, video_id: str, frame: UInt8, points: dict[tuple[int, bool], Any]
    ) -> list[Warp]:
        key, number = (video_id, pair.at), pair.picture
        if key not in self.known:
            self.known[key] = self.keypoints.find(frame, _MOST_POINTS)
            if len(self.known) > _KNOWN:
                self.known.popitem(last=False)
        there = self.known[key]
        out: list[Warp] = []
        for mirrored in (False, True):
            if (number, mirrored) not in points:
                picture = chunk.pictures[number]
                points[number, mirrored] = self.keypoints.find(picture[:, ::-1] if mirrored else picture, _MOST_POINTS)
            here, places = self.keypoints.agreement(points[number, mirrored], there)
            if len(here) < _POINTS:
                continue
            warp = _fitted(here / _size(chunk.pictures[number]), places / _size(frame))
            if warp is None:
                continue
            out.append(MIRROR.after(warp) if mirrored else warp)
            break  # what fits as it is does not fit mirrored
        return out

    def _refined(self, placed: Placed, chunk: Chunk) -> Placed | None:
        if placed.fit > _PLAIN:
            return placed  # it is refined later, on pictures that are aligned in time
        number = int(np.abs(chunk.times - placed.query_at).argmin())
        frame = self.dense.key_frame(placed.video, placed.at)
        if frame is None:
            return None
        query, shown = small(chunk.pictures[number])[None], small(frame)[None]
        warp = refined(placed.warp, query, shown)
        if not _SMALL < warp.size < _BIG:
            return None
        return Placed(placed.video, warp, agreement(warp, query, shown), placed.query_at, placed.at, placed.warp)


def small(picture: UInt8, side: int = _SIDE) -> UInt8:
    """A grey copy, so many pixels long."""
    return grey(resize(picture, *scaled_size(picture.shape[1], picture.shape[0], side)))


def _size(picture: UInt8) -> Any:
    return np.array([picture.shape[1], picture.shape[0]], np.float64)


def _fitted(query: Any, video: Any) -> Warp | None:
    """The affine map of places of the video (n, 2) to places of the query (n, 2), with outliers weighed down."""
    left = np.column_stack([video, np.ones(len(video))])
    weight = np.ones(len(video))
    matrix: Float64 = np.zeros((3, 2))
    for _ in range(5):
        w = weight[:, None]
        try:
            solved: Any = np.linalg.lstsq(left * w, query * w, rcond=None)  # pyright: ignore[reportUnknownVariableType]
        except np.linalg.LinAlgError:
            return None
        matrix = np.asarray(solved[0], np.float64)
        off = np.linalg.norm(left @ matrix - query, axis=1)
        weight = 1 / (1 + (off / 0.01) ** 2)
    warp = Warp.of(matrix.T)
    return warp if _SMALL < warp.size < _BIG else None


def _early(placed: Sequence[Placed]) -> list[Placed]:
    """The hypotheses that are worth refining."""
    counts: dict[int, int] = {}
    out: list[Placed] = []
    for each in placed:
        slot = int(each.query_at / _NEXT)
        counts[slot] = counts.get(slot, 0) + 1
        if counts[slot] <= 2 * _TOGETHER:
            out.append(each)
    return out[:_TRIED]


def _spread(placed: Sequence[Placed]) -> list[Placed]:
    """The best, but only so many near one time of the query: a clip may join pieces of many videos."""
    out: list[Placed] = []
    for each in placed:
        if sum(abs(p.query_at - each.query_at) < _NEXT for p in out) < _TOGETHER:
            out.append(each)
    return out[:_KEPT]


def _distinct(placed: Sequence[Placed]) -> list[Placed]:
    """Those that place no video where one before placed it; two of a video at most."""
    out: list[Placed] = []
    for each in placed:
        same = [p for p in out if p.video.id == each.video.id]
        if len(same) < 2 and not any(p.warp.near(each.warp) for p in same):
            out.append(each)
    return out
