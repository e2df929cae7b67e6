"""How strongly one whole video answers a query, along time: near misses are seen beside the moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from footage.search.curves import GRID, Curve, score_curves, steps
from footage.search.moments import judge
from footage.search.query import Channel, Part, channels

if TYPE_CHECKING:
    from footage.encoders import Encoder
    from footage.stores import Store
    from footage.types import Float64, Roles, Video


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """One video's samples in time with the strength of the query in each: float64 columns of length n."""

    start: Float64  # (n,)
    end: Float64  # (n,)
    at: Float64  # (n,)
    strength: Float64  # (n,) 0..1, as in Moment.strength; what the negative parts say is taken off


def along(parts: Sequence[Part], video: Video, *, store: Store, encoder: Encoder, roles: Roles) -> Strip:
    """Judge every sample of a video by the query.

    Raises:
        QueryError: an empty query, or one that this library cannot answer.
        MediaError: a query picture or clip that cannot be read.
    """
    found = channels(parts, store=store, encoder=encoder, roles=roles)
    curve = score_curves(found, store, [video]).get(video.id)
    if curve is None:
        return Strip(*(np.empty(0) for _ in range(4)))
    positive = sum(channel.weight for channel in found if channel.weight > 0)
    said: dict[Part, tuple[float, Float64]] = {}  # share of the part, and how sure it is of each sample
    for number, channel in enumerate(found):
        if number in curve.z:
            sure = _sure(number, channel, curve, encoder)
            share, surest = said.get(channel.part, (0.0, sure))
            said[channel.part] = share + channel.weight / positive, np.maximum(surest, sure)
    total = np.zeros(len(curve.at))
    for share, sure in said.values():
        total += share * sure
    return Strip(curve.start, curve.end, curve.at, np.clip(total, 0.0, 1.0))


def _sure(number: int, channel: Channel, curve: Curve, encoder: Encoder) -> Float64:
    scores = curve.z[number]
    if number in curve.laid and channel.weight > 0:
        # A clip speaks for all the time on which it is laid: the best offset that covers the sample. But the sample
        # must look like some part of it too, else all around a match would light up by a clip's length.
        laid, before = curve.laid[number], steps(channel.seconds)
        covering = np.lib.stride_tricks.sliding_window_view(np.pad(laid, (0, before), "edge"), before).max(axis=1)
        offsets = np.clip((curve.at / GRID).astype(int) + 1, 0, len(covering) - 1)
        scores = np.minimum(scores, covering[offsets])
    return np.array([judge(channel, encoder, float(z)) for z in scores])
