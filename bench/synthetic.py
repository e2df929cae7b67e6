"""A synthetic library whose vectors lie as those of real samples do, of any size, without keeping it anywhere.

What is imitated was measured on 1,437 samples of 190 real videos (those of ../shared/data with two samples and more, in
the starter's picture space of 1,280 dimensions; `python bench/synthetic.py LIBRARY` measures it for any library):

- one common direction: the mean vector has length 0.55;
- what is left splits into videos 0.65, shots within a video 0.23, samples within a shot 0.12 of the variance;
- its spectrum falls slowly, then steeply: 26 components hold half of it, 108 hold 80 %, 203 hold 90 %
  (here (i + 22) ** -2);
- runs: a shot has 3.1 samples on average, after near-identical neighbours were dropped;
- recurrence: 18 % of the shots show again what an earlier shot of the same video showed.

Videos of one series (20 of them) share half of what a video has of its own: the same place, people or programme.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from footage.types import Embeddings, MediaFile, Space, Video

PER_VIDEO = 400  # samples: some ten minutes
SERIES = 20  # videos
_MEAN = 0.55
_VIDEO, _SHOT, _SAMPLE = 0.65, 0.23, 0.12
_SHOT_SAMPLES = 3.1
_AGAIN = 0.18
_SPECTRUM = 22.0

Vectors = NDArray[np.float32]


def unit(vectors: Vectors) -> Vectors:
    """Each row at length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass(frozen=True)
class Draw:
    """Vectors of one dimension; the same number gives the same video."""

    dim: int

    def gauss(self, rng: np.random.Generator, rows: int, share: float) -> Vectors:
        """Draw (rows, dim) with the spectrum and a share of the variance."""
        spectrum = (np.arange(1, self.dim + 1) + _SPECTRUM) ** -2.0
        scale = np.sqrt(spectrum / spectrum.sum() * (1 - _MEAN**2) * share)
        return rng.standard_normal((rows, self.dim), dtype=np.float32) * scale.astype(np.float32)

    def mean(self) -> Vectors:
        """What all vectors share."""
        return unit(np.random.default_rng(1).standard_normal((1, self.dim), dtype=np.float32)) * np.float32(_MEAN)

    def video(self, number: int) -> Vectors:
        """The samples of a video, (400, dim)."""
        rng, series = np.random.default_rng((2, number)), np.random.default_rng((3, number // SERIES))
        starts = rng.random(PER_VIDEO) < 1 / _SHOT_SAMPLES
        starts[0] = False
        shot = np.cumsum(starts)
        shows = np.arange(shot[-1] + 1)
        for again in np.flatnonzero(rng.random(len(shows)) < _AGAIN):
            shows[again] = shows[rng.integers(0, max(1, again - 1))]
        own = self.gauss(series, 1, _VIDEO / 2) + self.gauss(rng, 1, _VIDEO / 2)
        shots = self.gauss(rng, len(shows), _SHOT)
        return unit(self.mean() + own + shots[shows[shot]] + self.gauss(rng, PER_VIDEO, _SAMPLE))

    def batches(self, rows: int, videos: int = 100) -> Iterator[tuple[range, Vectors]]:
        """The numbers of so many videos at a time, and all their samples, until there are that many rows."""
        last = rows // PER_VIDEO
        for first in range(0, last, videos):
            numbers = range(first, min(last, first + videos))
            yield numbers, np.concatenate([self.video(number) for number in numbers])

    def queries(self, rows: int, count: int) -> Vectors:
        """Half are disturbed samples, as a picture of a frame is; half are new points that nothing is close to."""
        rng, near = np.random.default_rng(4), count // 2
        found = [self.video(int(n))[rng.integers(0, PER_VIDEO)] for n in rng.integers(0, rows // PER_VIDEO, near)]
        new = self.mean() + self.gauss(rng, count - near, 1.0)
        return rng.permutation(unit(np.concatenate([np.stack(found) + self.gauss(rng, near, 0.15), new])))


def rows_of(space: Space, numbers: range, vectors: Vectors) -> tuple[list[Embeddings], list[Video]]:
    """What an ingest would write of these videos."""
    at = np.arange(PER_VIDEO, dtype=np.float64)
    parts = vectors.reshape(len(numbers), PER_VIDEO, -1)
    rows = [Embeddings(space.name, f"{n:040x}", at, at + 1, at, part) for n, part in zip(numbers, parts, strict=True)]
    return rows, [_record(number) for number in numbers]


def _record(number: int) -> Video:
    file = MediaFile(f"/films/{number:07}.mp4", 50_000_000, number)
    return Video(
        f"{number:040x}", (file,), float(PER_VIDEO), 1920, 1080, 25.0, "h264", "mp4", 1.7e9, PER_VIDEO, "every=1"
    )


def measured(path: str) -> dict[str, object]:
    """The facts of the docstring, of a library of pictures."""
    from footage.library import Library
    from footage.types import spaces_of

    library = Library.open(path)
    space = next(iter(spaces_of(library.stamp.roles if library.stamp else {}, "image")))
    store = library._reads()
    videos = [rows for video in library.videos() if len(rows := store.vectors(space, video.id).vectors) > 1]
    of = np.repeat(np.arange(len(videos)), [len(v) for v in videos])
    cuts = [np.concatenate([[1], (v[1:] * v[:-1]).sum(1) < 0.75]) for v in videos]
    shot = np.cumsum(np.concatenate(cuts).astype(int)) - 1
    rows = np.concatenate(videos)
    centred = rows - rows.mean(0)
    by_shot, by_video = _means(centred, shot), _means(centred, of)
    parts = [by_video, by_shot - by_video, centred - by_shot]
    power = np.array([float((part**2).sum()) for part in parts])
    spectrum = np.linalg.svd(centred, compute_uv=False) ** 2
    held = np.cumsum(spectrum) / spectrum.sum()
    return {
        "samples": len(rows),
        "videos": len(videos),
        "mean_length": round(float(np.linalg.norm(rows.mean(0))), 3),
        "shares": [round(float(share), 3) for share in power / power.sum()],
        "components_of_50_80_90": [int(np.searchsorted(held, part)) + 1 for part in (0.5, 0.8, 0.9)],
        "samples_a_shot": round(len(rows) / float(shot[-1] + 1), 2),
        "shots_again": round(_again(unit(_means(rows, shot)), shot, of), 3),
    }


def _means(rows: Vectors, group: NDArray[np.intp]) -> Vectors:
    """The mean of its group in place of each row."""
    sums = np.zeros((int(group.max()) + 1, rows.shape[1]), np.float32)
    np.add.at(sums, group, rows)
    return (sums / np.bincount(group)[:, None])[group]


def _again(means: Vectors, shot: NDArray[np.intp], of: NDArray[np.intp]) -> float:
    """The share of shots, from the third of a video on, whose mean is near that of an earlier one not beside it."""
    firsts = np.unique(shot, return_index=True)[1]
    means, of = means[firsts], of[firsts]
    seen, again = 0, 0
    for number in range(len(means)):
        earlier = np.flatnonzero(of[: max(0, number - 1)] == of[number])
        if len(earlier):
            seen += 1
            again += bool((means[earlier] @ means[number]).max() > 0.8)
    return again / max(1, seen)


if __name__ == "__main__":
    print(measured(sys.argv[1]))
