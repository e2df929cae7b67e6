"""What sampling keeps and misses: `python bench/sampling.py VIDEO... [--features] [--json]`.

Truth is a frame every 0.2 s of each video. For the default and for `fast` it prints the samples kept a minute, how far
a frame is from the sample that stands for it (seconds, grey levels, and with --features the cosine of the starter's
image vectors), and the time. Then it joins pieces of the same videos, encodes them, and counts how many of the joints,
whose times are known, begin a range.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import making
import numpy as np

from footage.errors import MediaError
from footage.media import open_video
from footage.sampling import SamplingSettings, distance, samples
from footage.types import Frame, Sample

DENSE = 0.2  # seconds between the frames of the truth
SIZE = (224, 224)


def truth(path: Path) -> tuple[list[Frame], float]:
    frames: list[Frame] = []
    with open_video(path) as reader:
        for frame in reader.frames():
            if not frames or frame.time >= frames[-1].time + DENSE - 1e-6:
                frames.append(frozen(frame))
        return frames, reader.duration


def frozen(frame: Frame) -> Frame:
    """The frame with its picture made now, so that a thousand of them fit in memory."""
    pixels = frame.picture(*SIZE)
    return Frame(frame.time, frame.key, frame.width, frame.height, frame.luma, lambda _w, _h: pixels)


def keep(path: Path, fast: bool) -> tuple[list[Sample], float]:
    """The samples, and the seconds it took to decode and choose them."""
    settings = SamplingSettings(fast=fast)
    began = time.perf_counter()
    with open_video(path, fast=fast) as reader:
        chosen = samples(reader.frames(), settings, lambda: reader.duration)
        found = [Sample(one.start, one.end, one.at, frozen(one.frame)) for one in chosen]
    return found, time.perf_counter() - began


def vectors(frames: list[Frame], encoder: object) -> np.ndarray:
    out = []
    for start in range(0, len(frames), 32):
        batch = np.stack([f.picture(*SIZE) for f in frames[start : start + 32]])
        out.append(next(v for k, v in encoder.encode_images(batch).items() if "image" in k))  # type: ignore[attr-defined]
    return np.concatenate(out)


def compare(paths: list[Path], features: bool) -> dict[str, dict[str, float]]:
    encoder = None
    if features:
        from footage.encoders import load

        encoder = load("starter")
    columns: dict[str, dict[str, list[float]]] = {m: {} for m in ("default", "fast")}
    for path in paths:
        dense, duration = truth(path)
        dense_vectors = vectors(dense, encoder) if encoder else None
        for mode, column in columns.items():
            found, took = keep(path, mode == "fast")
            kept_vectors = vectors([s.frame for s in found], encoder) if encoder else None
            add = column.setdefault
            for i, frame in enumerate(dense):
                here = next((k for k, s in enumerate(found) if s.start <= frame.time < s.end), len(found) - 1)
                add("seconds_off", []).append(min(abs(s.at - frame.time) for s in found))
                add("levels_off", []).append(distance(frame.luma, found[here].frame.luma))
                if dense_vectors is not None and kept_vectors is not None:
                    add("cosine", []).append(float(dense_vectors[i] @ kept_vectors[here]))
            add("samples", []).append(len(found))
            add("minutes", []).append(duration / 60)
            add("time", []).append(took)
    return {mode: summary(c) for mode, c in columns.items()}


def summary(c: dict[str, list[float]]) -> dict[str, float]:
    out = {
        "videos": len(c["samples"]),
        "minutes": sum(c["minutes"]),
        "samples_per_minute": sum(c["samples"]) / sum(c["minutes"]),
        "time_s": sum(c["time"]),
        "seconds_off_mean": float(np.mean(c["seconds_off"])),
        "seconds_off_p95": float(np.percentile(c["seconds_off"], 95)),
        "levels_off_median": float(np.median(c["levels_off"])),
        "levels_off_p95": float(np.percentile(c["levels_off"], 95)),
    }
    if "cosine" in c:
        out["cosine_mean"] = float(np.mean(c["cosine"]))
        out["cosine_p5"] = float(np.percentile(c["cosine"], 5))
        out["cosine_below_0.7"] = float(np.mean(np.array(c["cosine"]) < 0.7))
    return out


def pieces(path: Path, rng: random.Random) -> Iterator[np.ndarray]:
    """10 to 100 frames of a video from one of its samples on, 320x180."""
    with open_video(path) as reader:
        shots = list(samples(reader.frames(), SamplingSettings(near=0), lambda: reader.duration))
    start = rng.choice(shots).at
    wanted = rng.randint(10, 100)
    with open_video(path) as reader:
        for frame in reader.frames():
            if frame.time >= start and wanted:
                wanted -= 1
                yield frame.picture(320, 180)


def film(paths: list[Path], joints: int, rng: random.Random, known: list[float]) -> Iterator[np.ndarray]:
    """Pieces of the videos one after the other; the time at which each begins is put into `known`."""
    count, last = 0, None
    for _ in range(joints + 1):
        last = rng.choice([p for p in paths if p != last])
        known.append(count / making.RATE)
        for picture in pieces(last, rng):
            count += 1
            yield picture


def cuts(paths: list[Path], joints: int, crf: int) -> dict[str, float]:
    """How many of the known joints begin a range (to two frames), and how many get a sample within 0.2 s."""
    rng = random.Random(5)
    known: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        joined = Path(folder) / "joined.mp4"
        making.encode(joined, film(paths, joints, rng, known), size=(320, 180), crf=crf)
        result = {}
        for fast in (False, True):
            with open_video(joined, fast=fast) as reader:
                settings = SamplingSettings(fast=fast)
                found = [(s.start, s.at) for s in samples(reader.frames(), settings, lambda: reader.duration)]
            starts = np.array([s for s, _ in found])
            hit = [float(np.abs(starts - t).min()) < 0.081 for t in known[1:]]
            soon = [min((at - t for _, at in found if at >= t), default=99) < 0.2 for t in known[1:]]
            name = "fast" if fast else "default"
            result[f"{name}_joints_that_begin_a_range"] = float(np.mean(hit))
            result[f"{name}_joints_sampled_within_0.2_s"] = float(np.mean(soon))
    return {"joints": len(known) - 1, "crf": crf, **result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument("--features", action="store_true", help="compare vectors of the starter encoder too")
    parser.add_argument("--joints", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    paths: list[Path] = []
    for path in options.videos:
        try:
            with open_video(path):
                paths.append(path)
        except MediaError as error:
            print(f"left out: {error}", file=sys.stderr)
    result: dict[str, dict[str, float]] = compare(paths, options.features)
    if options.joints and len(paths) > 1:
        for crf in (23, 33):
            result[f"cuts_crf{crf}"] = cuts(paths, options.joints, crf)
    if options.json:
        print(json.dumps(result))
        return
    for name, figures in result.items():
        print(name)
        for key, value in figures.items():
            print(f"  {key:34} {value:10.4g}")


if __name__ == "__main__":
    main()
