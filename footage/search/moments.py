"""Cut score curves into moments: first ranges with a score, then, of those that are asked for, with evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from footage.search.curves import GRID, Curve, steps, tiles
from footage.search.query import Channel, Part
from footage.types import Evidence, Moment, Video

if TYPE_CHECKING:
    from footage.encoders import Encoder
    from footage.types import Float32

_KEEP = 0.8  # a moment goes on while its samples reach this part of its best one's z


@dataclass(slots=True, eq=False)
class Cut:
    """A range of a video with its score: all that is needed to put it in its place."""

    video: Video
    curve: Curve
    span: slice  # of the curve's samples
    bounds: tuple[float, float]  # seconds
    own: float  # its score
    peak: int | None  # the best sample; None: to be found
    score: float  # by which it is ordered: its own, or what is left of it after better videos
    lowered: bool = False  # as material that several videos share


def is_clip(curve: Curve, found: list[Channel]) -> bool:
    """Whether it is a clip that is looked for, whose length is that of the moments."""
    return any(found[number].weight > 0 for number in curve.laid)


def clip_cuts(video: Video, curve: Curve, found: list[Channel], per_video: int) -> list[Cut]:
    """Cuts for a query with a clip in it: the clip's length, at the offsets where it fits best.

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
    out: list[Cut] = []
    while len(out) < per_video:
        best = int(fused.argmax())
        score = float(fused[best])
        start, end = (best - before) * GRID, (best - before) * GRID + seconds
        columns = np.flatnonzero((curve.end > start) & (curve.start < end))
        if not np.isfinite(score) or (out and score <= 0) or not len(columns):
            break
        span = slice(int(columns[0]), int(columns[-1]) + 1)
        bounds = (max(0.0, start), min(float(curve.end[-1]), end))
        out.append(Cut(video, curve, span, bounds, score, None, score))
        fused[max(0, best - before + 1) : best + before] = -np.inf
    return out


def sample_cuts(video: Video, curve: Curve, found: list[Channel], per_video: int) -> list[Cut]:
    """Cut a video's fused curve: from each peak outwards while the samples stay close to it."""
    fused = _fused(curve, found)
    scores = fused + curve.bonus
    free = scores.copy()  # -inf where a sample is taken
    out: list[Cut] = []
    while len(out) < per_video:
        peak = int(free.argmax())
        if free[peak] == -np.inf or (out and fused[peak] <= 0):
            break
        left = right = peak
        floor = _KEEP * fused[peak] if fused[peak] > 0 else fused[peak]
        while left > 0 and free[left - 1] > -np.inf and fused[left - 1] >= floor and _touch(curve, left - 1):
            left -= 1
        last = len(fused) - 1
        while right < last and free[right + 1] > -np.inf and fused[right + 1] >= floor and _touch(curve, right):
            right += 1
        bounds = (float(curve.start[left]), float(curve.end[right]))
        score = float(scores[peak])
        out.append(Cut(video, curve, slice(left, right + 1), bounds, score, peak, score))
        # What touches a moment and is a little weaker belongs to it for the eye; a second moment begins further off.
        free[max(0, left - 1) : right + 2] = -np.inf
    return out


def best_score(curve: Curve, found: list[Channel]) -> float:
    """The score of the best cut that `sample_cuts` would make; none of the others is above it."""
    return float((_fused(curve, found) + curve.bonus).max())


def _fused(curve: Curve, found: list[Channel]) -> Float32:
    """The weighted sum of the channels' scores; it is kept, since it is asked for twice."""
    if curve.fused is None:
        fused = np.zeros(len(curve.at), np.float32)
        for number, weight in _weights(found):
            if number in curve.z:
                z = curve.z[number]
                fused += weight * (z if weight > 0 else np.maximum(z, 0.0))
        curve.fused = fused
    return curve.fused


def _touch(curve: Curve, i: int) -> bool:
    return bool(curve.start[i + 1] - curve.end[i] < 1e-3)


def _weights(found: list[Channel]) -> list[tuple[int, float]]:
    """Each channel's share: the positive ones add up to 1."""
    total = sum(c.weight for c in found if c.weight > 0)
    return [(number, channel.weight / total) for number, channel in enumerate(found)]


def moment_of(cut: Cut, found: list[Channel], encoder: Encoder) -> Moment:
    """Say of a cut how sure it is, and what each part of the query contributed."""
    curve, span = cut.curve, cut.span
    evidence: list[Evidence] = []
    said: dict[Part, tuple[float, float]] = {}  # share of the part, and how sure it is
    alike = np.zeros(span.stop - span.start, np.float32)
    for number, weight in _weights(found):
        if number not in curve.z:
            continue
        channel, z = found[number], curve.z[number][span]
        best = span.start + int(z.argmax())
        laid = number in curve.laid and weight > 0
        sure = judge(channel, encoder, cut.own if laid else float(curve.z[number][best]))
        for view in channel.views:
            name = "not" if weight < 0 else "copy" if view.copy else channel.name
            if (number, view.space) in curve.cosine:
                cosine = float(curve.cosine[number, view.space][best])
                evidence.append(Evidence(name, channel.part.label, view.space, cosine, sure, float(curve.at[best])))
        if weight > 0:
            share, surest = said.get(channel.part, (0.0, 0.0))
            said[channel.part] = share + weight, max(surest, sure)  # of a clip, what it shows or how it moves
            alike += weight * z
    strength = sum(share * sure for share, sure in said.values())
    best = span.start + int(alike.argmax()) if cut.peak is None else cut.peak
    return Moment(cut.video, *cut.bounds, float(curve.at[best]), cut.score, strength, tuple(evidence))


def judge(channel: Channel, encoder: Encoder, z: float) -> float:
    """How sure an answer of this score is, 0..1: by the model's calibration, else by the score's distance in z."""
    slope, centre = encoder.row.calibration.get(channel.name, (1.0, 4.0))
    calibrated = channel.name in encoder.row.calibration
    value = z * channel.sigma + channel.mu if calibrated else z
    return 1 / (1 + math.exp(-min(50.0, max(-50.0, slope * (value - centre)))))
