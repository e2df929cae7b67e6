"""How copy search grows: a library against itself up to a million samples, and a minute against many hours.

    python bench/copies.py within --library LIB [--most 1000000]     seconds by samples, beside n log n
    python bench/copies.py align --library LIB [--hours 100]          one-minute query, after encoding

`LIB` is any library: its layout vectors are the distribution that the synthetic ones are drawn from, as videos whose
neighbouring samples are alike. One video in twenty is planted twice, with noise.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from footage.copies import join
from footage.copies.align import ROUGH_SPEEDS, segments
from footage.copies.candidates import DEEP, FEW, Asked, nearest_videos
from footage.copies.geometry import MIRROR, PLAIN
from footage.copies.queries import View
from footage.encoders.layout import mirrored
from footage.library import Library
from footage.stores import open_store
from footage.types import Embeddings, MediaFile, Space, Video, spaces_of

SAMPLES = 180  # of a video: three minutes
SPACE = Space("layout", 512, ("copy",))
ALIGNED = 5  # candidates that are aligned, the likeliest
LIKE = 0.9  # of one sample to the next one, where no shot begins


def main() -> None:
    """Run what is asked for, and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("within", "align"))
    parser.add_argument("--library", required=True)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--hours", type=float, default=100.0)
    asked = parser.parse_args()
    draw = Draw(real(asked.library))
    if asked.what == "within":
        within(draw, asked.most)
    else:
        align(draw, asked.hours)


def real(path: str) -> Any:
    """The layout vectors of a library."""
    library = Library.open(path)
    space = next(iter(spaces_of(library.stamp.roles if library.stamp else {}, "copy")))
    return library._reads().sample_vectors(space, 20_000)


class Draw:
    """Draws videos with the mean and the covariance of real vectors."""

    def __init__(self, rows: Any) -> None:
        self._mean = rows.mean(axis=0)
        _, spread, axes = np.linalg.svd(rows - self._mean, full_matrices=False)
        self._axes = (axes * (spread / len(rows) ** 0.5)[:, None]).astype(np.float32)

    def video(self, seed: int, samples: int = SAMPLES) -> Any:
        """The vectors of one video, float32 (samples, 512)."""
        rng = np.random.default_rng(seed)
        steps = rng.standard_normal((samples, len(self._axes))).astype(np.float32)
        cuts = rng.random(samples) < 0.15
        for number in range(1, samples):
            if not cuts[number]:
                steps[number] = LIKE * steps[number - 1] + (1 - LIKE**2) ** 0.5 * steps[number]
        return unit(np.maximum(self._mean + steps @ self._axes, 0))

    def videos(self, count: int) -> Iterator[Any]:
        """Videos; every twentieth is that before it again, with noise."""
        for number in range(count):
            again = number % 20 == 19
            rows = self.video(number - again)
            yield unit(noisy(rows, number)) if again else rows


def noisy(rows: Any, seed: int) -> Any:
    """Vectors as another encoding of the same pictures would have them: a cosine of some 0.97."""
    grain = np.random.default_rng((seed, 1)).standard_normal(rows.shape).astype(np.float32)
    return np.maximum(rows + 0.25 * grain / rows.shape[1] ** 0.5, 0)


def unit(rows: Any) -> Any:
    """Rows of unit length."""
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)).astype(np.float32)


def within(draw: Draw, most: int) -> None:
    """Time the self-join by size; the last column is constant where it grows as n log n."""
    size = 10_000
    while size <= most:
        count = max(20, size // SAMPLES)
        background = np.concatenate([draw.video(10_000_000 + i, 64) for i in range(64)])
        sketcher = join.Sketcher.of(background)
        sketching = 0.0
        for number, rows in enumerate(draw.videos(count)):
            started = time.perf_counter()
            sketcher.take(number, rows, mirrored(rows, SPACE.name))
            sketching += time.perf_counter() - started
        started = time.perf_counter()
        votes = join.pairs(sketcher.made())
        joining = time.perf_counter() - started
        found = {pair for pair, number in votes.items() if number >= 2}
        planted = {(n - 1, n) for n in range(19, count, 20)}
        samples = count * SAMPLES
        print(
            json.dumps(
                {
                    "samples": samples,
                    "sketch_s": round(sketching, 2),
                    "join_s": round(joining, 2),
                    "planted": len(planted),
                    "found": len(planted & found),
                    "other_pairs": len(found - planted),
                    "ns_per_n_log2_n": round((sketching + joining) / (samples * np.log2(samples)) * 1e9, 1),
                    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
                }
            ),
            flush=True,
        )
        size = int(size * 10**0.5 + 0.5)


def align(draw: Draw, hours: float) -> None:
    """Time a query of one minute against so many hours in an embedded store: search, votes, alignment."""
    count = int(hours * 3600 / SAMPLES)
    folder = Path(tempfile.mkdtemp(prefix="bench-copies-"))
    try:
        store = open_store(folder / "store")
        store.create_space(SPACE)
        at = np.arange(SAMPLES, dtype=np.float64)
        started = time.perf_counter()
        for number in range(count):
            video = record(number)
            store.add([Embeddings(SPACE.name, video.id, at, at + 1, at + 0.5, draw.video(number))])
            if number % 200 == 199 or number == count - 1:
                store.commit([record(n) for n in range(number - number % 200, number + 1)])
        written = time.perf_counter() - started
        started = time.perf_counter()
        store.refresh()
        indexed = time.perf_counter() - started
        times: list[float] = []
        right = 0
        videos = {video.id: video for video in store.videos()}
        for turn in range(5):
            wanted = (turn * 7919 + 13) % count
            query = unit(noisy(draw.video(wanted), turn))[40:100]
            started = time.perf_counter()
            best, shift = answer(store, query, videos)
            times.append(time.perf_counter() - started)
            right += best == record(wanted).id and abs(shift - 40) < 1.5
        print(
            json.dumps(
                {
                    "hours": hours,
                    "samples": count * SAMPLES,
                    "write_s": round(written, 1),
                    "index_s": round(indexed, 1),
                    "align_s": [round(t, 3) for t in times],
                    "right": f"{right} of 5",
                }
            )
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def answer(store: Any, query: Any, videos: Any) -> tuple[str, float]:
    """What copy search does between encoding and looking at pictures: the best video, and where it begins."""
    views = [View(warp, (0, 0, 1, 1), 0, warp == MIRROR, usual=True) for warp in (PLAIN, MIRROR)]
    both = np.concatenate([query, cast("Any", mirrored(query, SPACE.name))])
    n, blank = len(query), np.zeros(2 * len(query), np.float32)
    asked = Asked(
        SPACE.name, True, both, [*range(n)] * 2, [v for v in views for _ in range(n)], blank[:1], blank, blank + 0.02
    )
    asked.judge(store)
    best, gain, shift = "", 0.0, 0.0
    read: list[tuple[float, str, Any, Any]] = []
    for video_id in nearest_videos(asked, store, videos, FEW)[:DEEP]:
        rows = store.vectors(SPACE.name, video_id)
        alike = asked.z(rows.vectors).reshape(2, n, -1).max(axis=0) / 10
        read.append((float(np.sort(alike.max(axis=1))[-3:].mean()), video_id, alike, rows))
    for _, video_id, alike, rows in sorted(read, key=lambda item: -item[0])[:ALIGNED]:
        for line in segments(
            alike.astype(np.float32), np.arange(n, dtype=np.float64), rows.start, most=1, speeds=ROUGH_SPEEDS
        ):
            if line.gain > gain:
                best, gain, shift = video_id, line.gain, line.shift
    return best, shift


def record(number: int) -> Video:
    """The record of a synthetic video."""
    file = MediaFile(f"/synthetic/{number}.mp4", 1, 1)
    return Video(f"{number:032x}", (file,), float(SAMPLES), 640, 360, 25.0, "h264", "mp4", 0.0, SAMPLES, "synthetic")


if __name__ == "__main__":
    main()
