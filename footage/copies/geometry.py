"""Where one picture lies in another: affine maps, how pictures are sampled through them, and how a map is refined.

Places are in units of the picture: x and y from 0 to 1. A `Warp` takes places of the video's picture to places of the
query's. Whatever an attack did to the shape (crop, mirror, bars, turn, window, squeeze) is one such map for as long
as the attack lasts, so it is found once and every frame is compared through it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.types import Float32, Float64, UInt8

Box: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom

GRID = 28  # points across and down, over the part that both pictures show
_INSIDE = 0.012  # of a side: at the very edge a picture shows ringing, bars and what a crop left
_LEAST_POINTS = 120  # of the grid's 784: less of a picture says nothing
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Warp:
    """x' = a x + b y + c, y' = d x + e y + f: places of the video's picture to places of the query's."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 1.0
    f: float = 0.0

    @property
    def matrix(self) -> Float64:
        """The map as (2, 3)."""
        return np.array([[self.a, self.b, self.c], [self.d, self.e, self.f]], np.float64)

    @staticmethod
    def of(matrix: NDArray[np.floating]) -> Warp:
        """The map of a matrix (2, 3)."""
        return Warp(*(float(v) for v in matrix.ravel()))

    @property
    def mirrored(self) -> bool:
        """Whether left and right are exchanged."""
        return self.a * self.e - self.b * self.d < 0

    @property
    def size(self) -> float:
        """The part of the query's picture that the whole of the video's would take."""
        return abs(self.a * self.e - self.b * self.d)

    def after(self, first: Warp) -> Warp:
        """The map that does `first`, then this one."""
        return Warp.of(self.matrix[:, :2] @ first.matrix + np.array([[0, 0, self.c], [0, 0, self.f]]))

    def back(self) -> Warp:
        """The map from the query's picture to the video's."""
        inverse = np.linalg.inv(self.matrix[:, :2])
        return Warp.of(np.column_stack([inverse, -inverse @ self.matrix[:, 2]]))

    def near(self, other: Warp, tolerance: float = 0.04) -> bool:
        """Whether both put the corners of a picture at the same places, nearly."""
        corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]], np.float64).T
        return bool(np.abs((self.matrix - other.matrix) @ corners).max() < tolerance * max(1.0, self.size**0.5))


PLAIN = Warp()
MIRROR = Warp(a=-1.0, c=1.0)
TURNS = (PLAIN, Warp(0, -1, 1, 1, 0, 0), Warp(-1, 0, 1, 0, -1, 1), Warp(0, 1, 0, -1, 0, 1))
"""The picture turned clockwise by 0, 90, 180 and 270 degrees."""


def into(box: Box) -> Warp:
    """The map of a whole picture into a box of another one."""
    left, top, right, bottom = box
    return Warp(a=right - left, c=left, e=bottom - top, f=top)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Points that both pictures show: as places of the video's picture, and of the query's."""

    video: Float64  # (n, 2)
    query: Float64  # (n, 2)
    cell: tuple[float, float]  # distance of the points in the video's picture, across and down
    where: NDArray[np.intp]  # (n,) number of each point on the full grid, row by row
    area: float  # part of the video's picture that is covered

    @property
    def margin(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the points in a full grid that has a margin."""
        return self.where // GRID + (_REACH + 1), self.where % GRID + (_REACH + 1)


@lru_cache(maxsize=256)
def grid(warp: Warp, video_box: Box = (0, 0, 1, 1), query_box: Box = (0, 0, 1, 1)) -> Grid | None:
    """Lay a grid over what both pictures show within their boxes; None if that is next to nothing."""
    back = warp.back()
    corners = np.array([[query_box[i], query_box[j]] for i in (0, 2) for j in (1, 3)])
    seen = corners @ back.matrix[:, :2].T + back.matrix[:, 2]
    low = np.maximum(seen.min(axis=0), video_box[:2])
    high = np.minimum(seen.max(axis=0), video_box[2:])
    if np.any(high - low < 0.05):
        return None
    cell = (high - low) / GRID
    places: Float64 = low + _unit() * cell
    there = places @ warp.matrix[:, :2].T + warp.matrix[:, 2]
    inside = _inside(places, video_box) & _inside(there, query_box)
    if inside.sum() < _LEAST_POINTS:
        return None
    area = float(inside.mean() * np.prod(high - low))
    return Grid(places[inside], there[inside], (float(cell[0]), float(cell[1])), np.flatnonzero(inside), area)


@lru_cache(maxsize=1)
def _unit() -> Float64:
    """The points of a grid in units of its cells, row by row."""
    y, x = np.mgrid[:GRID, :GRID].astype(np.float64) + 0.5
    return np.column_stack([x.ravel(), y.ravel()])


def _inside(places: Float64, box: Box) -> NDArray[np.bool_]:
    x, y = places.T
    return (x > box[0] + _INSIDE) & (x < box[2] - _INSIDE) & (y > box[1] + _INSIDE) & (y < box[3] - _INSIDE)


class Pictures:
    """Pictures (n, h, w), and the same at half their size, a quarter, and so on, made when they are asked for."""

    def __init__(self, pictures: NDArray[np.uint8 | np.float32]) -> None:
        self.levels: list[NDArray[np.uint8 | np.float32]] = [pictures]

    def scaled(self, cell: Float64) -> tuple[NDArray[np.uint8 | np.float32], float]:
        """The level at which a cell is next to two pixels, and how many it is."""
        height, width = self.levels[0].shape[1:]
        sides: list[list[float]] = cell.tolist()
        pixels = max(math.hypot(x * width, y * height) for x, y in sides)
        level = 0
        while pixels > 2.5 and min(self.levels[level].shape[1:]) >= 16:
            level, pixels = level + 1, pixels / 2
            if level == len(self.levels):
                self.levels.append(halved(self.levels[-1]))
        return self.levels[level], pixels


def sample(pictures: Pictures | NDArray[np.uint8 | np.float32], places: Float64, cell: Float64) -> Float32:
    """Read pictures (n, h, w) at places (m, 2), averaged over a cell around each: float32 (n, m).

    `cell` (2, 2) holds the sides of a cell as rows, in units of the picture.
    """
    pictures, pixels = (pictures if isinstance(pictures, Pictures) else Pictures(pictures)).scaled(cell)
    n, height, width = pictures.shape
    flat = cast("Float32", pictures.reshape(n, -1))  # or bytes, which are read as numbers all the same
    offsets = _MIDDLE if pixels < 1.5 else _AROUND
    size = np.array([width, height])
    spots = ((places * size - 0.5)[None] + ((offsets @ cell) * size)[:, None]).astype(np.float32)
    np.clip(spots, 0, [width - 1.001, height - 1.001], out=spots)
    corner = spots.astype(np.intp)
    part = spots - corner
    dx, dy = part[..., 0], part[..., 1]
    at = corner[..., 1] * width + corner[..., 0]
    below = dy / np.float32(len(offsets))
    above = np.float32(1 / len(offsets)) - below
    out: Any = np.zeros((n, len(places)), np.float32)
    for row in range(len(at)):
        right = dx[row]
        for step, weight in ((0, above[row]), (width, below[row])):
            out += flat.take(at[row] + step, axis=1) * (weight * (1 - right))  # pyright: ignore[reportUnknownVariableType]
            out += flat.take(at[row] + (step + 1), axis=1) * (weight * right)  # pyright: ignore[reportUnknownVariableType]
    return cast("Float32", out)


_MIDDLE: Float64 = np.zeros((1, 2))
_AROUND: Float64 = np.array([[x, y] for y in (-0.25, 0.25) for x in (-0.25, 0.25)])


def halved(pictures: NDArray[np.uint8 | np.float32]) -> Float32:
    """Pictures (n, h, w) at half the size; an odd last row or column is dropped."""
    _, height, width = pictures.shape
    even = pictures[:, : height // 2 * 2, : width // 2 * 2]
    total = even[:, ::2, ::2].astype(np.float32)
    total += even[:, 1::2, ::2]
    total += even[:, ::2, 1::2]
    total += even[:, 1::2, 1::2]
    return total * np.float32(0.25)


def both(laid: Grid, warp: Warp, query: UInt8 | Pictures, video: UInt8 | Pictures) -> tuple[Float32, Float32]:
    """What pictures of the query and of the video show at the points of a grid: float32 (q, n) and (v, n)."""
    sides = np.diag(laid.cell)
    moved = sides @ warp.matrix[:, :2].T
    return sample(query, laid.query, moved), sample(video, laid.video, sides)


def refined(warp: Warp, query: UInt8, video: UInt8) -> Warp:
    """Move the map so that aligned pairs of pictures (k, h, w) agree best.

    Gauss-Newton on pictures that are brought to the same mean and contrast (as in Lucas and Kanade 1981; Evangelidis
    and Psarakis 2008), with weights that leave out what was laid over one of them. What does not improve is not taken.
    """
    one, other = Pictures(query), Pictures(video)
    best, best_score = warp, agreement(warp, one, other)
    for coarse in (2.0, 1.0):
        current = best
        for _ in range(_ROUNDS // 2):
            step = _step(current, one, other, coarse)
            if step is None:
                break
            moved = Warp.of(current.matrix + step)
            score = agreement(moved, one, other)
            if score <= best_score:
                break
            small = np.abs(step).max() * GRID < 0.05
            current, best, best_score = moved, moved, score
            if small:
                break
    return best


def agreement(warp: Warp, query: UInt8 | Pictures, video: UInt8 | Pictures) -> float:
    """Mean correlation of aligned pairs of pictures through the map; -1 where nothing can be compared."""
    laid = grid(warp)
    if laid is None:
        return -1.0
    one, other = (local(values, laid) for values in both(laid, warp, query, video))
    return float((one * other).sum(axis=1).mean())


def _step(warp: Warp, query: Pictures, video: Pictures, coarse: float) -> Float64 | None:
    laid = grid(warp)
    if laid is None:
        return None
    sides = np.diag(laid.cell) * coarse
    moved = sides @ warp.matrix[:, :2].T
    target = _even(sample(video, laid.video, sides))
    here = sample(query, laid.query, moved)
    spread = np.maximum(here.std(axis=1, keepdims=True), 1.0)
    reach = np.array([np.abs(moved[:, 0]).max(), np.abs(moved[:, 1]).max()]) / 2
    right, below = np.diag(reach)
    across = sample(query, laid.query + right, moved) - sample(query, laid.query - right, moved)
    down = sample(query, laid.query + below, moved) - sample(query, laid.query - below, moved)
    across, down = across / (2 * reach[0] * spread), down / (2 * reach[1] * spread)
    missing = target - _even(here)
    weight = 1 / (1 + (missing / (1.5 * np.median(np.abs(missing)) + 1e-3)) ** 2)
    x, y = laid.video.T
    columns = [across * x, across * y, across, down * x, down * y, down]
    system = np.stack([c.ravel() for c in columns], axis=1).astype(np.float64)
    weighted = system * weight.reshape(-1, 1)
    left = weighted.T @ system
    left += np.eye(6) * (1e-6 * np.trace(left) + 1e-9)
    solved: Float64 = np.asarray(np.linalg.solve(left, weighted.T @ missing.ravel().astype(np.float64)), np.float64)
    step = solved.reshape(2, 3)
    largest = np.abs(step @ np.array([[0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]])).max()
    return step * min(1.0, 0.08 * max(warp.size**0.5, 0.3) / max(largest, 1e-9))


def _even(values: Float32) -> Float32:
    values = values - values.mean(axis=1, keepdims=True)
    return values / np.maximum(values.std(axis=1, keepdims=True), 1.0)


_FLAT = 5.0  # grey levels: detail below is noise, and is not blown up
_REACH = 4  # points around each, over which brightness and contrast are evened out


def local(values: Float32, laid: Grid) -> Float32:
    """Even out brightness and contrast around each point, as unit rows float32 (n, m).

    What is laid over a part of a picture then says no more than its area.
    """
    n = len(values)
    size = GRID + 2 * _REACH + 1
    # Values and their squares, each picture within a margin of zeros: sums around all points at once.
    full = np.zeros((2 * n, size, size), np.float32)
    rows, columns = laid.margin
    full[:n, rows, columns] = values
    np.square(full[:n], out=full[n:])
    sums = _sums(full)[:, laid.where] / _count(laid)
    mean, power = sums[:n], sums[n:]
    spread = np.sqrt(np.maximum(power - mean**2, 0))
    out = (values - mean) / (spread + _FLAT)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)


@lru_cache(maxsize=64)
def _count(laid: Grid) -> Float32:
    """How many points of a grid lie around each."""
    size = GRID + 2 * _REACH + 1
    there = np.zeros((1, size, size), np.float32)
    rows, columns = laid.margin
    there[:, rows, columns] = 1
    return np.maximum(_sums(there)[0, laid.where], 1)


def _sums(padded: Float32) -> Float32:
    """Sums over the neighbourhood of each point of the full grid."""
    size = 2 * _REACH + 1
    total = padded.cumsum(axis=1, dtype=np.float64).cumsum(axis=2)
    out = total[:, size:, size:] - total[:, :-size, size:] - total[:, size:, :-size] + total[:, :-size, :-size]
    return out.reshape(len(padded), -1).astype(np.float32)
