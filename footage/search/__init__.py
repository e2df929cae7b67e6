"""Answer a query with moments: query -> vectors -> candidate videos -> score curves -> moments -> fused ranking.

Two stages. First each part of the query finds candidate videos through the store's index; then the candidates' whole
score curves are read for every part, so that fusion, negation and the borders of moments work on exact scores and
not on whatever the index happened to return.

Scores of different parts and spaces cannot be added as they are. Each is put on the scale of its own background
first: z = (cosine - median) / (1.4826 MAD) over a spread of the library's samples (robust z-score; Iglewicz and
Hoaglin 1993). Parts are then added with their weights; a negative part only ever takes away.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from footage.errors import FootageError, NotIndexed, QueryError
from footage.pipeline import Stages
from footage.search.aligned import Aligned, clip_of
from footage.search.candidates import candidates
from footage.search.curves import score_curves
from footage.search.moments import Cut, best_score, clip_cuts, is_clip, moment_of, sample_cuts
from footage.search.query import Channel, Kind, Like, Part, channels, parse_part, parse_time, select
from footage.search.repeats import Repeats
from footage.search.verify import DEPTH, Verifying, pictures_of, verified
from footage.types import Match, Moment, Video, Where

if TYPE_CHECKING:
    from footage.encoders import Encoder
    from footage.stores import Store
    from footage.types import Roles

__all__ = [
    "MAX_RESULTS",
    "WEAK",
    "Kind",
    "Like",
    "Part",
    "Question",
    "SearchSettings",
    "Verifying",
    "parse_part",
    "parse_time",
    "search",
    "search_many",
    "select",
]

WEAK = 0.5
"""A moment of less strength is more likely wrong than right."""

MAX_RESULTS = 1000
"""As many moments can be asked for at a time."""

_TIER = 25  # candidate videos that are read and compared together


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How many answers, from where."""

    k: int = 10
    offset: int = 0
    per_video: int = 3
    where: Where = field(default_factory=Where)
    verify: bool = False  # look at the best answers to a picture once more; of other queries nothing can be verified
    collapse: bool = True  # show one of several copies of a moment
    align: bool = False  # say which seconds of a clip the answers show; of other queries nothing can be aligned


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What one search looks for."""

    parts: Sequence[Part]
    settings: SearchSettings = field(default_factory=SearchSettings)
    matches: Sequence[Match] = ()  # what copy search found of its clip, the most probable first
    on_progress: Callable[[float], None] = lambda _: None  # seconds of the clip that are aligned

    @property
    def clip(self) -> Part | None:
        """The clip that is to be aligned with the videos."""
        return clip_of(self.parts) if self.settings.align else None


def search(
    parts: Sequence[Part],
    *,
    store: Store,
    encoder: Encoder,
    roles: Roles,
    settings: SearchSettings,
    verifying: Verifying | None = None,
    repeats: Repeats | None = None,
) -> list[Moment]:
    """Find the moments that answer the parts together, best first; `verifying` is wanted if the settings verify.

    What the library has more than once (`repeats`) is shown once, unless the settings say otherwise.

    Raises:
        QueryError: an empty query, one that this library cannot answer, or settings out of range.
        MediaError: a query picture or clip that cannot be read.
        NotIndexed: the library is empty.
    """
    question = Question(parts, settings)
    (answer,) = search_many([question], store=store, encoder=encoder, roles=roles, verifying=verifying, repeats=repeats)
    if isinstance(answer, FootageError):
        raise answer
    return answer


def search_many(
    questions: Sequence[Question],
    *,
    store: Store,
    encoder: Encoder,
    roles: Roles,
    verifying: Verifying | None = None,
    repeats: Repeats | None = None,
    stages: Stages | None = None,
) -> list[list[Moment] | FootageError]:
    """Answer several questions of each other's knowing nothing; in place of an answer stands what `search` would raise.

    Each answer is that of `search`, to the last digit. Together they cost less: the store is asked for all of them.
    """
    stages = stages or Stages()
    with stages("encode"):
        repeats = repeats or Repeats()
        plans = [_plan(question, store, encoder, roles, repeats) for question in questions]
    with stages("videos"):
        videos = {v.id: v for v in store.videos() if v.files}  # without: its file is gone, and an ingest is under way
        for plan in plans:
            plan.narrow(videos)
    asking = [plan for plan in plans if plan.answer is None]
    with stages("candidates"):
        nearest = candidates(
            [plan.found for plan in asking],
            store,
            wanted=[plan.last(verifying) + _TIER for plan in asking],
            allowed=[plan.allowed for plan in asking],
        )
    with stages("closer"):
        _answer_all(asking, nearest, videos, store, encoder, verifying, repeats)
    return [plan.answer or [] for plan in plans]


def _answer_all(
    asking: Sequence[_Plan],
    nearest: Sequence[Sequence[str]],
    videos: Mapping[str, Video],
    store: Store,
    encoder: Encoder,
    verifying: Verifying | None,
    repeats: Repeats,
) -> None:
    for plan, ids in zip(asking, nearest, strict=True):
        try:
            plan.answer = _answer(plan, [videos[i] for i in ids if i in videos], store, encoder, verifying, repeats)
            plan.answer = [replace(m, also=_also(m, repeats, videos)) for m in plan.answer] if repeats else plan.answer
        except FootageError as error:
            plan.answer = error


@dataclass(slots=True, eq=False)
class _Plan:
    """One question on its way to the answer."""

    settings: SearchSettings
    found: list[Channel] = field(default_factory=list[Channel])
    aligned: Aligned = field(default_factory=Aligned)
    allowed: tuple[str, ...] | None = None  # None: all videos
    answer: list[Moment] | FootageError | None = None

    def verifies(self, verifying: Verifying | None) -> bool:
        """Whether its best answers are to be looked at once more."""
        parts = [channel.part for channel in self.found]
        return verifying is not None and self.settings.verify and bool(pictures_of(parts))

    def last(self, verifying: Verifying | None) -> int:
        """How many moments are needed for its page."""
        last = self.settings.offset + self.settings.k
        return max(last, DEPTH) if self.verifies(verifying) else last + self.aligned.most_replaced

    def narrow(self, videos: Mapping[str, Video]) -> None:
        """Choose the videos that may answer."""
        if self.answer is not None:
            return
        if not videos:
            self.answer = NotIndexed("the library is empty", hint="run: footage index FOLDER")
        elif self.settings.where != Where():
            self.allowed = tuple(v.id for v in select(videos.values(), self.settings.where))
            self.answer = None if self.allowed else []


def _plan(question: Question, store: Store, encoder: Encoder, roles: Roles, repeats: Repeats) -> _Plan:
    settings = question.settings
    plan = _Plan(settings)
    try:
        _check(settings)
        plan.aligned = Aligned.of(question.matches, settings.per_video, repeats if settings.collapse else Repeats())
        plan.found = channels(question.parts, store=store, encoder=encoder, roles=roles)
    except FootageError as error:
        plan.answer = error
    return plan


def _check(settings: SearchSettings) -> None:
    if not 1 <= settings.k <= MAX_RESULTS:
        raise QueryError(f"k is {settings.k}, but must lie between 1 and {MAX_RESULTS}")
    if settings.offset < 0 or settings.per_video < 1:
        raise QueryError("offset must not be negative, and per-video at least 1")


def _also(moment: Moment, repeats: Repeats, videos: Mapping[str, Video]) -> tuple[tuple[Video, float], ...]:
    return tuple((videos[i], at) for i, at in repeats.also(moment.video.id, moment.at) if i in videos)


def _answer(
    plan: _Plan,
    nearest: Sequence[Video],
    store: Store,
    encoder: Encoder,
    verifying: Verifying | None,
    repeats: Repeats,
) -> list[Moment]:
    """The page of moments that is asked for.

    Candidates are looked at in tiers of fixed size, so that a page never depends on how many pages are asked for: what
    a later tier finds comes after what the earlier ones found.
    """
    first, last = plan.settings.offset, plan.last(verifying)
    cuts: list[Cut] = []
    for start in range(0, len(nearest), _TIER):
        if len(cuts) >= last:
            break
        tier = nearest[start : start + _TIER]
        ceiling = cuts[-1].score if cuts else np.inf
        # Of those that show the same, all but one are left out: then more are wanted than are asked for.
        wanted = last - len(cuts) if not (repeats and plan.settings.collapse) else len(tier) * plan.settings.per_video
        cuts += _tier(tier, plan.found, store, plan.settings.per_video, wanted=wanted, ceiling=ceiling)
        if repeats and plan.settings.collapse:
            cuts = repeats.once(cuts)
    if plan.aligned.matches:
        moments = plan.aligned.before([moment_of(cut, plan.found, encoder) for cut in cuts[:last]])
        return moments[first : first + plan.settings.k]
    if verifying is None or not plan.verifies(verifying):
        return [moment_of(cut, plan.found, encoder) for cut in cuts[first:last]]
    moments = [moment_of(cut, plan.found, encoder) for cut in cuts[:last]]
    moments[:DEPTH] = verified(moments[:DEPTH], [channel.part for channel in plan.found], verifying)
    return moments[first : first + plan.settings.k]


def _tier(
    videos: Sequence[Video], found: list[Channel], store: Store, per_video: int, *, wanted: int, ceiling: float
) -> list[Cut]:
    """The cuts of some candidates, best first, none above the ceiling; the first `wanted` of them are complete."""
    read = score_curves(found, store, videos)
    bests = {i: np.inf if is_clip(curve, found) else best_score(curve, found) for i, curve in read.items()}
    by_id = {video.id: video for video in videos}
    out: list[Cut] = []
    best: list[float] = []  # the scores of the `wanted` best so far, as a heap: the worst of them comes first
    for video_id in sorted(read, key=lambda i: -bests[i]):
        # Cutting costs more than all the rest: a video whose best cannot be among the wanted is left as it is.
        if len(best) >= wanted and best[0] > min(bests[video_id], ceiling):
            break
        cut = clip_cuts if is_clip(read[video_id], found) else sample_cuts
        for each in cut(by_id[video_id], read[video_id], found, per_video):
            each.score = min(each.score, ceiling)
            out.append(each)
            heapq.heappush(best, each.score)
            if len(best) > wanted:
                heapq.heappop(best)
    return sorted(out, key=lambda c: (-c.score, c.video.id, c.bounds[0]))
