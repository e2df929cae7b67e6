"""The measures: plain functions of arrays, each with the paper that it comes from. They know no files and no library.

pairs      micro_ap, recall_at_rate       which video a query is a copy of
segments   Overlap, segments, edges       which seconds of it
ranks      recall_at, hit_ratio_at, ap_*  the same kind of content, in ranked lists
text       text_ranks                     one right answer a caption
bootstrap                                 how sure a figure is
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.types import Float64

    Bools: TypeAlias = NDArray[np.bool_]

T = TypeVar("T")


# ------------------------------------------------------------------------------------------------------- pairs


def micro_ap(scores: Float64, right: Bools, positives: int) -> float:
    """Average precision over the pairs of all queries in one list (Pizzi et al., VSC2022; Douze et al., DISC21).

    `scores` (n,) and `right` (n,) are of the pairs that were answered; true pairs that were not count against it as
    `positives` has them. Pairs of one score are one step, so that their order is not decided by accident.
    """
    if not positives:
        raise ValueError("without a true pair there is no average precision")
    if not len(scores):
        return 0.0
    precision, recall, _ = curve(scores, right, positives)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def curve(scores: Float64, right: Bools, positives: int) -> tuple[Float64, Float64, Float64]:
    """Precision and recall at each different score, the highest first, and these scores."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(right[order])
    last = np.flatnonzero(np.append(np.diff(ranked) != 0, True)) if len(ranked) else np.zeros(0, np.intp)
    return hits[last] / (last + 1), hits[last] / max(1, positives), ranked[last]


def recall_at_rate(scores: Float64, right: Bools, positives: int, negatives: int, rate: float) -> float:
    """Recall at the lowest threshold that lets through at most `rate` of all false pairs (`negatives` of them)."""
    allowed = int(rate * negatives + 1e-9)
    best = 0.0
    for threshold in np.unique(scores):
        passed = scores >= threshold
        if np.count_nonzero(passed & ~right) <= allowed:
            best = max(best, np.count_nonzero(passed & right) / max(1, positives))
    return best


# ---------------------------------------------------------------------------------------------------- segments

Box: TypeAlias = tuple[float, float, float, float]
"""A segment of a pair: query start, query end, video start, video end."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Lengths that the VCSL rule is made of; sums of them are the rule over several pairs."""

    found_query: float = 0.0  # of found segments, the part that is true, along the query
    found_video: float = 0.0
    claimed_query: float = 0.0  # of found segments, all
    claimed_video: float = 0.0
    true_query: float = 0.0  # of true segments, the part that was found
    true_video: float = 0.0
    all_query: float = 0.0  # of true segments, all
    all_video: float = 0.0

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def precision(self) -> float:
        """1 where nothing was claimed, as VCSL has it."""
        if not self.claimed_query or not self.claimed_video:
            return 1.0
        return self.found_query / self.claimed_query * (self.found_video / self.claimed_video)

    @property
    def recall(self) -> float:
        """1 where there was nothing to find, as VCSL has it."""
        if not self.all_query or not self.all_video:
            return 1.0
        return self.true_query / self.all_query * (self.true_video / self.all_video)

    @property
    def f1(self) -> float:
        """The harmonic mean of the two."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def segments(found: Sequence[Box], true: Sequence[Box]) -> Overlap:
    """Compare the segments of one pair of videos by the rule of VCSL (He et al., CVPR 2022, section 4).

    A segment is a box over query time and video time. Of every found box, what true boxes cover of it is measured
    along each axis, as a union; precision is the product of the two shares. Recall is the same with the roles
    exchanged. So it does not matter into how many parts somebody cuts a segment.
    """
    tq, tv = _covered(found, true)
    rq, rv = _covered(true, found)
    return Overlap(tq, tv, *_lengths(found), rq, rv, *_lengths(true))


def _lengths(boxes: Sequence[Box]) -> tuple[float, float]:
    return sum(b[1] - b[0] for b in boxes), sum(b[3] - b[2] for b in boxes)


def _covered(boxes: Sequence[Box], by: Sequence[Box]) -> tuple[float, float]:
    query = video = 0.0
    for box in boxes:
        common = [inside for other in by if (inside := intersection(box, other)) is not None]
        query += union([(c[0], c[1]) for c in common])
        video += union([(c[2], c[3]) for c in common])
    return query, video


def intersection(a: Box, b: Box) -> Box | None:
    """What two boxes have in common, if it has an area."""
    out = max(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), min(a[3], b[3])
    return out if out[0] < out[1] and out[2] < out[3] else None


def union(ranges: Sequence[tuple[float, float]]) -> float:
    """The length that ranges cover together."""
    total, until = 0.0, -np.inf
    for start, end in sorted(ranges):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return float(total)


def edges(found: Sequence[Box], true: Sequence[Box]) -> list[tuple[float, float, float, float]]:
    """By how many seconds the four edges of each true segment were missed; segments that nothing overlaps are left out.

    Each true segment is compared with the found one that has the largest common area with it.
    """
    out: list[tuple[float, float, float, float]] = []
    for box in true:
        best = max(found, key=lambda f: _area(intersection(box, f)), default=None)
        if best is not None and _area(intersection(box, best)) > 0:
            out.append(tuple(abs(b - t) for b, t in zip(best, box, strict=True)))  # pyright: ignore[reportArgumentType]
    return out


def _area(box: Box | None) -> float:
    return 0.0 if box is None else (box[1] - box[0]) * (box[3] - box[2])


# ------------------------------------------------------------------------------------------------------- ranks


def recall_at(relevant: Bools, k: int) -> float:
    """1 if one of the first k of a ranked list is right (recall@k as in metric learning; Jegou et al. 2011)."""
    return float(np.any(relevant[:k]))


def hit_ratio_at(relevant: Bools, k: int, total: int) -> float:
    """The share of all `total` right answers that is among the first k; its mean over queries is mHR@k (towhee)."""
    return np.count_nonzero(relevant[:k]) / total if total else 0.0


def ap_all_ranks(relevant: Bools) -> float:
    """Precision averaged over every rank of the list, right or wrong."""
    if not len(relevant):
        return 0.0
    return float(np.mean(np.cumsum(relevant) / np.arange(1, len(relevant) + 1)))


def ap_hit_ranks(relevant: Bools) -> float:
    """Precision averaged over the ranks with a right answer; 0 if there is none."""
    at = np.flatnonzero(relevant)
    return float(np.mean(np.arange(1, len(at) + 1) / (at + 1))) if len(at) else 0.0


def text_ranks(ranks: Sequence[int]) -> dict[str, float]:
    """R@1, R@5, R@10 and the median rank (Yu et al. 2018) from the rank of the right answer to each caption, from 1."""
    if not ranks:
        raise ValueError("without a caption there is no rank")
    at = np.array(ranks)
    return {**{f"r{k}": float(np.mean(at <= k)) for k in (1, 5, 10)}, "median_rank": float(np.median(at))}


# --------------------------------------------------------------------------------------------------- certainty


def bootstrap(
    items: Sequence[T], measure: Callable[[Sequence[T]], float], *, rounds: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of a measure when the items are drawn anew with replacement (Efron 1979, percentile method).

    The items are queries: what one query was answered stays together. A draw that the measure refuses with
    ValueError (say, one without a true pair) is left out.
    """
    r = np.random.default_rng(seed)
    values: list[float] = []
    for _ in range(rounds):
        try:
            values.append(measure([items[int(i)] for i in r.integers(len(items), size=len(items))]))
        except ValueError:
            continue
    if not values:
        raise ValueError("the measure refused every draw")
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
