"""What the last comparison of a library with itself found, as JSON; good as long as the library has the same videos."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from footage.copies.pieces import Stretch
from footage.copies.within import Inside
from footage.types import Match

if TYPE_CHECKING:
    from pathlib import Path

    from footage.types import Roles, Video

_FORMAT = 3


@dataclass(frozen=True, slots=True)
class Kept:
    """A comparison, and when it was made."""

    inside: Inside
    compared: float  # unix time


def key(videos: Sequence[Video], roles: Roles) -> str:
    """What changes with the videos, their places, and the model that finds copies."""
    facts = sorted((v.id, v.indexed_at, [(f.path, f.mtime_ns) for f in v.files]) for v in videos)
    told = json.dumps([_FORMAT, facts, roles.get("copy")], default=dict)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def as_dict(kept: Kept, of: str) -> dict[str, Any]:
    """For JSON; `of` is the `key` of the library."""
    return {
        "key": of,
        "compared": kept.compared,
        "matches": [
            {"query": m.query, "video": m.video.id, "ranges": [m.query_start, m.query_end, m.start, m.end],
             "score": m.score, "probability": m.probability, "speed": m.speed, "offset": m.offset,
             "mirrored": m.mirrored, "evidence": list(m.evidence)}
            for m in kept.inside.matches
        ],
        "shared": [[[s.video.id, s.start, s.end] for s in group] for group in kept.inside.shared],
    }  # fmt: skip


def read(file: Path, of: str, videos: Mapping[str, Video]) -> Kept | None:
    """The comparison; none if there is none, it is broken, or the library has changed since."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        if told["key"] != of:
            return None
        matches = tuple(_match(each, videos) for each in told["matches"])
        shared = tuple(tuple(Stretch(videos[i], start, end) for i, start, end in group) for group in told["shared"])
        return Kept(Inside(matches, shared), float(told["compared"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # it can be made anew
        return None


def _match(told: Mapping[str, Any], videos: Mapping[str, Video]) -> Match:
    query_start, query_end, start, end = told["ranges"]
    return Match(
        told["query"], query_start, query_end, videos[told["video"]], start, end, told["score"], told["probability"],
        told["speed"], told["offset"], told["mirrored"], tuple(told["evidence"]),
    )  # fmt: skip
