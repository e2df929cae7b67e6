"""Cut score curves into moments: ranges with a best frame, a score, a strength, and evidence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from footage.search.curves import GRID, Curve, steps, tiles
from footage.search.query import Channel
from footage.types import Evidence, Moment, Video

if TYPE_CHECKING:
    from footage.encoders import Encoder
    from footage.types import Float32

_KEEP = 0.8  # a moment goes on while its samples reach this part of its best one's z


def clip_moments(video: Video, curve: Curve, found: list[Channel], encoder: Encoder, per_video: int) -> list[Moment]:
    """Moments of a query with a clip in it: the clip's length, at the offsets where it fits best.

    The other parts of the query count with their best sample under the clip.
    """
    seconds = max(found[number].seconds for number in curve.laid)
    before, length = steps(seconds), steps(float(curve.end[-1]))
    fused = np.zeros(before + length, np.float32)
    for number, weight in _weights(found):
        if number in curve.laid:
            laid = curve.laid[number]  # of a shorter clip: its first offsets are missing
            scores = np.pad(laid, (before + length - len(laid), 0))
        elif number in curve.z:
            grid = curve.z[number][tiles(curve, length)]
            padded = np.pad(grid, (before, before), constant_values=-np.inf)
            scores = np.lib.stride_tricks.sliding_window_view(padded, before + 1).max(axis=1)[: before + length]
            scores = np.where(np.isfinite(scores), scores, 0.0)
        else:
            continue
        fused += weight * (scores if weight > 0 else np.maximum(scores, 0.0))
    out: list[Moment] = []
    while len(out) < per_video:
        best = int(fused.argmax())
        score = float(fused[best])
        start, end = (best - before) * GRID, (best - before) * GRID + seconds
        columns = np.flatnonzero((curve.end > start) & (curve.start < end))
        if not np.isfinite(score) or (out and score <= 0) or not len(columns):
            break
        span = slice(int(columns[0]), int(columns[-1]) + 1)
        bounds = (max(0.0, start), min(float(curve.end[-1]), end))
        out.append(_moment(video, curve, found, encoder, span, score, bounds))
        fused[max(0, best - before + 1) : best + before] = -np.inf
    return out


def sample_moments(video: Video, curve: Curve, found: list[Channel], encoder: Encoder, per_video: int) -> list[Moment]:
    """Cut a video's fused curve into moments: from each peak outwards while the samples stay close to it."""
    fused = _fused(curve, found)
    free = np.ones(len(fused), bool)
    out: list[Moment] = []
    while len(out) < per_video and free.any():
        peak = int(np.where(free, fused + curve.bonus, -np.inf).argmax())
        if out and fused[peak] <= 0:
            break
        left = right = peak
        floor = _KEEP * fused[peak] if fused[peak] > 0 else fused[peak]
        while left > 0 and free[left - 1] and fused[left - 1] >= floor and _touch(curve, left - 1):
            left -= 1
        while right < len(fused) - 1 and free[right + 1] and fused[right + 1] >= floor and _touch(curve, right):
            right += 1
        span, bounds = slice(left, right + 1), (float(curve.start[left]), float(curve.end[right]))
        score = float((fused + curve.bonus)[peak])
        out.append(_moment(video, curve, found, encoder, span, score, bounds, peak))
        # What touches a moment and is a little weaker belongs to it for the eye; a second moment begins further off.
        free[max(0, left - 1) : right + 2] = False
    return out


def best_score(curve: Curve, found: list[Channel]) -> float:
    """The score of the best moment that `sample_moments` would cut; none of the others is above it."""
    return float((_fused(curve, found) + curve.bonus).max())


def _fused(curve: Curve, found: list[Channel]) -> Float32:
    fused = np.zeros(len(curve.at), np.float32)
    for number, weight in _weights(found):
        if number in curve.z:
            z = curve.z[number]
            fused += weight * (z if weight > 0 else np.maximum(z, 0.0))
    return fused


def _touch(curve: Curve, i: int) -> bool:
    return bool(curve.start[i + 1] - curve.end[i] < 1e-3)


def _weights(found: list[Channel]) -> list[tuple[int, float]]:
    """Each channel's share: the positive ones add up to 1."""
    total = sum(c.part.weight for c in found if c.part.weight > 0)
    return [(number, channel.part.weight / total) for number, channel in enumerate(found)]


def _moment(
    video: Video,
    curve: Curve,
    found: list[Channel],
    encoder: Encoder,
    span: slice,
    score: float,
    bounds: tuple[float, float],
    peak: int | None = None,
) -> Moment:
    evidence: list[Evidence] = []
    strength = 0.0
    alike = np.zeros(span.stop - span.start, np.float32)
    for number, weight in _weights(found):
        if number not in curve.z:
            continue
        channel, z = found[number], curve.z[number][span]
        best = span.start + int(z.argmax())
        sure = judge(channel, encoder, score if number in curve.laid and weight > 0 else float(curve.z[number][best]))
        for place, view in enumerate(channel.views):
            name = "not" if weight < 0 else "copy" if place else channel.part.kind
            if (number, view.space) in curve.cosine:
                cosine = float(curve.cosine[number, view.space][best])
                evidence.append(Evidence(name, channel.part.label, view.space, cosine, sure, float(curve.at[best])))
        if weight > 0:
            strength += weight * sure
            alike += weight * z
    best = span.start + int(alike.argmax()) if peak is None else peak
    return Moment(video, *bounds, float(curve.at[best]), score, strength, tuple(evidence))


def judge(channel: Channel, encoder: Encoder, z: float) -> float:
    """How sure an answer of this score is, 0..1: by the model's calibration, else by the score's distance in z."""
    slope, centre = encoder.row.calibration.get(channel.part.kind, (1.0, 4.0))
    calibrated = channel.part.kind in encoder.row.calibration
    value = z * channel.sigma + channel.mu if calibrated else z
    return 1 / (1 + math.exp(-min(50.0, max(-50.0, slope * (value - centre)))))
