"""From what was measured on a segment to how likely it is a copy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from footage.copies.verify import Facts


def score(facts: Facts) -> float:
    """How alike the aligned pictures are, and what moves in them: -1..1."""
    return 0.5 * (facts.alike + facts.moving)


def probability(facts: Facts) -> float:
    """Logistic in the facts."""
    z = 10 * (facts.alike - 0.5) + 8 * (facts.moving - 0.35) + 1.0 * math.log(max(facts.seconds, 0.1))
    return 1 / (1 + math.exp(-max(min(z, 30), -30)))
