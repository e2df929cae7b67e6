"""Answer a query with moments: query -> vectors -> candidate videos -> score curves -> moments -> fused ranking.

Two stages. First each part of the query finds candidate videos through the store's index; then the candidates' whole
score curves are read for every part, so that fusion, negation and the borders of moments work on exact scores and
not on whatever the index happened to return.

Scores of different parts and spaces cannot be added as they are. Each is put on the scale of its own background
first: z = (cosine - median) / (1.4826 MAD) over a spread of the library's samples (robust z-score; Iglewicz and
Hoaglin 1993). Parts are then added with their weights; a negative part only ever takes away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from footage.errors import NotIndexed, QueryError
from footage.search.curves import Curve, score_curves
from footage.search.moments import best_score, clip_moments, sample_moments
from footage.search.query import Channel, Kind, Part, View, channels, parse_part, parse_time, select
from footage.types import Moment, Video, Where

if TYPE_CHECKING:
    from footage.encoders import Encoder
    from footage.stores import Store

__all__ = ["WEAK", "Kind", "Part", "SearchSettings", "parse_part", "parse_time", "search", "select"]

WEAK = 0.5
"""A moment of less strength is more likely wrong than right."""

MAX_RESULTS = 1000
_TIER = 25  # candidate videos that are read and compared together


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How many answers, from where."""

    k: int = 10
    offset: int = 0
    per_video: int = 3
    where: Where = field(default_factory=Where)


def search(
    parts: Sequence[Part], *, store: Store, encoder: Encoder, roles: Mapping[str, str], settings: SearchSettings
) -> list[Moment]:
    """Find the moments that answer the parts together, best first.

    Raises:
        QueryError: an empty query, one that this library cannot answer, or settings out of range.
        MediaError: a query picture or clip that cannot be read.
        NotIndexed: the library is empty.
    """
    _check(settings)
    found = channels(parts, store=store, encoder=encoder, roles=roles)
    videos = {v.id: v for v in store.videos() if v.files}  # without: its file is gone, and an ingest is under way
    if not videos:
        raise NotIndexed("the library is empty", hint="run: footage index FOLDER")
    allowed = None if settings.where == Where() else [v.id for v in select(videos.values(), settings.where)]
    if allowed is not None and not allowed:
        return []
    candidates = [c for c in _candidates(found, store, settings, allowed) if c in videos]
    out: list[Moment] = []
    for start in range(0, len(candidates), _TIER):
        tier = [videos[c] for c in candidates[start : start + _TIER]]
        wanted = settings.offset + settings.k - len(out)
        ceiling = out[-1].score if out else np.inf
        out += _tier(tier, found, store, encoder, settings.per_video, wanted=wanted, ceiling=ceiling)
        if len(out) >= settings.offset + settings.k:
            break
    return out[settings.offset : settings.offset + settings.k]


def _tier(
    videos: list[Video],
    found: list[Channel],
    store: Store,
    encoder: Encoder,
    per_video: int,
    *,
    wanted: int,
    ceiling: float,
) -> list[Moment]:
    """The moments of some candidates, best first, none above the ceiling; the first `wanted` of them are complete.

    Candidates are looked at in tiers of fixed size, so that a page never depends on how many pages are asked for: what
    a later tier finds comes after what the earlier ones found.
    """
    out: list[Moment] = []
    by_id = {video.id: video for video in videos}
    read = score_curves(found, store, videos)
    bests = {i: np.inf if _is_clip(curve, found) else best_score(curve, found) for i, curve in read.items()}
    for video_id in sorted(read, key=lambda i: -bests[i]):
        # Cutting costs more than all the rest: a video whose best cannot be among the wanted is left as it is.
        if len(out) >= wanted and sorted((m.score for m in out), reverse=True)[wanted - 1] > min(
            bests[video_id], ceiling
        ):
            break
        cut = clip_moments if _is_clip(read[video_id], found) else sample_moments
        cuts = cut(by_id[video_id], read[video_id], found, encoder, per_video)
        out += [m if m.score <= ceiling else replace(m, score=ceiling) for m in cuts]
    return sorted(out, key=lambda m: (-m.score, m.video.id, m.start))


def _is_clip(curve: Curve, found: list[Channel]) -> bool:
    return any(found[number].part.weight > 0 for number in curve.laid)


def _check(settings: SearchSettings) -> None:
    if not 1 <= settings.k <= MAX_RESULTS:
        raise QueryError(f"k is {settings.k}, but must lie between 1 and {MAX_RESULTS}")
    if settings.offset < 0 or settings.per_video < 1:
        raise QueryError("offset must not be negative, and per-video at least 1")


def _candidates(found: list[Channel], store: Store, settings: SearchSettings, allowed: list[str] | None) -> list[str]:
    """The videos worth a closer look, by their best samples in each view of each positive part, in turns."""
    wanted = settings.offset + settings.k + _TIER
    rankings = [
        _nearest_videos(channel, view, store, wanted, allowed)
        for channel in found
        for view in channel.views
        if channel.part.weight > 0
    ]
    return list(dict.fromkeys(v for turn in zip_longest(*rankings) for v in turn if v is not None))


def _nearest_videos(channel: Channel, view: View, store: Store, wanted: int, allowed: list[str] | None) -> list[str]:
    variants, samples, dim = view.vectors.shape
    share = (channel.lengths / channel.lengths.sum()).tolist()
    k = max(256, 30 * wanted) if samples == 1 else max(64, 5 * wanted)
    while True:
        hits = store.search(view.space, view.vectors.reshape(-1, dim), k, videos=allowed)
        best: dict[str, float] = {}
        for variant in range(variants):
            sums: dict[str, float] = {}
            for hit, part_of_clip in zip(hits[variant * samples : (variant + 1) * samples], share, strict=True):
                tops: dict[str, float] = {}
                for video_id, cosine in zip(hit.video_ids, hit.score.tolist(), strict=True):
                    tops.setdefault(video_id, cosine)  # hits come best first
                for video_id, cosine in tops.items():
                    sums[video_id] = sums.get(video_id, 0.0) + cosine * part_of_clip
            for video_id, total in sums.items():
                best[video_id] = max(best.get(video_id, -1.0), total)
        # All hits in a few long videos: look further, within reason.
        if len(best) >= wanted or all(len(hit) < k for hit in hits) or k > 20_000:
            return sorted(best, key=lambda v: (-best[v], v))[:wanted]
        k *= 4
