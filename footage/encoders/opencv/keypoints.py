"""Keypoints: does one picture show a part of another, cropped, turned, mirrored or with something laid over it?

Points are found and described in both (ORB: Rublee et al. 2011), matched with the ratio test (Lowe 2004), and counted
where one homography explains them (RANSAC: Fischler and Bolles 1981, as USAC: Raguram et al. 2013). Alike pictures of
another place have few in common. SIFT took ten times as long to find its points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.encoders.opencv.door import opencv
from footage.types import Verified

if TYPE_CHECKING:
    from footage.types import Float32, UInt8

_SIDE = 320  # pixels of the longer side: that of the key frames
_POINTS = 700  # of one picture, the strongest
_CONTRAST = 8  # grey levels by which a corner must stand out; ORB's own 20 finds too few in soft video
_EDGE = 16  # pixels at the border without points; ORB's own 31 is a third of a small frame
_RATIO = 0.8  # Lowe's: a match must be nearer than this part of the second nearest
_NEAR = 4.0  # pixels by which a match may miss its place
_LEAST = 6  # matches before a homography, which four points always satisfy, says anything
_ROUNDS = 500  # of RANSAC
_MOST_SCALE = 8.0  # one picture may show the other so much larger or smaller
_LEAST_AREA = 0.01  # of the query picture, covered by what agrees: a station's logo is no picture
_SLOPE, _CENTRE = 1.0, 10.0  # strength = sigmoid(slope (inliers - centre)); docs/quality.md, section on keypoints


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """The keypoints of one picture."""

    places: Float32  # (n, 2) x, y in pixels
    descriptors: Any  # uint8 (n, 32); None without points
    area: float  # of the picture, in pixels


class Keypoints:
    """The verifier; see `Verifier` in `footage.search.verify` for the protocol."""

    channel = "keypoints"

    def __init__(self) -> None:
        """Raise EncoderUnavailable when OpenCV is not installed."""
        opencv()

    def __call__(self, picture: UInt8, frames: Sequence[UInt8]) -> list[Verified]:
        """Count the points that agree between the picture, or its mirror image, and each frame."""
        queries = [find(picture), find(picture[:, ::-1])]
        out: list[Verified] = []
        for frame in frames:
            points = find(frame)
            inliers = 0
            for query in queries:
                inliers = max(inliers, agreeing(query, points))
                if inliers >= 2 * _CENTRE:  # as it is it fits so well that the mirror image cannot
                    break
            out.append(Verified(float(inliers), 1 / (1 + math.exp(-_SLOPE * (inliers - _CENTRE)))))
        return out


def find(picture: UInt8, most: int = _POINTS) -> Points:
    """The strongest keypoints of an RGB picture, uint8 (h, w, 3), scaled to 320 pixels if it is larger."""
    cv = opencv()
    height, width = picture.shape[:2]
    scale = _SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        picture = cv.resize(picture, size, interpolation=cv.INTER_AREA)
    grey = cv.cvtColor(np.ascontiguousarray(picture), cv.COLOR_RGB2GRAY)
    if min(grey.shape) <= 2 * _EDGE:  # nothing is left within the border, and OpenCV fails at a few pixels
        return Points(np.zeros((0, 2), np.float32), None, float(grey.size))
    orb = cv.ORB_create(nfeatures=most, edgeThreshold=_EDGE, fastThreshold=_CONTRAST)
    places, descriptors = orb.detectAndCompute(grey, None)
    flat = np.array([p.pt for p in places], np.float32).reshape(-1, 2)
    return Points(flat, descriptors, float(grey.size))


def agreeing(query: Points, frame: Points) -> int:
    """How many points of the query lie in the frame where one plausible homography puts them."""
    return len(agreement(query, frame)[0])


def agreement(query: Points, frame: Points) -> tuple[Float32, Float32]:
    """The places (n, 2) in the query and in the frame of the points that one plausible homography explains."""
    nothing = np.zeros((0, 2), np.float32)
    if min(len(query.places), len(frame.places)) < _LEAST:
        return nothing, nothing
    cv = opencv()
    distances, nearest = cv.batchDistance(
        query.descriptors, frame.descriptors, cv.CV_32S, normType=cv.NORM_HAMMING, K=2
    )
    good = np.flatnonzero(distances[:, 0] < _RATIO * distances[:, 1])
    good = good[np.argsort(distances[good, 0], kind="stable")]
    # Of several points that claim the same place, the nearest: else a plain corner could be matched by a hundred.
    targets, first = np.unique(nearest[good, 0], return_index=True)
    if len(targets) < _LEAST:
        return nothing, nothing
    here, there = query.places[good[first]], frame.places[targets]
    matrix, mask = cv.findHomography(here, there, cv.USAC_FAST, _NEAR, maxIters=_ROUNDS)
    if matrix is None or mask is None:
        return nothing, nothing
    inside = mask.reshape(-1).astype(bool)
    if not _plausible(matrix, here[inside]) or _covered(here[inside]) < _LEAST_AREA * query.area:
        return nothing, nothing
    return here[inside], there[inside]


def _plausible(matrix: Any, places: Float32) -> bool:
    """Whether the homography turns no triangle over and scales within reason, where there are points."""
    x, y = places.mean(axis=0) if len(places) else (0.0, 0.0)
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    depth = g * x + h * y + i
    if abs(depth) < 1e-9:
        return False
    u, v = (a * x + b * y + c) / depth, (d * x + e * y + f) / depth
    jacobian = np.array([[a - g * u, b - h * u], [d - g * v, e - h * v]]) / depth
    if np.linalg.det(jacobian) <= 0:
        return False
    large, small = np.linalg.svd(jacobian, compute_uv=False)
    return bool(large < _MOST_SCALE and small > 1 / _MOST_SCALE and large / small < 3)


def _covered(places: Float32) -> float:
    """The area of the points' convex hull, in pixels."""
    cv = opencv()
    return float(cv.contourArea(cv.convexHull(places))) if len(places) >= 3 else 0.0
