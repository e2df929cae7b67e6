"""From what was measured on a segment to how likely it is a copy.

What tells a copy from another take of the same scene is what moves: two takes share their background to the last
detail, and nothing of what happens before it. Where nothing moves at all, as on a test card, nothing can tell; such a
segment stays below one half, however alike it is.

Few copies are sped up, and those by any factor. Two takes of one movement are seldom equally fast, and fit best at a
speed beside 1. So a speed that is not 1 wants more evidence.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from footage.copies.facts import Facts

# Set by hand after what was measured on benchmarks that are never reported (seeds 11, 12 and 21); see docs/copies.md.
_MOVING, _ALIKE, _LENGTH, _SPEED, _AT = 5.0, 5.0, 1.5, -1.5, (0.74, 0.8, 0.7)
_UNUSUAL, _SLIP = -3.0, 0.08  # a speed that is not 1, told by so many seconds at the end of the segment
_BETTER, _MUCH_BETTER = -2.0, 0.3  # what fits the same seconds better, on Fisher's scale
_MOST_ALIKE = 0.99  # correlation: what goes beyond it says nothing more
_LONGEST = 10.0  # seconds: a longer segment is no surer
_STILL, _STILL_MOST = 0.035, 0.45  # motion below which nothing is said to move; the most that is then believed


def score(facts: Facts) -> float:
    """How alike the aligned pictures are, and what moves in them: -1..1."""
    return 0.5 * (facts.alike + facts.moving)


def moves(facts: Facts) -> float:
    """How alike what changes is, on Fisher's scale."""
    known = [value for value in (facts.moving, facts.quick, facts.weakest) if value is not None]
    return _fisher(sum(known) / len(known))


def probability(facts: Facts, speed: float = 1.0, better: float = 0.0) -> float:
    """How likely the segment is a copy, 0..1.

    `better`: by how much another video's movements fit the same seconds of the query better (`moves`). Then it is not
    the attack that they fit badly for.
    """
    moving, alike, length = _AT
    slip = abs(speed - 1.0) * facts.seconds / _SLIP
    z = (
        _MOVING * (moves(facts) - _fisher(moving))
        + _ALIKE * (facts.alike - alike)
        + _LENGTH * (math.log(min(max(facts.seconds, 0.1), _LONGEST)) - length)
        + _SPEED * abs(math.log2(max(speed, 1e-3)))
        + _UNUSUAL * min(1.0, slip * slip)
        + _BETTER * max(0.0, better - _MUCH_BETTER)
    )
    p = 1 / (1 + math.exp(-max(min(z, 30.0), -30.0)))
    return min(p, _STILL_MOST * max(facts.alike, 0.0)) if facts.motion < _STILL else p


def _fisher(correlation: float) -> float:
    """On a scale on which correlations err alike, be they small or large (Fisher 1915)."""
    return math.atanh(min(max(correlation, -_MOST_ALIKE), _MOST_ALIKE))
