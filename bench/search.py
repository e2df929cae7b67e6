"""How long one search takes in a library of N samples, beside the floor: numpy over the same vectors, in the same run.

    python bench/search.py 100000            a store of N synthetic samples, built in a process of its own
    python bench/search.py 100000 --dim 1280
    python bench/search.py --cold            a new process: import, open, first search, in a library of 2,000 samples

The samples imitate videos: topics, scenes of ten similar samples within a topic, a hundred samples a video. Half of the
queries are disturbed samples, as a frame of the library is; half are new points of the topics, as words are: nothing is
close to them, and the tenth best is hardly better than the hundredth. Store and numpy take turns, query by query, so
that whatever else the machine does falls on both. A result counts for recall if its exact score reaches the tenth best.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from footage.stores import open_store
from footage.types import Embeddings, MediaFile, Space, Video

K = 10
PER_VIDEO, PER_SCENE, BATCH = 100, 10, 10_000
TOPICS = 2_000


def unit(vectors: np.ndarray) -> np.ndarray:
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def noise(rng: np.random.Generator, n: int, dim: int, length: float) -> np.ndarray:
    return rng.standard_normal((n, dim), dtype=np.float32) * np.float32(length / dim**0.5)


def topics(dim: int) -> np.ndarray:
    return unit(np.random.default_rng(1).standard_normal((TOPICS, dim), dtype=np.float32))


def samples(n: int, dim: int) -> Iterator[np.ndarray]:
    """Batches of float32 (up to 10,000, dim), the same for the same n and dim."""
    centres = topics(dim)
    for batch, first in enumerate(range(0, n, BATCH)):
        rng, size = np.random.default_rng((2, batch)), min(BATCH, n - first)
        scenes = -(-size // PER_SCENE)
        centre = centres[rng.integers(0, TOPICS, scenes)] + noise(rng, scenes, dim, 0.9)
        yield unit(np.repeat(centre, PER_SCENE, axis=0)[:size] + noise(rng, size, dim, 0.4))


def queries(matrix: np.ndarray, count: int) -> np.ndarray:
    rng, dim = np.random.default_rng(3), matrix.shape[1]
    near = matrix[rng.integers(0, len(matrix), count // 2)] + noise(rng, count // 2, dim, 0.4)
    new = topics(dim)[rng.integers(0, TOPICS, count - count // 2)] + noise(rng, count - count // 2, dim, 1.0)
    return rng.permutation(unit(np.concatenate([near, new])))


def video(number: int, n: int) -> Video:
    files = (MediaFile(f"/films/{number:06}.mp4", 1_000_000, number),)
    return Video(f"{number:040x}", files, float(n), 1920, 1080, 25.0, "h264", "mp4", 1.7e9, n, "1s")


def build(path: str, n: int, dim: int) -> dict[str, Any]:
    """Fill a store in batches, as an ingest does; run in a process of its own, to see its memory."""
    import psutil

    process = psutil.Process()
    empty, peak = process.memory_info().rss, _Peak(process)
    store = open_store(path)
    store.create_space(Space("image", dim, ("image",)))
    inserting, refreshing, number = 0.0, 0.0, 0
    for vectors in samples(n, dim):
        embeddings: list[Embeddings] = []
        for first in range(0, len(vectors), PER_VIDEO):
            part = vectors[first : first + PER_VIDEO]
            at = np.arange(len(part), dtype=np.float64)
            embeddings.append(Embeddings("image", f"{number:040x}", at, at + 1, at, part))
            number += 1
        started = time.perf_counter()
        store.add(embeddings)
        store.commit([video(number - len(embeddings) + i, len(e)) for i, e in enumerate(embeddings)])
        inserting += time.perf_counter() - started
        if number % 1_000 == 0 and number * PER_VIDEO < n:  # as ingest does every so many rows
            started = time.perf_counter()
            store.refresh()
            refreshing += time.perf_counter() - started
    started = time.perf_counter()
    store.refresh()
    last = time.perf_counter() - started
    size = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
    return {
        "insert_rows_s": round(n / inserting),
        "build_s": round(refreshing + last, 1),
        "peak_mb": round(peak.stop() / 1e6),
        "python_mb": round(empty / 1e6),
        "disk_mb": round(size / 1e6, 1),
    }


class _Peak:
    """Watches the resident memory of this process."""

    def __init__(self, process: Any) -> None:
        import threading

        self._process, self._peak, self._end = process, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._end.wait(0.01):
            self._peak = max(self._peak, self._process.memory_info().rss)

    def stop(self) -> int:
        self._end.set()
        self._thread.join()
        return self._peak


def brute(matrix: np.ndarray, query: np.ndarray) -> np.ndarray:
    scores = matrix @ query
    if len(scores) <= K:
        return np.argsort(-scores)
    best = np.argpartition(scores, len(scores) - K)[-K:]
    return best[np.argsort(-scores[best])]


def timed(work: Any, *args: Any, **options: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = work(*args, **options)
    return (time.perf_counter() - started) * 1e3, answer


def measure(path: str, n: int, dim: int, count: int) -> dict[str, Any]:
    matrix = np.empty((n, dim), np.float32)
    first = 0
    for vectors in samples(n, dim):
        matrix[first : first + len(vectors)] = vectors
        first += len(vectors)
    store = open_store(path)
    asked = queries(matrix, count + 10)
    taken: list[float] = []
    floor: list[float] = []
    right = 0
    for turn, query in enumerate(asked):
        ms, (hits,) = timed(store.search, "image", query[None], K)
        brute_ms, best = timed(brute, matrix, query)
        if turn < 10:  # warm
            continue
        taken.append(ms)
        floor.append(brute_ms)
        found = np.array([int(i, 16) * PER_VIDEO for i in hits.video_ids], np.int64) + hits.at.astype(np.int64)
        right += int((matrix[found] @ query >= (matrix[best] @ query).min() - 1e-6).sum())
    clip = [timed(store.search, "image", asked[:30], 100)[0] for _ in range(5)]
    some = [f"{number:040x}" for number in range(0, n // PER_VIDEO, 7)]
    one = [timed(store.search, "image", q[None], K, videos=[some[i % len(some)]])[0] for i, q in enumerate(asked[:30])]
    seventh = [timed(store.search, "image", q[None], K, videos=some)[0] for q in asked[:15]]
    exact = [timed(store.search, "image", q[None], K, exact=True)[0] for q in asked[:5]]
    background = [timed(store.sample_vectors, "image", 2048)[0] for _ in range(3)]
    p50, brute_p50 = float(np.median(taken)), float(np.median(floor))
    return {
        "n": n,
        "dim": dim,
        "p50_ms": round(p50, 2),
        "p99_ms": round(float(np.quantile(taken, 0.99)), 2),
        "brute_p50_ms": round(brute_p50, 2),
        "ratio": round(p50 / brute_p50, 3),
        "recall_at_10": round(right / (count * min(K, n)), 4),
        "top100_of_30_queries_ms": round(float(np.median(clip)), 1),
        "in_one_video_ms": round(float(np.median(one)), 2),
        "in_a_seventh_of_the_videos_ms": round(float(np.median(seventh)), 2),
        "exact_ms": round(float(np.median(exact)), 1),
        "sample_2048_ms": round(float(np.median(background)), 1),
    }


COLD = """
import sys, time
started = time.perf_counter()
import numpy as np
from footage.stores import open_store
imported = time.perf_counter()
store = open_store(sys.argv[1])
store.search("image", np.ones((1, int(sys.argv[2])), np.float32), 10)
print(imported - started, time.perf_counter() - imported)
"""


def cold(dim: int) -> dict[str, Any]:
    """New processes on a small library whose files the system has in memory: all but the disk."""
    with tempfile.TemporaryDirectory() as folder:
        build(folder, 2_000, dim)
        wall: list[float] = []
        inside: list[float] = []
        for _ in range(7):
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", COLD, folder, str(dim)], capture_output=True, text=True, check=True
            )
            wall.append(time.perf_counter() - started)
            inside.append(float(done.stdout.split()[1]))
    return {
        "n": 2_000,
        "dim": dim,
        "cold_s": round(float(np.median(wall)), 3),
        "cold_best_s": round(min(wall), 3),
        "open_and_search_s": round(float(np.median(inside)), 3),
    }


def run(n: int, dim: int, count: int, keep: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = keep or str(Path(folder) / "store")
        built: dict[str, Any] = {}
        if not Path(path).exists():
            command = [sys.executable, __file__, str(n), "--dim", str(dim), "--build", path]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            built = json.loads(done.stdout)
        return measure(path, n, dim, count) | built


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", type=int, nargs="?", default=100_000, help="samples in the library")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object")
    parser.add_argument("--keep", help="build the store here and use it again")
    parser.add_argument("--build", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.build:
        print(json.dumps(build(given.build, given.n, given.dim)))
        return
    result = cold(given.dim) if given.cold else run(given.n, given.dim, given.queries, given.keep)
    if given.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:32} {value}")


if __name__ == "__main__":
    main()
