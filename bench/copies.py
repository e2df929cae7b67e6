"""How copy search grows: a library against itself up to a million samples, and a minute against a thousand hours.

    python bench/copies.py within --library LIB [--most 1000000]     seconds by samples, beside n log n
    python bench/copies.py align --library LIB [--hours 1000]        a one-minute query, after encoding

`LIB` is any library: from its layout vectors `measured.py` draws libraries of any size that are like it. One video in
twenty is planted twice, with noise, and half of them begin with an intro that twenty share (`--sharing`). Seconds are
told twice: on the clock, which other work on the machine makes longer, and of processor.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from measured import Draw, Measured, lengths, noisy, record

from footage.copies.align import FASTEST, ROUGH_SPEEDS, segments
from footage.copies.candidates import Asked, Candidate, likeliest
from footage.copies.geometry import MIRROR, PLAIN
from footage.copies.queries import PICTURES, View
from footage.copies.within import Within
from footage.encoders.layout import mirrored
from footage.stores import open_store
from footage.stores.cached import CachedReads
from footage.types import Embeddings

ALIGNED = 5  # candidates that are aligned, the likeliest
QUERIES = 12
MINUTE = 60
INTRO = 12  # samples
EXPLAINED = 0.04  # part of a query that may be left


def main() -> None:
    """Run what is asked for, and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("within", "align"))
    parser.add_argument("--library", required=True)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--hours", type=float, default=1000.0)
    parser.add_argument("--sharing", type=int, default=20, help="of within: videos that share one intro; 0: all")
    parser.add_argument("--keep", type=Path, help="of align: build the store here, and use it again")
    asked = parser.parse_args()
    draw = Draw(Measured.of(asked.library, "copy"))
    if asked.what == "within":
        within(draw, asked.most, asked.sharing)
        return
    with tempfile.TemporaryDirectory(prefix="bench-copies-", ignore_cleanup_errors=True) as folder:
        align(draw, asked.hours, asked.keep or Path(folder))


class Clock:
    """Seconds on the clock and of processor, by what was done."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    @contextmanager
    def at(self, what: str) -> Iterator[None]:
        """Count what happens meanwhile."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall[what] = self.wall.get(what, 0.0) + time.perf_counter() - wall
            self.cpu[what] = self.cpu.get(what, 0.0) + time.process_time() - cpu

    def told(self) -> dict[str, list[float]]:
        """Both, in this order."""
        return {f"{what}_s": [round(self.wall[what], 3), round(self.cpu[what], 3)] for what in self.wall}


class Stages:
    """The steps of a comparison, told apart by what it says of how far it is."""

    def __init__(self) -> None:
        self.clock, self.pairs = Clock(), 0
        self._now = time.perf_counter(), time.process_time()

    def tell(self, what: str, done: int, of: int) -> None:
        """A video has its sketches, or a pair is aligned; the first pair counts as part of the join."""
        if what == "videos" and done == of:
            self._ended("sketch")
        elif what == "pairs":
            self.pairs = of
            if done == 1:
                self._ended("join")
            if done == of:
                self._ended("align")

    def end(self) -> None:
        """It has told what is shared."""
        self._ended("settle")

    def _ended(self, what: str) -> None:
        wall, cpu = self._now
        self._now = time.perf_counter(), time.process_time()
        self.clock.wall[what], self.clock.cpu[what] = self._now[0] - wall, self._now[1] - cpu


def planted(draw: Draw, hours: float) -> Iterator[Any]:
    """Videos; every twentieth is that before it again, with noise."""
    before: Any = None
    for number, samples in enumerate(lengths(hours)):
        rows = noisy(before, number) if number % 20 == 19 else draw.video(number, samples)
        before = rows
        yield rows


class Rows:
    """The samples of a synthetic library, as much of a store as the comparison of a library with itself asks for."""

    def __init__(self, draw: Draw, hours: float, sharing: int) -> None:
        self.rows: dict[str, Embeddings] = {}
        self.records: list[Any] = []
        for number, drawn in enumerate(planted(draw, hours)):
            begins = number % 2 == 0 and number % 20 != 18  # not what is planted twice
            rows = noisy(np.concatenate([opening(draw, opens(number, sharing)), drawn]), number) if begins else drawn
            video, at = record(number, len(rows)), np.arange(len(rows), dtype=np.float64)
            self.rows[video.id] = Embeddings(draw.measured.space.name, video.id, at, at + 1, at + 0.5, rows)
            self.records.append(video)

    def videos(self) -> list[Any]:
        """All of them."""
        return self.records

    def vectors(self, _space: str, video_id: str) -> Embeddings:
        """Those of one video."""
        return self.rows[video_id]

    def sample_vectors(self, _space: str, most: int) -> Any:
        """Some from each video."""
        each = -(-most // len(self.rows))
        some = [rows.vectors[:: max(1, len(rows) // each)] for rows in self.rows.values()]
        return np.concatenate(some)[: 2 * most]


def opens(number: int, sharing: int) -> int:
    """Which intro a video has: so many that begin with one share theirs, or all."""
    return number // (2 * sharing) if sharing else 0


def opening(draw: Draw, series: int) -> Any:
    """The samples of an intro."""
    return draw.video(1_000_000 + series, INTRO)


def within(draw: Draw, most: int, sharing: int) -> None:
    """Time the comparison of a library with itself: sketches, join, alignment of all pairs, and what is shared.

    Where a step is n log n, its nanoseconds for n log2 n stay as they are.
    """
    name = draw.measured.space.name
    for size in (round(10_000 * 10 ** (step / 2)) for step in range(99)):
        if size > most:
            break
        store: Any = Rows(draw, size / 3600, sharing)
        stages = Stages()
        within = Within(store, {"copy": {name: 1.0}}, cast("Any", None), verify=False, on_progress=stages.tell)
        inside = within.find()
        stages.end()
        videos = store.records
        copies = {(videos[n - 1].id, videos[n].id) for n in range(19, len(videos), 20)}
        samples = sum(map(len, store.rows.values()))
        steps = samples * float(np.log2(samples))
        report = {
            "samples": samples, "videos": len(videos), **stages.clock.told(), "planted": len(copies),
            "found": len(copies & {(m.query, m.video.id) for m in inside.matches}), "pairs": stages.pairs,
            "pairs_per_1000_samples": round(1000 * stages.pairs / samples, 2),
            "matches": len(inside.matches), "intros": len({opens(n, sharing) for n in range(0, len(videos), 2)}),
            "shared": len(inside.shared),
            "in_videos": [len({s.video.id for s in piece}) for piece in inside.shared[:5]],
            "cpu_ns_per_n_log2_n": {what: round(t / steps * 1e9) for what, t in stages.clock.cpu.items()},
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, "load": round(os.getloadavg()[0], 1),
        }  # fmt: skip
        print(json.dumps(report), flush=True)


def build(draw: Draw, hours: float, folder: Path) -> Clock:
    """Write a store of so many hours."""
    clock, store, waiting = Clock(), open_store(folder), list[Any]()
    store.create_space(draw.measured.space)
    for number, samples in enumerate(lengths(hours)):
        at, video = np.arange(samples, dtype=np.float64), record(number, samples)
        rows = Embeddings(draw.measured.space.name, video.id, at, at + 1, at + 0.5, draw.video(number, samples))
        with clock.at("write"):
            store.add([rows])
            waiting.append(video)
            if len(waiting) == 200:
                store.commit(waiting)
                waiting.clear()
    with clock.at("write"):
        store.commit(waiting)
    with clock.at("index"):
        store.refresh()
    store.close()
    return clock


def align(draw: Draw, hours: float, folder: Path) -> None:
    """Time queries of one minute: plain copies, and copies of which a part of every picture is lost."""
    built = Clock() if (folder / "videos.lance").exists() else build(draw, hours, folder)
    store = open_store(folder)
    rows = list(lengths(hours))
    long = [number for number, samples in enumerate(rows) if samples > 2 * MINUTE]
    videos = {video.id: video for video in store.videos()}
    for kind, loss in (("light", 0.25), ("strong", 1.0)):
        clocks: list[Clock] = []
        cosines: list[float] = []
        right = first = 0
        for turn in range(QUERIES):
            wanted = long[(turn * 7919 + 13) % len(long)]
            start = (rows[wanted] - MINUTE) // 2
            kept = draw.video(wanted, rows[wanted])[start : start + MINUTE]
            query = np.repeat(kept, int(PICTURES), axis=0)
            clock = Clock()
            asked = changed(query, turn, loss)
            best, shift, leading = answer(CachedReads(store), asked, videos, clock)
            clocks.append(clock)
            cosines.append(float((asked * query).sum(axis=1).mean()))
            right += best == record(wanted, 1).id and abs(shift - start) < 1.5
            first += leading == record(wanted, 1).id
        report = {
            "hours": hours, "samples": sum(rows), "videos": len(rows), "query": kind,
            "cosine": round(float(np.mean(cosines)), 2),
            **{f"built_{name}": value for name, value in built.told().items()},
            "right": f"{right} of {QUERIES}", "first_candidate": f"{first} of {QUERIES}",
            "wall_s": _spread([sum(c.wall.values()) for c in clocks]),
            "cpu_s": _spread([sum(c.cpu.values()) for c in clocks]),
            **{f"{what}_median": [_median([c.wall[what] for c in clocks]), _median([c.cpu[what] for c in clocks])]
               for what in clocks[0].wall}, "load": os.getloadavg()[0],
        }  # fmt: skip
        print(json.dumps(report), flush=True)


def changed(rows: Any, seed: int, loss: float) -> Any:
    """Layouts of attacked pictures: with noise, and with every picture of the query missing the same part."""
    rng = np.random.default_rng((seed, 3))
    grain = rng.standard_normal(rows.shape).astype(np.float32) * np.float32(loss / rows.shape[1] ** 0.5)
    gone = np.repeat(rng.random(64) < 0.3 * loss, 8)  # cells of eight orientations
    return noisy(np.maximum(np.where(gone, rows.mean(), rows) + grain, 0), seed)


def answer(store: Any, query: Any, videos: Any, clock: Clock) -> tuple[str, float, str]:
    """What copy search does between encoding and looking at pictures: the best video, where it begins; who led."""
    views = [View(warp, (0, 0, 1, 1), 0, warp == MIRROR, usual=True) for warp in (PLAIN, MIRROR)]
    picked = np.linspace(0, len(query) - 1, 60).round().astype(int)  # of 120 pictures, as in a large library
    both = np.concatenate([query[picked], cast("Any", mirrored(query[picked], "layout"))])
    times = np.tile(picked / PICTURES, 2)
    asked = Asked.of(
        "layout", both, [*picked.tolist()] * 2, [v for v in views for _ in picked], times, exact=True
    )  # fmt: skip
    with clock.at("candidates"):
        found = likeliest([asked], store, videos)
    best, gain, shift, left = "", 0.0, 0.0, 1.0
    with clock.at("alignment"):
        for candidate in found[:ALIGNED]:
            rows = store.vectors("layout", candidate.video.id)
            near = part(candidate, rows.at)
            alike = asked.z(rows.vectors[near]).reshape(2, len(picked), -1).max(axis=0) / 10
            at = times[: len(picked)]
            for line in segments(alike.astype(np.float32), at, rows.start[near], most=1, speeds=ROUGH_SPEEDS):
                if line.gain > gain:
                    best, gain, shift = candidate.video.id, line.gain, line.shift
                    left = 1 - line.seconds / MINUTE
            if left <= EXPLAINED:  # as in copy search, which then looks no further
                break
    return best, shift, found[0].video.id


def part(candidate: Candidate, at: Any) -> slice:
    """The part of a video that is aligned: as far around its best pair as `verify.verified` decodes."""
    reach = MINUTE * FASTEST + 2.0
    middle = max(candidate.pairs, key=lambda pair: pair.z).at
    first, last = np.searchsorted(at, (middle - reach, middle + reach))
    return slice(int(first), int(last))


def _spread(values: list[float]) -> list[float]:
    """The least, the median and the most."""
    return [round(float(v), 3) for v in (min(values), np.median(values), max(values))]


def _median(values: list[float]) -> float:
    return round(float(np.median(values)), 3)


if __name__ == "__main__":
    main()
