"""Footage finds any moment in your video: index a folder once, then search it by words, a picture or a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from footage.errors import FootageError
from footage.types import Evidence, Failure, Indexed, Match, Moment, TextHit, TimedText, Video, Where

if TYPE_CHECKING:
    from footage.library import Library
    from footage.search import Part

__version__ = "0.1.0"
__all__ = [
    "Evidence",
    "Failure",
    "FootageError",
    "Indexed",
    "Library",
    "Match",
    "Moment",
    "Part",
    "TextHit",
    "TimedText",
    "Video",
    "Where",
]


def __getattr__(name: str) -> Any:
    # `import footage` and `footage --help` must not pay for numpy and the rest.
    if name == "Library":
        from footage.library import Library

        return Library
    if name == "Part":
        from footage.search import Part

        return Part
    raise AttributeError(f"module 'footage' has no attribute {name!r}")
