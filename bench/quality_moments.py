"""How exactly is a picture or a clip found? Queries are cut from labelled real clips, scaled and encoded again.

    python bench/quality_moments.py FOLDER [--sets long,actions] [--queries 2] [--json]

FOLDER is a data folder with the sets as sub-folders. Every video of the sets is indexed into one library, then asked
for with JPEGs of its own frames (half size, quality 50) at seeded random times, cut by an independent loop over PyAV.
Reported: whether the right video comes first, whether the true time lies inside the first moment (give or take one
sampling interval), the distance of the best frame from the truth, and the length of the moment.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

import av
from PIL import Image

from footage import Library

EVERY = 1.0  # seconds, the default sampling interval


def frame_at(path: Path, share: float) -> tuple[float, Image.Image] | None:
    """A frame at this share of the video, and its time from the first frame."""
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        times: list[float | None] = []
        with contextlib.suppress(av.FFmpegError):  # what decodes before a stream breaks will do
            times.extend(f.time for f in container.decode(stream))
        wanted = sorted(t for t in times if t is not None)[int(share * (len(times) - 1))]
        container.seek(0, backward=True)
        for frame in container.decode(stream):
            if frame.time == wanted:
                # shown as a player shows it: turned by the display matrix
                picture = frame.to_image().rotate(frame.rotation, expand=True)
                return wanted - min(t for t in times if t is not None), picture
    return None


def as_query(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    half = picture.resize((max(32, picture.width // 2), max(32, picture.height // 2)), Image.Resampling.BILINEAR)
    half.save(out, "JPEG", quality=50)
    return out.getvalue()


def measure(folder: Path, sets: list[str], library: Path, queries: int = 1, seed: int = 20) -> dict[str, Any]:
    """Index the sets and ask for frames of each video; the figures of the module's docstring."""
    files = sorted(f for s in sets for f in (folder / s).rglob("*") if f.is_file())
    rng = random.Random(seed)
    with Library.open(library) as lib:
        lib.index([folder / s for s in sets], model="starter")
        rows: list[dict[str, Any]] = []
        for file in files:
            for _ in range(queries):
                cut = frame_at(file, rng.uniform(0.02, 0.98))
                if cut is None:
                    continue
                truth, picture = cut
                moments = lib.search(image=as_query(picture), k=3)
                first = moments[0]
                right = Path(first.video.path) == Path(os.path.abspath(file))  # noqa: PTH100 - links stay links
                rows.append(
                    {
                        "file": file.relative_to(folder).as_posix(),
                        "truth": truth,
                        "right": right,
                        "found": Path(first.video.path).name,
                        "inside": right and first.start - EVERY <= truth < first.end + EVERY,
                        "error": abs(first.at - truth) if right else None,
                        "length": first.end - first.start,
                        "strength": first.strength,
                        "span": (first.start, first.end, first.at),
                    }
                )
    errors = [r["error"] for r in rows if r["error"] is not None]
    return {
        "queries": len(rows),
        "right_video": sum(r["right"] for r in rows) / len(rows),
        "inside": sum(r["inside"] for r in rows) / len(rows),
        "median_error_s": statistics.median(errors),
        "within_1s": sum(e <= 1.0 for e in errors) / len(rows),
        "median_moment_s": statistics.median(r["length"] for r in rows),
        "median_strength": statistics.median(r["strength"] for r in rows),
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default="long,actions")
    parser.add_argument("--queries", type=int, default=1)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(a.folder, a.sets.split(","), a.library or Path(scratch) / "lib", a.queries, a.seed)
    rows = figures.pop("rows")
    if a.json:
        print(json.dumps(figures))
        return
    for row in rows:
        if not row["inside"]:
            print("missed:", {k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()})
    for name, value in figures.items():
        print(f"{name:16} {value:.3f}" if isinstance(value, float) else f"{name:16} {value}")


if __name__ == "__main__":
    main()
