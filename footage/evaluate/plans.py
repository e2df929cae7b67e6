"""Which copies a benchmark has: the plan of every query, drawn with a seed before anything is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from footage.evaluate import attacks, pictures, timeline
from footage.evaluate.timeline import Piece, Row
from footage.media.write import Coding

if TYPE_CHECKING:
    from footage.evaluate.attacks import Random
    from footage.evaluate.material import Known
    from footage.evaluate.pictures import Effect

UNANSWERED = ("unseen", "black", "card", "intro", "logo", "screen")
"""Queries without a true answer: a video, or another take, that is not in the library; and the same behind a black
start, a test card or an intro that videos of the library have too, under a logo that they wear, or between static
screens."""
SHARED = ("black", "card", "intro", "logo")
"""What is planted into references too."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One clip to render."""

    name: str
    kind: str  # "copy", one of UNANSWERED, or "reference"
    level: int
    attacks: tuple[str, ...]
    pieces: tuple[Piece, ...]
    size: tuple[int, int]
    rate: int  # frames per second
    coding: Coding
    effects: tuple[Effect, ...] = ()
    behind: Piece | None = None  # plays behind a picture in picture
    dropped: tuple[int, ...] = ()
    sound: Piece | None = None  # replaces the sound
    level_of: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def rows(self) -> tuple[Row, ...]:
        """The true answers."""
        return timeline.rows(self.pieces, self.rate, "flip" in self.attacks)


@dataclass(frozen=True, slots=True)
class Pool:
    """What the plans draw from."""

    references: Sequence[Known]
    unseen: Sequence[Known]
    shared: dict[str, Known]  # of SHARED, but for the logo
    screens: Sequence[Known]
    logo: int  # seed of the planted one
    max_side: int
    seconds: tuple[float, float]


def fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """A size with even sides, scaled down to `longest` where it is larger."""
    factor = min(1.0, longest / max(size))
    return max(2, round(size[0] * factor / 2) * 2), max(2, round(size[1] * factor / 2) * 2)


def rate_of(video: Known) -> int:
    """The frame rate of a copy of this video."""
    return int(min(30, max(8, round(video.fps or 25))))


def excerpt(r: Random, video: Known, rate: int, span: tuple[float, float], *, known: bool) -> Piece:
    """A run of a video that shows something, of a length (seconds) within the span where the video has it."""
    room = video.duration - video.lead
    for _ in range(20):
        wanted = min(r.uniform(*span), room)
        # Half of the copies begin anywhere in a short video, not at its first frame.
        wanted = min(wanted, max(room * r.uniform(0.6, 1.0), min(room, span[0])))
        start = video.lead + r.uniform(0, room - wanted)
        if video.shows(start, start + wanted):
            break
    else:
        start, wanted = video.lead, room
    start = round(start * rate) / rate
    return Piece(video.path, start, max(2, int((min(start + wanted, video.duration) - start) * rate) - 1), known=known)


def filling(r: Random, pool: Pool, rate: int, frames: int) -> Piece:
    """So many frames without an answer; of a shorter video as many as it has."""
    video = pool.unseen[int(r.integers(len(pool.unseen)))]
    most = max(1, int(video.duration * rate) - 2)
    frames = min(frames, most)
    return Piece(video.path, int(r.integers(most - frames + 1)) / rate, frames, known=False)


def references(r: Random, videos: Sequence[Known], pool: Pool, share: float) -> list[tuple[int, Plan, float]]:
    """(index, plan, lead) of the references into which shared material is planted, in equal parts."""
    short = [i for i, video in enumerate(videos) if video.duration <= 120]
    count = min(len(short), max(len(SHARED) * 2, round(share * len(videos))) if len(videos) >= 12 else len(short) // 3)
    out: list[tuple[int, Plan, float]] = []
    for number, index in enumerate(sorted(int(i) for i in r.choice(short, count, replace=False)) if count else []):
        kind, video = SHARED[number % len(SHARED)], videos[index]
        rate = rate_of(video)
        whole = Piece(video.path, 0.0, int(video.duration * rate) - 1)
        pieces: tuple[Piece, ...] = (whole,)
        effects: tuple[Effect, ...] = ()
        lead = 0.0
        if kind == "logo":
            effects = (planted_logo(pool.logo),)
        else:
            start = planted(pool.shared[kind], rate)
            pieces, lead = (start, whole), start.frames / rate
        size = fitted(video.size, pool.max_side)
        name = f"{kind}-{Path(video.path).stem}-{index}"
        out.append((index, Plan(name, "reference", 0, (), pieces, size, rate, Coding(), effects), lead))
    return out


def planted(shared: Known, rate: int) -> Piece:
    """The whole of what is shared."""
    return Piece(shared.path, 0.0, max(2, int(shared.duration * rate) - 1), known=False)


def planted_logo(seed: int) -> Effect:
    """The logo that a number of references wear."""
    return partial(pictures.logo, share=0.22, x=0.95, y=0.05, seed=seed)


def queries(seed: int, pool: Pool, count: int, unanswered: float) -> list[Plan]:
    """`count` plans, a share of them without an answer; every attack at every strength comes round in turn."""
    r = np.random.default_rng((seed, 1))
    none = round(count * unanswered)
    wanted = [(name, level) for level in range(3) for name in attacks.NAMES]
    turns = [wanted[int(i)] for _ in range(-(-count // len(wanted))) for i in r.permutation(len(wanted))]
    order = [int(i) for _ in range(-(-count // len(pool.references))) for i in r.permutation(len(pool.references))]
    out: list[Plan] = []
    for number in range(count - none):
        rng = np.random.default_rng((seed, 2, number))
        out.append(_copy(rng, f"copy{number:04d}", pool, pool.references[order[number]], *turns[number]))
    for number in range(none):
        rng = np.random.default_rng((seed, 3, number))
        out.append(_unanswered(rng, f"none{number:04d}", pool, number))
    return out


def _shape(video: Known) -> float:
    return video.size[0] / video.size[1]


def _copy(r: Random, name: str, pool: Pool, video: Known, attack: str, level: int) -> Plan:
    rate = rate_of(video)
    least, most = pool.seconds
    piece = excerpt(r, video, rate, (min(least, 3.0), max(3.5, most * 0.75)), known=True)
    pieces: tuple[Piece, ...] = (piece,)
    short = piece.frames / rate < least
    # A second video in the same query; of the same shape, since bars around it are an attack of their own.
    others = [v for v in pool.references if v.path != video.path and abs(_shape(v) / _shape(video) - 1) < 0.03]
    if r.random() < 0.3 and others:
        other = others[int(r.integers(len(others)))]
        pieces = (piece, excerpt(r, other, rate, (2.0, max(2.5, most * 0.3)), known=True))
    if (short or r.random() < 0.4) and "intro" in pool.shared:
        before, after = r.uniform(0.5, 3.0, 2) + (max(0.0, least - piece.frames / rate) / 2 if short else 0)
        start = (
            planted(pool.shared["intro"], rate) if r.random() < 0.2 else filling(r, pool, rate, round(before * rate))
        )
        pieces = (start, *pieces, filling(r, pool, rate, round(after * rate)))
    plan = Plan(name, "copy", level, (), pieces, fitted(video.size, pool.max_side), rate, Coding())
    return _attacked(r, plan, pool, _chosen(r, attack, level))


def _unanswered(r: Random, name: str, pool: Pool, number: int) -> Plan:
    kind = UNANSWERED[number % len(UNANSWERED)]
    video = pool.unseen[(number * 7 + int(r.integers(3))) % len(pool.unseen)]
    rate = rate_of(video)
    piece = excerpt(r, video, rate, pool.seconds, known=False)
    pieces: tuple[Piece, ...] = (piece,)
    effects: tuple[Effect, ...] = ()
    if kind == "logo":
        effects = (planted_logo(pool.logo),)
    elif kind == "screen":
        screens = [planted(pool.screens[int(i)], rate) for i in r.integers(len(pool.screens), size=2)]
        pieces = (screens[0], piece, screens[1])
    elif kind != "unseen":
        pieces = (planted(pool.shared[kind], rate), piece)
    plan = Plan(name, kind, 0, (), pieces, fitted(video.size, pool.max_side), rate, Coding(), effects)
    level = int(r.integers(3))
    gentle = [n for n in (*attacks.LOOK, "scale", "flip", "encode", "crop") if n != "fade"]
    return _attacked(r, plan, pool, {str(r.choice(gentle)): level})


def _chosen(r: Random, attack: str, level: int) -> dict[str, int]:
    """The attacks of one copy: one if light; if medium often a second; if strong two or three of different kinds."""
    chosen = {attack: level}
    kinds = [tuple(attacks.GEOMETRY), tuple(attacks.LOOK), (*attacks.TIME, "drop"), ("encode",)]
    others = [kind for kind in kinds if attack not in kind]
    more = (0, int(r.random() < 0.5), int(r.integers(1, 3)))[level]
    for index in r.permutation(len(others))[:more]:
        chosen[str(r.choice(others[int(index)]))] = max(0, level - int(r.integers(2)))
    return chosen


def _attacked(r: Random, plan: Plan, pool: Pool, wanted: dict[str, int]) -> Plan:
    chosen = dict(wanted)
    pieces = plan.pieces
    for name, level in tuple(chosen.items()):
        if name in attacks.TIME:
            before = pieces
            pieces = attacks.TIME[name](pieces, r, level, plan.rate, partial(filling, r, pool, plan.rate))
            if pieces == before:  # too short to be cut
                del chosen[name]
    # What turns or mirrors the picture comes first, what is written over it later, as in an editing program.
    made = {**attacks.GEOMETRY, **attacks.LOOK}
    effects = tuple(made[name](r, chosen[name]) for name in made if name in chosen)
    count = timeline.length(pieces)
    gone = attacks.DROPPED[chosen["drop"]] if "drop" in chosen else 0.0
    inset = "picture_in_picture" in chosen
    return replace(
        plan,
        level=max(chosen.values(), default=0) if plan.kind == "copy" else plan.level,
        attacks=tuple(chosen),
        level_of=chosen,
        pieces=pieces,
        effects=(*plan.effects, *effects),
        coding=attacks.coding(r, chosen["encode"]) if "encode" in chosen else plan.coding,
        dropped=tuple(int(i) for i in np.flatnonzero(r.random(count) < gone)),
        behind=filling(r, pool, plan.rate, count) if inset else None,
        sound=filling(r, pool, plan.rate, count) if "sound" in chosen else None,
    )
