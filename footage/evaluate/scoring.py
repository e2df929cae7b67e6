"""The figures of a copy benchmark: what a method found, compared with what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.evaluate import metrics
from footage.evaluate.attacks import LEVELS, NAMES

if TYPE_CHECKING:
    from footage.evaluate.making import CopySet, Made
    from footage.evaluate.metrics import Box
    from footage.types import Float64

RATE = 1e-3
"""Of unrelated pairs, how many may be let through for `recall_at_rate`: one in a thousand."""


@dataclass(frozen=True, slots=True)
class Found:
    """A segment that a method found: seconds of the query and of a video."""

    path: str
    box: Box | None  # None: a method that knows no times
    score: float


@dataclass(frozen=True, slots=True)
class Answered:
    """One query, what is true, and what a method found; what one query was answered is never torn apart."""

    made: Made
    found: tuple[Found, ...]

    @property
    def true_paths(self) -> set[str]:
        """The videos that it shows."""
        return {row.path for row in self.made.rows}

    def best(self) -> dict[str, float]:
        """The score of each video: that of its best segment."""
        out: dict[str, float] = {}
        for found in self.found:
            out[found.path] = max(out.get(found.path, -np.inf), found.score)
        return out


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of one method."""

    name: str
    micro_ap: float
    micro_ap_interval: tuple[float, float]
    recall_at_rate: float
    threshold: float
    precision: float  # of pairs, at the threshold
    recall: float
    false_matches: int  # unrelated pairs at or above the threshold
    pairs: int  # unrelated pairs that were asked about
    segment_precision: float = 0.0
    segment_recall: float = 0.0
    segment_f1: float = 0.0
    segment_f1_interval: tuple[float, float] = (0.0, 0.0)
    segment_f1_by_pair: float = 0.0  # averaged over true and found pairs, as the published tables do
    edge_error: float | None = None  # seconds, median over the edges of found segments
    edge_error_frames: float | None = None
    timed: bool = False  # whether the method knows times at all; else it has no segments
    per_level: dict[str, float] = field(default_factory=dict[str, float])  # micro-AP
    per_attack: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    seconds: float = 0.0  # that it took to answer all queries

    def as_dict(self) -> dict[str, Any]:
        """A row of the report."""
        return {name: _rounded(getattr(self, name)) for name in self.__slots__}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, tuple):
        return [_rounded(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value


def pairs_of(answers: Sequence[Answered]) -> tuple[Float64, metrics.Bools, int]:
    """(scores, right, positives) of the pairs of query and video."""
    scores: list[float] = []
    right: list[bool] = []
    for answer in answers:
        true = answer.true_paths
        for path, score in answer.best().items():
            scores.append(score)
            right.append(path in true)
    return np.array(scores, np.float64), np.array(right, np.bool_), sum(len(a.true_paths) for a in answers)


def micro_ap(answers: Sequence[Answered]) -> float:
    """Micro-AP over the pairs of these queries."""
    return metrics.micro_ap(*pairs_of(answers))


def overlaps(answers: Sequence[Answered], threshold: float) -> list[metrics.Overlap]:
    """The VCSL lengths of every pair that is true, or found at the threshold."""
    out: list[metrics.Overlap] = []
    for answer in answers:
        claimed = [f for f in answer.found if f.score >= threshold and f.box is not None]
        for path in sorted(answer.true_paths | {f.path for f in claimed}):
            true = [(r.query_start, r.query_end, r.start, r.end) for r in answer.made.rows if r.path == path]
            out.append(metrics.segments([f.box for f in claimed if f.path == path if f.box is not None], true))
    return out


def pooled(parts: Sequence[metrics.Overlap]) -> metrics.Overlap:
    """The rule over all pairs together, so that long segments count for more and a false pair for what it claims."""
    return sum(parts, metrics.Overlap())


def edge_errors(answers: Sequence[Answered], threshold: float) -> tuple[list[float], list[float]]:
    """Seconds, and frames of the query, by which the edges of true segments were missed where they were found."""
    seconds: list[float] = []
    frames: list[float] = []
    for answer in answers:
        claimed = [f for f in answer.found if f.score >= threshold]
        for path in sorted(answer.true_paths):
            rows = [r for r in answer.made.rows if r.path == path]
            boxes = [(r.query_start, r.query_end, r.start, r.end) for r in rows]
            for missed in metrics.edges([f.box for f in claimed if f.path == path and f.box is not None], boxes):
                seconds += missed
                frames += [m * answer.made.rate for m in missed[:2]]
    return seconds, frames


def best_threshold(answers: Sequence[Answered]) -> float:
    """The threshold at which a method has its best F1: of segments if it knows times, else of pairs."""
    scores, right, positives = pairs_of(answers)
    precision, recall, at = metrics.curve(scores, right, positives)
    if not len(at):
        return np.inf
    if any(f.box is not None for a in answers for f in a.found):
        tried = np.quantile(at, np.linspace(0, 1, min(60, len(at))))
        return float(max(tried, key=lambda t: pooled(overlaps(answers, float(t))).f1))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return float(at[int(np.argmax(f1))])


def measure(
    name: str,
    copies: CopySet,
    answers: Sequence[Answered],
    *,
    threshold: float | None = None,
    seconds: float = 0.0,
    timed: bool = False,
) -> Figures:
    """All figures of one method. Without a threshold it gets the one that serves it best, which flatters it.

    A method that is `timed` knows times, even if it found nothing; else what it found tells.
    """
    at = best_threshold(answers) if threshold is None else threshold
    scores, right, positives = pairs_of(answers)
    negatives = len(answers) * len(copies.references) - positives
    passed = scores >= at
    hits, false = int(np.count_nonzero(passed & right)), int(np.count_nonzero(passed & ~right))
    figures = Figures(
        name=name,
        micro_ap=micro_ap(answers),
        micro_ap_interval=metrics.bootstrap(answers, micro_ap),
        recall_at_rate=metrics.recall_at_rate(scores, right, positives, negatives, RATE),
        threshold=at,
        precision=hits / (hits + false) if hits + false else 1.0,
        recall=hits / positives,
        false_matches=false,
        pairs=negatives,
        per_level={level: micro_ap(part) for level in LEVELS if (part := of_level(answers, level))},
        per_attack=per_attack(answers, at),
        seconds=seconds,
    )
    if not timed and not any(f.box is not None for a in answers for f in a.found):
        return figures
    return _with_segments(figures, answers, at)


def _with_segments(figures: Figures, answers: Sequence[Answered], at: float) -> Figures:
    parts = overlaps(answers, at)
    total = pooled(parts)
    precision, recall = (float(np.mean([getattr(p, n) for p in parts])) for n in ("precision", "recall"))
    missed, frames = edge_errors(answers, at)
    return replace(
        figures,
        timed=True,
        segment_precision=total.precision,
        segment_recall=total.recall,
        segment_f1=total.f1,
        segment_f1_interval=metrics.bootstrap(answers, lambda a: pooled(overlaps(a, at)).f1, rounds=300),
        segment_f1_by_pair=2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        edge_error=float(np.median(missed)) if missed else None,
        edge_error_frames=float(np.median(frames)) if frames else None,
    )


def of_level(answers: Sequence[Answered], level: str) -> list[Answered]:
    """The copies of one strength, with all queries that have no answer; none if there is no such copy."""
    copies = [a for a in answers if a.made.level == level and a.made.rows]
    return [*copies, *(a for a in answers if not a.made.rows)] if copies else []


def per_attack(answers: Sequence[Answered], threshold: float) -> dict[str, dict[str, float]]:
    """Of each attack: how many copies have it, micro-AP, recall of pairs, F1 of segments, edge error."""
    empty = [a for a in answers if not a.made.rows]
    out: dict[str, dict[str, float]] = {}
    for name in NAMES:
        part = [a for a in answers if name in a.made.attacks and a.made.rows]
        if not part:
            continue
        found = sum(sum(s >= threshold for p, s in a.best().items() if p in a.true_paths) for a in part)
        missed, _ = edge_errors(part, threshold)
        row = {
            "copies": float(len(part)),
            "micro_ap": micro_ap([*part, *empty]),
            "recall": found / sum(len(a.true_paths) for a in part),
            "segment_f1": pooled(overlaps(part, threshold)).f1,
        }
        out[name] = {**row, **({"edge_error_s": float(np.median(missed))} if missed else {})}
    return out
