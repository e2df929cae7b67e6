"""Synthetic libraries of any size that are like a real one: what `bench/copies.py` measures on.

From a library: the mean and the covariance of the vectors of a space, how often a shot begins, how alike the samples
of one shot are, and how often a shot comes back, in the same video and in others. The draws have these, and no more:
`likeness` says of both how alike any two samples and two neighbours are, so that a reader can compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from footage.library import Library
from footage.types import MediaFile, Space, Video, spaces_of

SHORTEST, LONGEST = 20, 3600  # samples of a video; a sample stands for a second
_CUT = 0.5  # centred cosine of two neighbours: below it a shot begins
_AGAIN = 0.75  # centred cosine of two shots: above it they are one that comes back
_POOL = 100  # shots that any video may have: cards, intros
_EVERYWHERE = 0.1  # of the shots that another video has too; the others recur within a series
_SERIES, _SETS = 8, 12  # videos of a series, and the shots that they share
_KEPT = 0.999  # of the variance
_MOST = 20_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What a real library is like, in one space."""

    space: Space
    mean: Any  # float32 (dim,)
    axes: Any  # float32 (rank, dim): a standard normal vector times these has the covariance
    like: Any  # float32 (101,): quantiles of the centred cosine of neighbours within a shot
    scene: float  # mean centred cosine of two shots of one video
    cuts: float  # part of the samples that begin a shot
    again: float  # part of the shots that the same video had before
    common: float  # part of the shots that another video has
    background: list[float]  # centred cosines of any two samples: 50 %, 99 %, 99.9 %
    neighbours: list[float]  # of two neighbours: 10 %, 50 %, 90 %

    @staticmethod
    def of(path: str, role: str) -> Measured:
        """Measure the library at `path`."""
        library = Library.open(path)
        reads = library._reads()
        name = next(iter(spaces_of(library.stamp.roles if library.stamp else {}, role)))
        space = next(space for space in reads.spaces() if space.name == name)
        rows = reads.sample_vectors(name, _MOST)
        videos = [reads.vectors(name, video.id).vectors for video in reads.videos()]
        mean = rows.mean(axis=0)
        _, spread, axes = np.linalg.svd(rows - mean, full_matrices=False)
        share = np.cumsum(spread**2) / (spread**2).sum()
        rank = int(np.searchsorted(share, _KEPT)) + 1
        scaled = (axes[:rank] * (spread[:rank] / len(rows) ** 0.5)[:, None]).astype(np.float32)
        near = np.concatenate([(a[1:] * a[:-1]).sum(axis=1) for v in videos if len(a := centred(v, mean)) > 1])
        scene, again, common = _recurring([centred(v, mean) for v in videos])
        like = np.quantile(near[near >= _CUT], np.linspace(0, 1, 101)).astype(np.float32)
        background, neighbours = likeness(videos, mean)
        return Measured(
            space, mean, scaled, like, scene, float((near < _CUT).mean()), again, common, background, neighbours
        )


def likeness(videos: list[Any], mean: Any) -> tuple[list[float], list[float]]:
    """Centred cosines of any two samples (50 %, 99 %, 99.9 %), and of two neighbours (10 %, 50 %, 90 %)."""
    rows = [centred(v, mean) for v in videos]
    near = np.concatenate([(a[1:] * a[:-1]).sum(axis=1) for a in rows if len(a) > 1])
    every = np.concatenate(rows)
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, len(every), (2, 200_000))
    any_two = (every[one] * every[other]).sum(axis=1)
    return (
        [round(float(v), 3) for v in np.quantile(any_two, (0.5, 0.99, 0.999))],
        [round(float(v), 3) for v in np.quantile(near, (0.1, 0.5, 0.9))],
    )


def _recurring(videos: list[Any]) -> tuple[float, float, float]:
    """How alike two shots of one video are; the part of shots that it had before, and that another video has."""
    firsts = [v[np.flatnonzero(np.r_[True, (v[1:] * v[:-1]).sum(axis=1) < _CUT])] for v in videos if len(v)]
    every = np.concatenate(firsts)
    of = np.repeat(np.arange(len(firsts)), [len(f) for f in firsts])
    cosine = every @ every.T
    alike, same = cosine > _AGAIN, of[:, None] == of[None]
    before = np.tril(alike & same, -1).any(axis=1)
    scene = float(cosine[np.tril(same & ~alike, -1)].mean())
    return max(scene, 0.0), float(before.mean()), float((alike & ~same).any(axis=1).mean())


class Draw:
    """Draws videos of one space; two spaces with the same seeds have their shots at the same samples."""

    def __init__(self, measured: Measured) -> None:
        self.measured = measured

    def video(self, seed: int, samples: int) -> Any:
        """The vectors of one video, float32 (samples, dim)."""
        m = self.measured
        shape = np.random.default_rng((seed, 0))
        rng = np.random.default_rng((seed, 1))
        steps = rng.standard_normal((samples, len(m.axes))).astype(np.float32)
        place = rng.standard_normal(len(m.axes)).astype(np.float32) * np.float32(m.scene**0.5)
        begins = np.flatnonzero(np.r_[True, shape.random(samples - 1) < m.cuts])
        kinds, which = shape.random(len(begins)), shape.random(len(begins))
        bases: list[Any] = []
        for kind, choice in zip(kinds.tolist(), which.tolist(), strict=True):
            if kind < m.again and bases:
                bases.append(bases[int(choice * len(bases))])
            elif kind < m.again + m.common:
                bases.append(self._shared(seed, choice))
            else:
                own = rng.standard_normal(len(m.axes)).astype(np.float32)
                bases.append(place + np.float32((1 - m.scene) ** 0.5) * own)
        runs = np.diff(np.r_[begins, samples])
        like = np.repeat(rng.choice(m.like, len(begins)), runs)[:, None]
        level = np.repeat(np.stack(bases), runs, axis=0)
        return unit(np.maximum(m.mean + (like**0.5 * level + (1 - like) ** 0.5 * steps) @ m.axes, 0))

    def _shared(self, seed: int, choice: float) -> Any:
        """A shot of the video's series, or one of those that are everywhere."""
        if choice < _EVERYWHERE:
            key = (77, int(choice / _EVERYWHERE * _POOL))
        else:
            key = (78, seed // _SERIES, int((choice - _EVERYWHERE) / (1 - _EVERYWHERE) * _SETS))
        return np.random.default_rng(key).standard_normal(len(self.measured.axes)).astype(np.float32)


def lengths(hours: float) -> Iterator[int]:
    """Samples of each video: from 20 s to an hour, evenly in the logarithm, until there are so many hours."""
    rng = np.random.default_rng(5)
    left = round(hours * 3600)
    while left > 0:
        samples = min(left, round(float(np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST))))))
        left -= samples
        yield max(samples, 2)


def noisy(rows: Any, seed: int) -> Any:
    """Vectors as another encoding of the same pictures would have them: a cosine of some 0.97."""
    grain = np.random.default_rng((seed, 2)).standard_normal(rows.shape).astype(np.float32)
    return unit(np.maximum(rows + 0.25 * grain / rows.shape[1] ** 0.5, 0))


def unit(rows: Any) -> Any:
    """Rows of unit length."""
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)).astype(np.float32)


def centred(rows: Any, mean: Any) -> Any:
    """Unit rows without the mean."""
    return unit(rows - mean)


def record(number: int, samples: int) -> Video:
    """The record of a synthetic video."""
    file = MediaFile(f"/synthetic/{number}.mp4", 1, 1)
    return Video(f"{number:032x}", (file,), float(samples), 640, 360, 25.0, "h264", "mp4", 0.0, samples, "synthetic")
