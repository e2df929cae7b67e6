"""From what was measured on a segment to how likely it is a copy.

What tells a copy from another take of the same scene is what moves: two takes share their background to the last
detail, and nothing of what happens before it. Where nothing moves at all, as on a test card, nothing can tell; such a
segment stays below one half, however alike it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from footage.copies.verify import Facts

# Set by hand after what was measured on a benchmark that is never reported (seed 11, 130 queries); see docs/copies.md.
_MOVING, _ALIKE, _LENGTH, _SPEED, _AT = 18.0, 3.0, 1.5, -1.5, (0.68, 0.8, 0.7)
_LONGEST = 10.0  # seconds: a longer segment is no surer
_STILL, _STILL_MOST = 0.035, 0.45  # motion below which nothing is said to move; the most that is then believed


def score(facts: Facts) -> float:
    """How alike the aligned pictures are, and what moves in them: -1..1."""
    return 0.5 * (facts.alike + facts.moving)


def probability(facts: Facts, speed: float = 1.0) -> float:
    """How likely the segment is a copy, 0..1."""
    moving, alike, length = _AT
    moves = [value for value in (facts.moving, facts.quick, facts.weakest) if value is not None]
    z = (
        _MOVING * (sum(moves) / len(moves) - moving)
        + _ALIKE * (facts.alike - alike)
        + _LENGTH * (math.log(min(max(facts.seconds, 0.1), _LONGEST)) - length)
        + _SPEED * abs(math.log2(max(speed, 1e-3)))
    )
    p = 1 / (1 + math.exp(-max(min(z, 30.0), -30.0)))
    return min(p, _STILL_MOST * max(facts.alike, 0.0)) if facts.motion < _STILL else p
