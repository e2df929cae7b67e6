"""Score curves: how every sample of a candidate video answers each part of the query, and where a clip fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from footage.search.query import Channel
from footage.types import Embeddings, Video

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.stores import Store
    from footage.types import Float32, Float64

GRID = 0.25  # seconds: step of the time axis on which a clip is laid against a video

_APART = 1e-6  # seconds: less is rounding
_CLOSER = 64  # samples that get a closer look
_LAYOUT_HALF, _LAYOUT_FULL = 0.75, 0.90  # cosine of layouts from which on, and where in full, they are trusted


@dataclass(slots=True, eq=False)
class Curve:
    """One video's samples in time, with the score of each channel: columns of length n."""

    start: Float64
    end: Float64
    at: Float64
    z: dict[int, Float32] = field(default_factory=lambda: {})  # channel number -> (n,) score, see above
    cosine: dict[tuple[int, str], Float32] = field(default_factory=lambda: {})  # (channel, space) -> (n,) best cosine
    laid: dict[int, Float32] = field(default_factory=lambda: {})
    """Clip's channel number -> score of laying it at each offset from -clip length on, a grid step apart."""
    fused: Float32 | None = None  # (n,) weighted sum of the channels, once it was asked for
    layouts: Float32 | None = None  # (n, dim) vectors of the copy role, where a picture is looked for
    bonus: Float32 = field(
        default_factory=lambda: np.zeros(1, np.float32)
    )  # (n,) or (1,): what a closer look at the best samples adds to the fused score


def score_curves(found: Sequence[Channel], store: Store, videos: Sequence[Video]) -> dict[str, Curve]:
    """The score of every sample of these videos in every channel."""
    out: dict[str, Curve] = {}
    for video in videos:
        spaces = dict.fromkeys(view.space for channel in found for view in channel.views)
        read = {space: store.vectors(space, video.id) for space in spaces}
        there = [number for number, channel in enumerate(found) if len(read[channel.views[0].space])]
        if there:
            curve = out[video.id] = Curve(*_axis([rows for rows in read.values() if len(rows)]))
            for number in there:
                _add(curve, number, found[number], read)
    _look_closer(out, found)
    return out


def _axis(read: Sequence[Embeddings]) -> tuple[Float64, Float64, Float64]:
    """Start, end and time of the frame of each sample; cut finer where spaces have rows of different times.

    Windows and the samples of pictures tile a video each in its own way.
    """
    first = read[0]
    if all(rows.start is first.start or np.array_equal(rows.start, first.start) for rows in read[1:]):
        return first.start, first.end, first.at
    start = np.unique(np.concatenate([rows.start for rows in read]))
    start = start[np.diff(start, prepend=-1.0) > _APART]
    end = np.append(start[1:], max(float(rows.end[-1]) for rows in read))
    own = first.at[(np.searchsorted(first.start, start + _APART, side="right") - 1).clip(0)]
    return start, end, np.clip(own, start, np.nextafter(end, start))


def _add(curve: Curve, number: int, channel: Channel, read: Mapping[str, Embeddings]) -> None:
    total = np.zeros((len(channel.starts), len(curve.at)), np.float32)
    for view in channel.views:
        rows = read[view.space]
        if not len(rows):
            continue
        cosine = view.cosines(rows.vectors)
        column = _columns(curve, rows)
        if column is not None:
            cosine = cosine[:, column]
        total += view.weight * cosine
        curve.cosine[number, view.space] = _highest(cosine)
        if channel.part.kind == "image" and view.copy:
            curve.layouts = rows.vectors if column is None else rows.vectors[column]
    if channel.part.kind == "video":
        curve.laid[number] = (_lay(channel, curve, total) - channel.mu) / channel.sigma
    curve.z[number] = _highest((total - channel.centre[:, None]) / channel.spread[:, None])


def _columns(curve: Curve, rows: Embeddings) -> NDArray[np.intp] | None:
    """The row that stands at each sample; None where it is just the next one.

    Spaces of pictures share their samples; windows are looked up by time.
    """
    if rows.start is curve.start or np.array_equal(rows.start, curve.start):
        return None
    return (np.searchsorted(rows.start, (curve.start + curve.end) / 2, side="right") - 1).clip(0)


def _highest(rows: Float32) -> Float32:
    """The maximum of each column; of one row, which is all that words have, that row itself."""
    return rows[0] if len(rows) == 1 else rows.max(axis=0)


def _look_closer(found_in: dict[str, Curve], found: Sequence[Channel]) -> None:
    """Tell near-identical candidates apart: compare what is left of their layouts without what they share.

    Takes of one scene have the same background, and it drowns the little in which they differ. The mean layout of the
    best samples is that background; what remains of each sample and of the query is compared once more. Only where
    the layout speaks at all: a crop or another camera has none in common.
    """
    for number, channel in enumerate(found):
        view = next((view for view in channel.views if view.copy), None)
        if channel.part.kind != "image" or channel.part.weight < 0 or view is None:
            continue
        samples = [
            (float(z), float(curve.cosine[number, view.space][i]), curve, i)
            for curve in found_in.values()
            if number in curve.z and curve.layouts is not None and (number, view.space) in curve.cosine
            for i, z in enumerate(curve.z[number].tolist())
        ]
        best = sorted(samples, key=lambda s: -s[0])[:_CLOSER]
        if len(best) < 3:
            continue
        trust = float(np.clip((max(s[1] for s in best) - _LAYOUT_HALF) / (_LAYOUT_FULL - _LAYOUT_HALF), 0, 1))
        rows = np.stack([curve.layouts[i] for _, _, curve, i in best if curve.layouts is not None])
        rest = rows - rows.mean(axis=0)
        queries = view.vectors[:, 0] - rows.mean(axis=0)
        alike = ((queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ rest.T).max(axis=0)
        alike /= np.maximum(np.linalg.norm(rest, axis=1), 1e-6)
        for (_, _, curve, i), cosine in zip(best, alike.tolist(), strict=True):
            if len(curve.bonus) != len(curve.at):
                curve.bonus = np.zeros(len(curve.at), np.float32)
            curve.bonus[i] += trust * (cosine + 1) / channel.spread[0]


def _lay(channel: Channel, rows: Curve, scores: Float32) -> Float32:
    """Lay a clip along a video at every offset; float32 (offsets,), the first one a clip's length before the start.

    The score of an offset is the mean along its diagonal of scores, float32 (q, n), weighted by how long each sample
    of the clip stands: a cross-correlation of the two score curves (speed 1; `copies` knows other speeds).
    """
    before = steps(channel.seconds)  # the clip may begin before the video does
    length = steps(float(rows.end[-1]))
    background = np.broadcast_to(channel.centre[:, None], (len(scores), length))
    grid = np.where(_inside(rows, length), scores[:, tiles(rows, length)], background)
    weights = channel.lengths / channel.lengths.sum()
    total = np.zeros(before + length, np.float32)
    middles = channel.starts + channel.lengths / 2
    for row, shift in enumerate(np.floor(middles / GRID).astype(int)):
        # offset o, at index o + before, puts the clip's time `shift` on the video's time o + shift
        source = np.arange(before + length) - before + shift
        valid = (source >= 0) & (source < length)
        total[valid] += weights[row] * grid[row, source[valid]]
        total[~valid] += weights[row] * channel.centre[row]
    return total


def steps(seconds: float) -> int:
    """How many grid steps cover this length; at least one."""
    return max(1, int(np.ceil(seconds / GRID - 1e-6)))


def tiles(curve: Curve, length: int) -> NDArray[np.intp]:
    """The sample that stands at the middle of each grid step."""
    return (np.searchsorted(curve.start, (np.arange(length) + 0.5) * GRID, side="right") - 1).clip(0)


def _inside(curve: Curve, length: int) -> NDArray[np.bool_]:
    times = (np.arange(length) + 0.5) * GRID
    return (times >= curve.start[0]) & (times < curve.end[tiles(curve, length)])
