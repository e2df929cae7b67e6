"""Candidates: the videos worth a closer look, found through the store's index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from footage.search.query import Channel, View

if TYPE_CHECKING:
    from footage.stores import Store
    from footage.types import Hits

_MOST = 20_000  # samples: when they are all of a few long videos, looking further finds no others
_TOGETHER = 16  # query vectors in one question to the store


@dataclass(slots=True, eq=False)
class _Ask:
    """One view of one query that the store is asked for."""

    view: View
    shares: list[float]  # of each sample of a query clip, by its length
    wanted: int  # videos
    allowed: tuple[str, ...] | None
    k: int  # samples asked for
    ranking: list[str] | None = None  # ids of videos, best first, once it is answered

    @property
    def size(self) -> int:
        """How many vectors it has."""
        return self.view.vectors.shape[0] * self.view.vectors.shape[1]


def candidates(
    found: Sequence[Sequence[Channel]],
    store: Store,
    *,
    wanted: Sequence[int],
    allowed: Sequence[tuple[str, ...] | None],
) -> list[list[str]]:
    """For each query, given by its channels, the ids of the `wanted` nearest videos of each view or more, in turns.

    A video is as near as its best samples, and only positive parts look for videos.
    """
    asks = [
        [_ask(channel, view, most, only) for channel in channels for view in channel.views if channel.weight > 0]
        for channels, most, only in zip(found, wanted, allowed, strict=True)
    ]
    waiting = [ask for of_query in asks for ask in of_query]
    while waiting:
        for group in _groups(waiting):
            _look(group, store)
        waiting = [ask for ask in waiting if ask.ranking is None]
    return [_in_turns([ask.ranking or [] for ask in of_query]) for of_query in asks]


def _ask(channel: Channel, view: View, wanted: int, allowed: tuple[str, ...] | None) -> _Ask:
    shares: list[float] = (channel.lengths / channel.lengths.sum()).tolist()
    return _Ask(view, shares, wanted, allowed, max(256, 30 * wanted) if len(shares) == 1 else max(64, 5 * wanted))


def _in_turns(rankings: Sequence[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(video for turn in zip_longest(*rankings) for video in turn if video is not None))


def _groups(asks: Sequence[_Ask]) -> Iterator[list[_Ask]]:
    """What can be asked in one go: the same space, as many samples, of the same videos."""
    groups: dict[tuple[str, int, tuple[str, ...] | None], list[_Ask]] = {}
    for ask in asks:
        key = (ask.view.space, ask.k, ask.allowed)
        if key in groups and sum(each.size for each in groups[key]) + ask.size > _TOGETHER:
            yield groups.pop(key)
        groups.setdefault(key, []).append(ask)
    yield from groups.values()


def _look(group: Sequence[_Ask], store: Store) -> None:
    """Ask the store; afterwards each has its ranking, or a larger k to ask again with."""
    first = group[0]
    vectors = np.concatenate([ask.view.vectors.reshape(ask.size, -1) for ask in group])
    hits = store.search(first.view.space, vectors, first.k, videos=first.allowed)
    for ask in group:
        mine, hits = hits[: ask.size], hits[ask.size :]
        best = _best(mine, ask.shares)
        # All hits in a few long videos: look further, within reason.
        if len(best) >= ask.wanted or all(len(hit) < ask.k for hit in mine) or ask.k > _MOST:
            ask.ranking = sorted(best, key=lambda video, best=best: (-best[video], video))[: ask.wanted]
        else:
            ask.k *= 4


def _best(hits: Sequence[Hits], shares: Sequence[float]) -> Mapping[str, float]:
    """Each video's score: that of the variant of the query (mirrored or not) that finds it best."""
    best: dict[str, float] = {}
    for start in range(0, len(hits), len(shares)):
        for video_id, total in _sums(hits[start : start + len(shares)], shares).items():
            best[video_id] = max(best.get(video_id, -1.0), total)
    return best


def _sums(hits: Sequence[Hits], shares: Sequence[float]) -> Mapping[str, float]:
    """Each video's sum over the samples of the query: the cosine of its nearest sample, by the sample's share."""
    sums: dict[str, float] = {}
    for hit, share in zip(hits, shares, strict=True):
        # Hits come best first, and of what is written to a dict under one key the last stays: hence from behind.
        nearest: dict[str, float] = dict(zip(reversed(hit.video_ids), hit.score[::-1].tolist(), strict=True))
        for video_id, cosine in nearest.items():
            sums[video_id] = sums.get(video_id, 0.0) + cosine * share
    return sums
