"""Alignment: a search for one clip says which seconds of it are which seconds of an answer.

Vectors of a sample a second tell about where a clip lies. Copy search, which `Library` asks, tells it to the frame, and
whether the clip was mirrored or sped up. What it found comes first; everything else stays in its order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from footage.search.query import Part
from footage.search.repeats import SAME, Range, Repeats, overlap
from footage.types import Match, Moment


def clip_of(parts: Sequence[Part]) -> Part | None:
    """The clip that can be aligned: it is the only part of its query, and looked for itself, not for its kind."""
    part = parts[0] if len(parts) == 1 else None
    return part if part is not None and part.kind == "video" and part.like == "all" and part.weight > 0 else None


@dataclass(frozen=True, slots=True)
class Aligned:
    """The matches of a clip that are shown, the most probable first."""

    per_video: int = 1
    matches: list[Match] = field(default_factory=list[Match])
    twins: dict[str, list[Range]] = field(default_factory=dict[str, list[Range]])  # video id -> where it shows the same

    @staticmethod
    def of(matches: Sequence[Match], per_video: int, repeats: Repeats) -> Aligned:
        """Leave out what one video has too often, and what copies of a video (`repeats`) show again."""
        out, shown = Aligned(per_video), Counter[str]()
        for match in matches:
            video, bounds = match.video.id, (match.start, match.end)
            again = any(overlap(bounds, other) >= SAME for other in out.twins.get(video, ()))
            if again or shown[video] >= per_video:
                continue
            shown[video] += 1
            out.matches.append(match)
            for twin, where in repeats.elsewhere(video, bounds):
                out.twins.setdefault(twin, []).append(where)
        return out

    @property
    def most_replaced(self) -> int:
        """How many ordinary moments may be left out for them."""
        return self.per_video * len({match.video.id for match in self.matches} | set(self.twins))

    def before(self, moments: Sequence[Moment]) -> list[Moment]:
        """Put them before the ordinary moments, which are the first ones of their query, the best first.

        Those that overlap a match are merged into it. The scores of the matches lie above all others.
        """
        top = moments[0].score if moments else 0.0
        out = [_moment(match, moments, top) for match in self.matches]
        shown = Counter(moment.video.id for moment in out)
        for moment in moments:
            if not self._shows(moment) and shown[moment.video.id] < self.per_video:
                shown[moment.video.id] += 1
                out.append(moment)
        return out

    def _shows(self, moment: Moment) -> bool:
        twins = self.twins.get(moment.video.id, ())
        return any(_overlaps(match, moment) for match in self.matches) or any(
            overlap((moment.start, moment.end), where) >= SAME for where in twins
        )


def _overlaps(match: Match, moment: Moment) -> bool:
    return match.video.id == moment.video.id and match.start < moment.end and moment.start < match.end


def _moment(match: Match, moments: Sequence[Moment], top: float) -> Moment:
    """The moment of a match, with the evidence of the best ordinary one that it replaces."""
    score, middle = top + match.probability, (match.start + match.end) / 2
    found = next((moment for moment in moments if _overlaps(match, moment)), None)
    if found is None:
        return Moment(match.video, match.start, match.end, middle, score, match.probability, match=match)
    return replace(
        found,
        start=match.start,
        end=match.end,
        at=found.at if match.start <= found.at < match.end else middle,
        score=score,
        strength=max(found.strength, match.probability),
        match=match,
    )
