"""What search and export are asked with: parts of a query, filters, and units as people write them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from footage.errors import ConfigError

if TYPE_CHECKING:
    from footage.search import Part
    from footage.types import Where


def query_parts(
    text: list[str] | None,
    also: list[str] | None,
    image: list[str] | None,
    video: list[str] | None,
    exclude: list[str] | None,
) -> list[Part]:
    """The parts of a query, in the order of the options; what is excluded has a negative weight."""
    from footage.search import parse_part

    words = " ".join(text) if text is not None else None
    parts = [parse_part("text", w) for w in ([words] if words is not None else []) + (also or [])]
    parts += [parse_part("image", i) for i in image or []]
    parts += [parse_part("video", v) for v in video or []]
    negative = [parse_part("text", e) for e in exclude or []]
    return parts + [replace(p, weight=-p.weight) for p in negative]


def filters(
    inside: list[str] | None,
    after: str | None,
    before: str | None,
    duration: tuple[str | None, str | None],
    size: tuple[str | None, str | None],
) -> Where:
    """Which videos may answer; `duration` and `size` are (least, most)."""
    from footage.search import parse_time
    from footage.types import Where

    return Where(
        paths=tuple(inside or ()),
        after=parse_time(after) if after else None,
        before=parse_time(before) if before else None,
        min_duration=seconds(duration[0]),
        max_duration=seconds(duration[1]),
        min_bytes=_bytes(size[0]),
        max_bytes=_bytes(size[1]),
    )


def seconds(text: str | None) -> float | None:
    """Read 90, 1:30 or 2:00:00; None stays None."""
    if text is None:
        return None
    try:
        parts = [float(p) for p in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(0 <= p < math.inf for p in parts):
        raise ConfigError(f"not a duration: {text}", hint="for example 90, 1:30 or 2:00:00")
    return sum(p * 60**i for i, p in enumerate(reversed(parts)))


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    units = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
    number, unit = (text[:-1], text[-1].lower()) if text[-1:].lower() in units else (text, "")
    try:
        value = float(number) * units.get(unit, 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise ConfigError(f"not a size: {text}", hint="for example 800k, 20M or 1.5G")
    return int(value)
