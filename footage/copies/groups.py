"""Groups of copies, what each is to the best of them, and advice as a plan. Nothing is ever deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from footage.copies.sound import OTHER_SOUND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from footage.copies.within import Inside
    from footage.types import Match, Video

Kind: TypeAlias = Literal["master", "re-encode", "excerpt", "dubbed", "mirrored", "compilation", "overlap"]
Reason: TypeAlias = Literal["complete", "sound", "large", "bits", "whole"]  # why the master is the one to keep
Sound: TypeAlias = "Callable[[Video], int]"
"""How much is to be heard in a video: more than in another, or less."""

_WHOLE = 0.85  # of a video that is covered, before it counts as shown as a whole
_NO_LONGER = 2.0  # seconds more or less are none


@dataclass(frozen=True, slots=True)
class Copy:
    """What one video is to the master of its group."""

    video: Video
    kind: Kind
    covered: float  # 0..1 of it that the master shows as well
    redundant: bool  # the master shows all of it, at least as well, and sounds the same

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
    reasons: Mapping[Reason, str]  # why the first is the one to keep, in words

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "keep": self.copies[0].video.id,
            "why": "; ".join(self.reasons.values()),
            "reasons": list(self.reasons),
            "videos": [c.as_dict() for c in self.copies],
        }


def bit_rate(video: Video) -> float:
    """Bits per second of the whole file."""
    return 8 * video.size_bytes / video.duration if video.duration > 0 else 0.0


def has_sound(video: Video) -> int:
    """By what its file says of itself."""
    return int(video.has_audio)


def groups(inside: Inside, videos: Sequence[Video], sound: Sound = has_sound) -> list[Group]:
    """The groups of a library, the largest first.

    A compilation holds no group together: it is a member of the group of each video that it has pieces of.
    """
    related = Related(inside.matches)
    by_id = {v.id: v for v in videos if v.id in related.neighbours}
    made_of = {i for i, video in by_id.items() if related.is_compilation(video, by_id)}
    parent = {i: i for i in by_id}

    def root(i: str) -> str:
        while parent[i] != i:
            i = parent[i]
        return i

    loose: list[tuple[str, str]] = []  # a compilation, and what it has pieces of
    for one, other in related.pairs:
        a, b = by_id[one], by_id[other]
        if not made_of & {one, other} or max(related.covered(a, b), related.covered(b, a)) >= _WHOLE:
            parent[root(one)] = root(other)
        else:
            loose += [pair for pair in ((one, other), (other, one)) if pair[0] in made_of]
    together: dict[str, list[Video]] = {}
    for i, video in by_id.items():
        together.setdefault(root(i), []).append(video)
    together = {i: members for i, members in together.items() if not all(v.id in made_of for v in members)}
    for i, piece in loose:
        members = together.get(root(piece), [])
        if members and by_id[i] not in members:
            members.append(by_id[i])
    out = [_group(members, related, made_of, sound) for members in together.values() if len(members) > 1]
    return sorted(out, key=lambda g: (-len(g.copies), g.copies[0].video.path))


class Related:
    """The matches of a library by pair of videos."""

    def __init__(self, matches: Sequence[Match]) -> None:
        self.pairs: dict[tuple[str, str], list[Match]] = {}
        self.neighbours: dict[str, set[str]] = {}
        for match in matches:
            one, other = sorted((match.query, match.video.id))
            self.pairs.setdefault((one, other), []).append(match)
            self.neighbours.setdefault(one, set()).add(other)
            self.neighbours.setdefault(other, set()).add(one)

    def between(self, one: Video, other: Video) -> list[Match]:
        """The matches of two videos."""
        return self.pairs.get((min(one.id, other.id), max(one.id, other.id)), [])

    def covered(self, video: Video, by: Video) -> float:
        """The part of a video that another one shows as well."""
        ranges = sorted(
            (m.query_start, m.query_end) if m.query == video.id else (m.start, m.end) for m in self.between(video, by)
        )
        total, last = 0.0, 0.0
        for start, end in ranges:
            total += max(0.0, end - max(start, last))
            last = max(last, end)
        return min(1.0, total / video.duration) if video.duration > 0 else 0.0

    def is_compilation(self, video: Video, by_id: Mapping[str, Video]) -> bool:
        """Whether it is made of pieces of videos that go on without it, and do not show each other's."""
        others = [by_id[i] for i in sorted(self.neighbours.get(video.id, ())) if i in by_id]
        parts = [v for v in others if self.covered(video, v) < _WHOLE and self.covered(v, video) < _WHOLE]
        return any(not self.between(a, b) for number, a in enumerate(parts) for b in parts[:number])


def _group(members: list[Video], related: Related, made_of: set[str], sound: Sound) -> Group:
    master = _master([v for v in members if v.id not in made_of], members, related, sound)
    others = sorted((v for v in members if v is not master), key=lambda v: v.path)
    copies = [_copy(v, master, related, made_of, sound) for v in others]
    return Group((Copy(master, "master", 1.0, redundant=False), *copies), _reasons(master, others, sound))


def _master(some: list[Video], members: list[Video], related: Related, sound: Sound) -> Video:
    """The right way round, complete, with sound, large, many bits: in this order."""
    some = [v for v in some if not _odd(v, members, related)] or some
    longest = max(v.duration for v in some)
    complete = [v for v in some if v.duration >= longest - _NO_LONGER]
    return max(complete, key=lambda v: (sound(v), v.width * v.height, bit_rate(v)))


def _odd(video: Video, members: list[Video], related: Related) -> bool:
    """Of two mirror images nothing tells which is the right way round, but for what most of the others are."""
    turned = sum(any(m.mirrored for m in related.between(video, other)) for other in members)
    return 2 * turned > len(members) - 1


def _copy(video: Video, master: Video, related: Related, made_of: set[str], sound: Sound) -> Copy:
    mine, its = related.covered(video, master), related.covered(master, video)
    between = related.between(video, master)
    if video.id in made_of:
        kind: Kind = "compilation"
    elif mine >= _WHOLE and any(m.mirrored for m in between):
        kind = "mirrored"
    elif mine >= _WHOLE and any(OTHER_SOUND in m.evidence for m in between):
        kind = "dubbed"
    elif mine >= _WHOLE and its >= _WHOLE:
        kind = "re-encode"
    elif mine >= _WHOLE:
        kind = "excerpt"
    else:
        kind = "overlap"
    no_better = video.width * video.height <= master.width * master.height and sound(video) <= sound(master)
    return Copy(video, kind, mine, redundant=kind in ("re-encode", "excerpt") and no_better)


def _reasons(best: Video, rest: list[Video], sound: Sound) -> dict[Reason, str]:
    reasons: dict[Reason, str] = {}
    if all(best.duration >= v.duration - _NO_LONGER for v in rest):
        reasons["complete"] = "the most complete"
    if any(sound(best) > sound(v) for v in rest):
        reasons["sound"] = "with sound"
    if all(best.width * best.height >= v.width * v.height for v in rest):
        reasons["large"] = f"the largest picture, {best.width} x {best.height}"
    if all(bit_rate(best) >= bit_rate(v) for v in rest):
        reasons["bits"] = f"the most bits, {bit_rate(best) / 1000:.0f} kbit/s"
    return reasons or {"whole": "no pieces of others"}
