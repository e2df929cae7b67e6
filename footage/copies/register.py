"""Geometry hypotheses: how a video's picture may lie in the query's, from the views and from keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.copies.geometry import MIRROR, Warp, agreement, refined
from footage.errors import EncoderUnavailable
from footage.media import resize
from footage.media.greys import grey, scaled_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from footage.copies.candidates import Candidate
    from footage.copies.dense import Dense
    from footage.copies.queries import Chunk
    from footage.types import UInt8, Video

_SIDE = 128
_POINTS = 9  # keypoints that agree, before their map is looked at
_RAW, _FIT = 0.1, 0.25  # agreement before and after the map is refined
_TRIED, _KEPT = 24, 10  # hypotheses that are refined, and that are laid along the video
_LOOKED = 24  # videos whose key frames are looked at
_SMALL, _BIG = 0.02, 40.0  # part of the query's picture that a video's may take


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A video, and where its picture lies in the query's."""

    video: Video
    warp: Warp
    fit: float  # agreement of the pictures that it was found with
    query_at: float
    at: float


@dataclass(slots=True, eq=False)
class Register:
    """Finds hypotheses for the candidates of one chunk."""

    dense: Dense
    keypoints: Any  # the module, None where OpenCV is not installed

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

    def placed(self, chunk: Chunk, found: Sequence[Candidate]) -> list[Placed]:
        """The likeliest placements, best first."""
        raw: list[Placed] = []
        greys: dict[int, UInt8] = {}
        points: dict[tuple[int, bool], Any] = {}
        for candidate in found[:_LOOKED]:
            raw += self._of(candidate, chunk, greys, points)
        raw.sort(key=lambda p: -p.fit)
        fits: list[Placed] = []
        for each in _distinct(raw)[:_TRIED]:
            fit = self._refined(each, chunk)
            if fit is not None and fit.fit >= _FIT:
                fits.append(fit)
        fits.sort(key=lambda p: -p.fit)
        return _distinct(fits)[:_KEPT]

    def _of(
        self, candidate: Candidate, chunk: Chunk, greys: dict[int, UInt8], points: dict[tuple[int, bool], Any]
    ) -> list[Placed]:
        out: list[Placed] = []
        for pair in candidate.pairs:
            frame = self.dense.key_frame(candidate.video, pair.at)
            if frame is None:
                continue
            if pair.picture not in greys:
                greys[pair.picture] = small(chunk.pictures[pair.picture])
            warps = [pair.view.warp] if pair.exact and pair.z > 2 else []
            if self.keypoints is not None:
                warps += self._by_points(chunk, pair.picture, frame, points)
            shown = small(frame)
            for warp in warps:
                fit = agreement(warp, greys[pair.picture][None], shown[None])
                if fit >= _RAW:
                    out.append(Placed(candidate.video, warp, fit, float(chunk.times[pair.picture]), pair.at))
        return out

    def _by_points(
        self, chunk: Chunk, number: int, frame: UInt8, points: dict[tuple[int, bool], Any]
    ) -> list[Warp]:
        there = self.keypoints.find(frame)
        out: list[Warp] = []
        for mirrored in (False, True):
            if (number, mirrored) not in points:
                picture = chunk.pictures[number]
                points[number, mirrored] = self.keypoints.find(picture[:, ::-1] if mirrored else picture)
            here, places = self.keypoints.agreement(points[number, mirrored], there)
            if len(here) < _POINTS:
                continue
            warp = _fitted(here / _size(chunk.pictures[number]), places / _size(frame))
            if warp is None:
                continue
            out.append(MIRROR.after(warp) if mirrored else warp)
        return out

    def _refined(self, placed: Placed, chunk: Chunk) -> Placed | None:
        number = int(np.abs(chunk.times - placed.query_at).argmin())
        frame = self.dense.key_frame(placed.video, placed.at)
        if frame is None:
            return None
        query, shown = small(chunk.pictures[number])[None], small(frame)[None]
        warp = refined(placed.warp, query, shown)
        if not _SMALL < warp.size < _BIG:
            return None
        return Placed(placed.video, warp, agreement(warp, query, shown), placed.query_at, placed.at)


def small(picture: UInt8) -> UInt8:
    """A grey copy, 128 pixels long."""
    return grey(resize(picture, *scaled_size(picture.shape[1], picture.shape[0], _SIDE)))


def _size(picture: UInt8) -> Any:
    return np.array([picture.shape[1], picture.shape[0]], np.float64)


def _fitted(query: Any, video: Any) -> Warp | None:
    """The affine map of places of the video (n, 2) to places of the query (n, 2), with outliers weighed down."""
    left = np.column_stack([video, np.ones(len(video))])
    weight = np.ones(len(video))
    matrix = np.zeros((3, 2))
    for _ in range(5):
        w = weight[:, None]
        try:
            matrix = np.linalg.lstsq(left * w, query * w, rcond=None)[0]
        except np.linalg.LinAlgError:
            return None
        off = np.linalg.norm(left @ matrix - query, axis=1)
        weight = 1 / (1 + (off / 0.01) ** 2)
    warp = Warp.of(matrix.T)
    return warp if _SMALL < warp.size < _BIG else None


def _distinct(placed: Sequence[Placed]) -> list[Placed]:
    """Those that place no video where one before placed it; two of a video at most."""
    out: list[Placed] = []
    for each in placed:
        same = [p for p in out if p.video.id == each.video.id]
        if len(same) < 2 and not any(p.warp.near(each.warp) for p in same):
            out.append(each)
    return out
