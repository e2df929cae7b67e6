"""Attacks on time: a clip is a list of pieces, each a run of frames of some video; every attack makes a new list.

What is true of a clip is read from the same list that it is rendered from, so the truth is exact to the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from footage.types import Float64


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of frames of a clip, taken from a video."""

    source: str  # path
    start: float  # seconds in the source, of the first frame
    frames: int  # in the clip
    speed: float = 1.0  # seconds of the source per second of the clip
    known: bool = True  # the source is among the references


@dataclass(frozen=True, slots=True)
class Row:
    """One true answer: seconds of the query that show seconds of a reference."""

    query_start: float
    query_end: float
    path: str
    start: float
    end: float
    speed: float
    mirrored: bool

    def as_dict(self) -> dict[str, Any]:
        """For truth.jsonl."""
        return asdict(self)


Pieces: TypeAlias = tuple[Piece, ...]
Filler: TypeAlias = "Callable[[int], Piece]"
"""So many frames of material without an answer."""


def rows(pieces: Pieces, rate: int, mirrored: bool = False) -> tuple[Row, ...]:
    """The true answers of a clip with `rate` frames per second; a run that goes on unbroken is one."""
    out: list[Row] = []
    at = 0
    for piece in pieces:
        begin, end = at / rate, (at + piece.frames) / rate
        at += piece.frames
        if not piece.known:
            continue
        last = piece.start + piece.frames / rate * piece.speed
        row = Row(begin, end, piece.source, piece.start, last, piece.speed, mirrored)
        before = out[-1] if out else None
        if (
            before is not None
            and (before.path, before.speed, before.query_end) == (row.path, row.speed, row.query_start)
            and abs(before.end - row.start) < 0.5 / rate
        ):
            out[-1] = replace(before, query_end=row.query_end, end=row.end)
        else:
            out.append(row)
    return tuple(out)


def length(pieces: Pieces) -> int:
    """How many frames a clip has."""
    return sum(piece.frames for piece in pieces)


def times(piece: Piece, rate: int) -> Float64:
    """Seconds of the source of each frame."""
    return piece.start + np.arange(piece.frames) / rate * piece.speed


def split(piece: Piece, frames: int, rate: int) -> tuple[Piece, Piece]:
    """Cut a piece in two; the first has so many frames."""
    later = piece.start + frames / rate * piece.speed
    return replace(piece, frames=frames), replace(piece, start=later, frames=piece.frames - frames)


def speed(pieces: Pieces, factor: float) -> Pieces:
    """Play what has an answer faster, or slower; it shows the same seconds in fewer frames, or in more."""
    return tuple(
        replace(p, speed=p.speed * factor, frames=max(1, int(p.frames / factor))) if p.known else p for p in pieces
    )


def cut(pieces: Pieces, at: float, out: float, rate: int) -> Pieces:
    """Take `out` of the longest answer away, beginning at `at` of it (shares of its frames)."""
    index = longest(pieces)
    whole = pieces[index]
    first, rest = split(whole, max(1, round(at * whole.frames)), rate)
    gap = min(round(out * whole.frames), rest.frames - 1)
    if gap < 1:
        return pieces
    return (*pieces[:index], first, split(rest, gap, rate)[1], *pieces[index + 1 :])


def splice(pieces: Pieces, at: float, other: Piece, rate: int) -> Pieces:
    """Put something else into the longest answer, at `at` of it."""
    index = longest(pieces)
    whole = pieces[index]
    first, rest = split(whole, min(max(1, round(at * whole.frames)), whole.frames - 1), rate)
    return (*pieces[:index], first, other, rest, *pieces[index + 1 :])


def loop(pieces: Pieces, turns: int, share: float, rate: int) -> Pieces:
    """Show the first `share` of the longest answer again, until it was seen `turns` times; then the rest."""
    index = longest(pieces)
    whole = pieces[index]
    first, rest = split(whole, min(max(1, round(share * whole.frames)), whole.frames), rate)
    again = (first,) * (turns - 1)
    return (*pieces[:index], *again, first, *((rest,) if rest.frames else ()), *pieces[index + 1 :])


def swap(pieces: Pieces, at: float, rate: int) -> Pieces:
    """Show the part of the longest answer that comes after `at` of it before the part that comes before."""
    index = longest(pieces)
    whole = pieces[index]
    first, rest = split(whole, min(max(1, round(at * whole.frames)), whole.frames - 1), rate)
    return (*pieces[:index], rest, first, *pieces[index + 1 :])


def held(count: int, dropped: Sequence[int]) -> list[int]:
    """Which frame is shown in place of each of `count`, where the frame before stands in for a dropped one."""
    gone = set(dropped) - {0}
    shown = 0
    return [shown := index if index not in gone else shown for index in range(count)]


def longest(pieces: Pieces) -> int:
    """The index of the longest piece that has an answer."""
    return max((i for i, p in enumerate(pieces) if p.known), key=lambda i: pieces[i].frames)
