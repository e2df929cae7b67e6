"""Groups of copies, what each is to the best of them, and advice as a plan. Nothing is ever deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from footage.copies.within import Inside
    from footage.types import Match, Video

Kind: TypeAlias = Literal["master", "re-encode", "excerpt", "mirrored", "compilation", "overlap"]

_WHOLE = 0.85  # of a video that is covered, before it counts as shown as a whole


@dataclass(frozen=True, slots=True)
class Copy:
    """What one video is to the master of its group."""

    video: Video
    kind: Kind
    covered: float  # 0..1 of it that the master shows as well
    redundant: bool  # the master shows all of it, at least as well

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "video": self.video.id,
            "path": self.video.path,
            "kind": self.kind,
            "covered": round(self.covered, 3),
            "size": [self.video.width, self.video.height],
            "bits_per_second": round(bit_rate(self.video)),
            "seconds": round(self.video.duration, 3),
            "advice": "keep" if not self.redundant else "redundant",
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Videos that show the same, the one to keep first."""

    copies: tuple[Copy, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"keep": self.copies[0].video.id, "why": _why(self.copies), "videos": [c.as_dict() for c in self.copies]}


def bit_rate(video: Video) -> float:
    """Bits per second of the whole file."""
    return 8 * video.size_bytes / video.duration if video.duration > 0 else 0.0


def groups(inside: Inside, videos: Sequence[Video]) -> list[Group]:
    """The groups of a library, the largest first."""
    by_id = {v.id: v for v in videos}
    parent = {v.id: v.id for v in videos}

    def root(i: str) -> str:
        while parent[i] != i:
            i = parent[i]
        return i

    for match in inside.matches:
        parent[root(match.query)] = root(match.video.id)
    together: dict[str, list[Video]] = {}
    for match in inside.matches:
        for i in (match.query, match.video.id):
            members = together.setdefault(root(i), [])
            if by_id[i] not in members:
                members.append(by_id[i])
    out = [_group(members, inside.matches) for members in together.values()]
    return sorted(out, key=lambda g: (-len(g.copies), g.copies[0].video.path))


def _group(members: list[Video], matches: Sequence[Match]) -> Group:
    master = max(members, key=lambda v: _quality(v, members, matches))
    others = sorted((v for v in members if v is not master), key=lambda v: v.path)
    return Group((Copy(master, "master", 1.0, redundant=False), *(_copy(v, master, members, matches) for v in others)))


def _quality(video: Video, members: list[Video], matches: Sequence[Match]) -> tuple[float, ...]:
    """Not made of pieces, complete, large, many bits: in this order."""
    pieces = sum(
        covered(other, video, matches) >= _WHOLE and covered(video, other, matches) < _WHOLE
        for other in members
        if other is not video
    )
    made_of = _is_compilation(video, members, matches)
    length = round(video.duration / 2)  # two seconds more or less are none
    return (-float(made_of), float(length), float(pieces), float(video.width * video.height), bit_rate(video))


def _copy(video: Video, master: Video, members: list[Video], matches: Sequence[Match]) -> Copy:
    mine, its = covered(video, master, matches), covered(master, video, matches)
    flipped = any(m.mirrored for m in _between(video, master, matches))
    if _is_compilation(video, members, matches):
        kind: Kind = "compilation"
    elif mine >= _WHOLE and flipped:
        kind = "mirrored"
    elif mine >= _WHOLE and its >= _WHOLE:
        kind = "re-encode"
    elif mine >= _WHOLE:
        kind = "excerpt"
    else:
        kind = "overlap"
    no_better = video.width * video.height <= master.width * master.height
    return Copy(video, kind, mine, redundant=kind in ("re-encode", "excerpt") and no_better)


def _is_compilation(video: Video, members: list[Video], matches: Sequence[Match]) -> bool:
    """Whether it is made of pieces of videos that do not show each other's."""
    parts = [v for v in members if v is not video and 0.02 < covered(video, v, matches) < _WHOLE]
    return any(
        covered(a, b, matches) < 0.1 and covered(b, a, matches) < 0.1 for i, a in enumerate(parts) for b in parts[:i]
    )


def covered(video: Video, by: Video, matches: Sequence[Match]) -> float:
    """The part of a video that another one shows as well."""
    ranges = sorted(
        (m.query_start, m.query_end) if m.query == video.id else (m.start, m.end) for m in _between(video, by, matches)
    )
    total, last = 0.0, 0.0
    for start, end in ranges:
        total += max(0.0, end - max(start, last))
        last = max(last, end)
    return min(1.0, total / video.duration) if video.duration > 0 else 0.0


def _between(one: Video, other: Video, matches: Sequence[Match]) -> list[Match]:
    ids = {one.id, other.id}
    return [m for m in matches if {m.query, m.video.id} == ids]


def _why(copies: tuple[Copy, ...]) -> str:
    best, rest = copies[0].video, [c.video for c in copies[1:]]
    reasons: list[str] = []
    if all(best.duration >= v.duration - 2 for v in rest):
        reasons.append("the most complete")
    if all(best.width * best.height >= v.width * v.height for v in rest):
        reasons.append(f"the largest picture, {best.width} x {best.height}")
    if all(bit_rate(best) >= bit_rate(v) for v in rest):
        reasons.append(f"the most bits, {bit_rate(best) / 1000:.0f} kbit/s")
    return "; ".join(reasons) or "no pieces of others"
