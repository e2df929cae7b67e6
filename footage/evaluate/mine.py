"""The private test set: what a user liked decides between models, sampling and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.errors import ConfigError, FootageError
from footage.evaluate import metrics

if TYPE_CHECKING:
    from footage.evaluate.judgements import Judgement
    from footage.evaluate.making import Told
    from footage.types import Moment

DEPTH = 100
"""How many moments of an answer are looked through."""
_SHARES = (0.25, 0.5, 0.75)
_LEAST = 5  # queries; fewer say nothing that could be proposed


@dataclass(frozen=True, slots=True)
class Way:
    """One way to answer: models with weights, and how densely the videos are sampled."""

    name: str
    weights: Mapping[str, float] = field(default_factory=dict[str, float])  # by model; none: as the library does now
    every: float | None = None  # seconds; None: as the library is


@dataclass(frozen=True, slots=True)
class Tried:
    """How well one way pleases."""

    way: Way
    score: float  # 0..1, mean over the queries
    interval: tuple[float, float]
    better: tuple[float, float]  # 95 % interval of what it is better by than the library as it is now
    scores: tuple[float, ...]  # by query

    def as_dict(self) -> dict[str, Any]:
        """A row of `footage eval mine --json`."""
        return {
            "name": self.way.name,
            "weights": dict(self.way.weights),
            "every": self.way.every,
            "score": round(self.score, 4),
            "interval": [round(v, 4) for v in self.interval],
            "better": [round(v, 4) for v in self.better],
        }


@dataclass(frozen=True, slots=True)
class MineResult:
    """The ways, best first, and what is proposed."""

    judgements: int
    queries: int
    tried: tuple[Tried, ...]
    proposal: Tried | None  # None: nothing is surely better than what there is
    why: str

    def as_dict(self) -> dict[str, Any]:
        """The object of `footage eval mine --json`."""
        return {
            "judgements": self.judgements,
            "queries": self.queries,
            "ways": [tried.as_dict() for tried in self.tried],
            "proposal": self.proposal.as_dict() if self.proposal else None,
            "why": self.why,
        }


def ways(models: Sequence[str], every: Sequence[float] = ()) -> list[Way]:
    """What to try: as it is now, each model alone, each two together in three proportions, and other samplings."""
    out = [Way("as now")]
    if len(models) > 1:
        out += [Way(name, {name: 1.0}) for name in models]
    for number, first in enumerate(models):
        for second in models[number + 1 :]:
            out += [
                Way(f"{first} {share:g} + {second} {1 - share:g}", {first: share, second: 1 - share})
                for share in _SHARES
            ]
    return [*out, *(Way(f"sampled every {seconds:g} s", every=seconds) for seconds in every)]


def compare(
    judgements: Sequence[Judgement],
    tried: Sequence[Way],
    ask: Callable[[Judgement, Way], list[Moment]],
    told: Told,
) -> MineResult:
    """Answer every judged query in every way; the first way is what the library does now.

    Raises:
        ConfigError: there are no judgements.
    """
    groups: dict[tuple[str, str, float], list[Judgement]] = {}
    for one in judgements:
        groups.setdefault(one.asked, []).append(one)
    if not groups:
        raise ConfigError(
            "there are no judgements yet", hint="give thumbs up or down to answers on the page, or POST /judgements"
        )
    results: list[Tried] = []
    now: tuple[float, ...] = ()
    for number, way in enumerate(tried):
        scores: list[float] = []
        for done, group in enumerate(groups.values(), 1):
            scores.append(pleased(group, _answer(ask, group[0], way)))
            told("questions", number * len(groups) + done, len(groups) * len(tried))
        now = now or tuple(scores)
        gain = [a - b for a, b in zip(scores, now, strict=True)]
        results.append(
            Tried(way, _mean(scores), metrics.bootstrap(scores, _mean), metrics.bootstrap(gain, _mean), tuple(scores))
        )
    best = max(results, key=lambda t: t.score)
    ranked = tuple(sorted(results, key=lambda t: -t.score))
    proposal, why = _proposed(best, results[0], len(groups))
    return MineResult(len(judgements), len(groups), ranked, proposal, why)


def _answer(ask: Callable[[Judgement, Way], list[Moment]], one: Judgement, way: Way) -> list[Moment]:
    try:
        return ask(one, way)
    except FootageError:  # a model that answers no words pleases nobody who asks with words
        return []


def _proposed(best: Tried, now: Tried, queries: int) -> tuple[Tried | None, str]:
    if best is now:
        return None, "nothing that was tried pleases more than the library as it is"
    gain = best.score - now.score
    if queries < _LEAST:
        return None, f"{best.way.name} is better by {gain:.3f}, but {queries} queries are too few to tell"
    if best.better[0] <= 0:
        return None, f"{best.way.name} is better by {gain:.3f}, which may be chance: judge more answers"
    low, high = best.better
    return best, f"{best.way.name} is better by {gain:.3f} ({low:.3f} to {high:.3f} with 95 % confidence)"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def pleased(group: Sequence[Judgement], moments: Sequence[Moment]) -> float:
    """How well one answer fits what was said of its moments, 0..1.

    With moments that were liked: the reciprocal rank of the first of them (Voorhees 1999), and the share of pairs of a
    liked and a disliked one that stand in this order, in equal parts. With disliked ones only: how far down they are.
    """
    ranks = {True: list[int](), False: list[int]()}
    for one in group:
        ranks[one.good].append(_rank(one, moments))
    if not ranks[True]:
        return 1 - 1 / min(ranks[False])
    first = 1 / min(ranks[True])
    first = first if min(ranks[True]) <= len(moments) else 0.0
    if not ranks[False]:
        return first
    pairs = [1.0 if up < down else 0.5 if up == down else 0.0 for up in ranks[True] for down in ranks[False]]
    return (first + _mean(pairs)) / 2


def _rank(one: Judgement, moments: Sequence[Moment]) -> int:
    """The place of the first moment that overlaps what was judged; behind all if there is none."""
    for number, moment in enumerate(moments, 1):
        if moment.video.id == one.video and moment.start < one.end and moment.end > one.start:
            return number
    return max(len(moments), DEPTH) + 1


def as_settings(tried: Tried) -> str:
    """The lines of footage.toml that make it so."""
    if tried.way.every is not None:
        return f"every = {tried.way.every:g}"
    named = ", ".join(f'"{name}" = {weight:g}' for name, weight in tried.way.weights.items())
    return f"[models.fuse]\ntext = {{{named}}}\nimage = {{{named}}}"
