"""Where a video shows the seconds of a segment again, as an advertisement or a jingle comes again in a recording.

Alignment gives each second of a query one place in a video, the best. That the same comes again there the video's own
vectors tell, whatever was done to the query: both sides are of one film, encoded alike. Each such place is then
verified on its pictures like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from footage.copies.join import centred

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.types import Embeddings, Float32

_STEP = 0.5  # seconds
_ROWS = 32  # times of a segment that are compared
_SLACK = 1  # steps by which samples of the two places may stand for other times
_ALIKE = 0.55  # mean centred cosine from which two stretches may show the same
_MOST = 64  # places of one segment


def recurrences(rows: Embeddings, mean: Float32, start: float, end: float, duration: float) -> list[float]:
    """By how many seconds a video must be shifted so that it shows seconds [start, end) again, the most alike first.

    Args:
        rows: the video's samples in one space, vectors (n, dim).
        mean: (dim,) of the library's vectors.
        start, end, duration: seconds of the video.

    Returns:
        Shifts whose places overlap neither each other nor the segment. A still scene is one place, however long it is:
        between two places the video must show something else.
    """
    times = np.arange(0.0, duration, _STEP)
    inside = np.flatnonzero((times >= start) & (times < end))
    if len(rows) < 2 or not len(inside) or len(inside) * 2 > len(times):
        return []
    standing = rows.standing(times)
    chosen = inside[np.linspace(0, len(inside) - 1, min(len(inside), _ROWS)).round().astype(int)]
    level = _levels(rows, mean, standing, chosen)
    first = int(inside[0])  # of the segment at lag 0; a lag's number is where its place begins
    return [float(place - first) * _STEP for place in _places(level, first, len(inside))]


def _levels(rows: Embeddings, mean: Float32, standing: NDArray[np.intp], chosen: NDArray[np.intp]) -> Float32:
    """How alike the video is to the chosen steps when it begins at each step: float32 (m - length + 1,)."""
    vectors = centred(rows.vectors, mean)
    alike = (vectors[standing[chosen]] @ vectors.T)[:, standing]
    slack = [alike[:, _SLACK + by : alike.shape[1] - _SLACK + by] for by in range(-_SLACK, _SLACK + 1)]
    alike[:, _SLACK : alike.shape[1] - _SLACK] = np.maximum.reduce(slack)
    length = int(chosen[-1] - chosen[0]) + 1
    lags = alike.shape[1] - length + 1
    total = np.zeros(lags, np.float32)
    for row, step in zip(alike, (chosen - chosen[0]).tolist(), strict=True):
        total += row[step : step + lags]
    return total / np.float32(len(chosen))


def _places(level: Float32, own: int, length: int) -> list[int]:
    """Where each run of likely places is likeliest, but for the run of the segment itself: the most alike first."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (level >= _ALIKE).astype(np.int8), [0]])))
    tops: list[int] = []
    for first, last in edges.reshape(-1, 2).tolist():
        if not first <= own < last:
            tops.append(first + int(level[first:last].argmax()))
    kept: list[int] = []
    for place in sorted(tops, key=lambda place: -level[place]):
        if all(abs(place - other) >= length for other in (own, *kept)):
            kept.append(place)
    return kept[:_MOST]
