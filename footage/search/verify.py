"""Verification: look at the key frames of the best answers once more, beside the query picture itself.

Vectors say how alike two pictures are as wholes. A verifier says whether one shows a part of the other, whatever was
cropped, turned or laid over it. What it confirms comes first; everything else stays in its order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from footage.errors import NotIndexed
from footage.search.query import Part
from footage.types import Evidence, Moment, Verified

if TYPE_CHECKING:
    from footage.types import UInt8

DEPTH = 24
"""Answers that are looked at, whichever page is asked for: their order must not depend on it."""

SURE = 0.5
"""Strength from which on a frame counts as verified."""


class Verifier(Protocol):
    """Compares a query picture with candidate frames."""

    channel: str  # the name of its evidence

    def __call__(self, picture: UInt8, frames: Sequence[UInt8]) -> list[Verified]:
        """Judge each frame, RGB uint8 (h, w, 3), against the picture, in the order of the frames."""
        ...


@dataclass(frozen=True, slots=True)
class Verifying:
    """A verifier, and where it finds the key frames."""

    verifier: Verifier
    frame: Callable[[str, float], UInt8]  # (video id, time) -> RGB; NotIndexed where the key frames are lost


def pictures_of(parts: Sequence[Part]) -> list[Part]:
    """The parts of a query that can be verified: pictures that are looked for."""
    return [part for part in parts if part.kind == "image" and part.weight > 0]


def verified(moments: Sequence[Moment], parts: Sequence[Part], how: Verifying) -> list[Moment]:
    """Put the moments whose best frame shows a picture of the query first, by how much of it agrees.

    Their score goes up so that scores still order the answer, and their strength becomes what the verifier says if
    that is more. Each frame that was looked at gets one row of evidence a picture.

    Raises:
        MediaError: a query picture cannot be read.
    """
    from footage.media import read_picture

    there = [(place, frame) for place, m in enumerate(moments) if (frame := _frame(m, how)) is not None]
    if not there:
        return list(moments)
    said: dict[int, list[Evidence]] = {place: [] for place, _ in there}
    for part in pictures_of(parts):
        answers = how.verifier(read_picture(part.value), [frame for _, frame in there])
        for (place, _), answer in zip(there, answers, strict=True):
            row = Evidence(
                how.verifier.channel, part.label, how.verifier.channel, answer.score, answer.strength, moments[place].at
            )
            said[place].append(row)
    top = max(m.score for m in moments)
    return sorted((_judged(m, said.get(i, []), top) for i, m in enumerate(moments)), key=lambda m: -m.score)


def _frame(moment: Moment, how: Verifying) -> UInt8 | None:
    try:
        return how.frame(moment.video.id, moment.at)
    except NotIndexed:  # its key frames are lost, or it was removed just now
        return None


def _judged(moment: Moment, rows: Sequence[Evidence], top: float) -> Moment:
    best = max(rows, key=lambda row: row.score, default=None)
    score, strength = moment.score, moment.strength
    if best is not None and best.strength >= SURE:
        score, strength = top + best.score, max(strength, best.strength)
    return replace(moment, score=score, strength=strength, evidence=(*moment.evidence, *rows))
